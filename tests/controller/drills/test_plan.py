"""A drill's file: what is wrong is named with its line and field."""

from __future__ import annotations

from pathlib import Path

import pytest

from trimtab_controller.drills.plan import Fault, parsed, read
from trimtab_guard.limits import DrillLimits

FILES = sorted((Path(__file__).parents[3] / "examples" / "drills").glob("*.yaml"))
GOOD = """\
drill: try
service: web
steady: {miss_share: 0.05}
faults:
  - {fault: slow, backend: a, for_s: 5}
"""


def test_what_is_left_out_is_safe() -> None:
    plan = parsed(GOOD)
    assert plan.blast == DrillLimits()
    assert (plan.recover_s, plan.steady.for_s) == (60.0, 5.0)
    assert str(plan.faults[0]) == "slow 1 of a, 5 times slower, for 5 s"


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("drill: try", "drill: ' '", "drill:1: the file: drill: is empty: give it a name"),
        ("drill: try\n", "", "'drill' is missing"),
        ("fault: slow", "fault: burn", "faults[0].fault: 'burn' must be one of kill, slow, "),
        (", backend: a", "", "faults[0]: backend: is missing: whose replicas"),
        (", for_s: 5", "", "faults[0]: for_s: is missing: for how many seconds shall slow last?"),
        ("fault: slow", "fault: kill", "faults[0]: for_s: a kill is over at once"),
        (", for_s: 5", ", for_s: -1", "faults[0].for_s: -1 must be 0 or more"),
        (", for_s: 5", ", for_s: 5, factor: 0.5", "faults[0].factor: 0.5 must be from 1 to 1000"),
        (", for_s: 5", ", for_s: 5, replicas: 0", "faults[0].replicas: 0 must be 1 or more"),
        (", for_s: 5", ", for_s: .inf", "faults[0].for_s: inf must be a finite number"),
        ("0.05", "1.5", "drill:3: steady.miss_share: 1.5 must be from 0 to 1"),
        ("0.05}", "0.05}\nblast: {proxy_s: 90}", "blast.proxy_s: 90 must be from 0 to 60"),
        ("0.05}", "0.05}\nblast: {share: 1}", "blast.share: unknown key"),
        ("0.05}", "0.05}\nrecover_s: 0", "recover_s: 0 must be more than 0"),
        (
            "  -",
            "  - {fault: no-metrics, for_s: 1}\n" * 20 + "  -",
            "21 are too many, the most is 20",
        ),
    ],
)
def test_a_mistake_is_named(old: str, new: str, says: str) -> None:
    with pytest.raises(ValueError, match=r"^drill:") as caught:
        parsed(GOOD.replace(old, new))
    assert says in str(caught.value)


def test_what_is_no_text_or_no_yaml_is_refused() -> None:
    with pytest.raises(ValueError, match="the file is empty: give it the keys drill, service"):
        parsed("")
    with pytest.raises(ValueError, match="not YAML"):
        parsed("{")


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_the_library_is_in_order(file: Path) -> None:
    plan = read(file)
    assert plan.drill == file.stem
    assert plan.about


def test_the_library_has_every_fault() -> None:
    assert {fault.fault for file in FILES for fault in read(file).faults} == set(Fault)
