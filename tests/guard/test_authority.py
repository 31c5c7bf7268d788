"""What lowers a mode, how far, and that nothing raises one."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab_guard.authority import (
    FOREVER,
    NO_EPOCH,
    NO_LEASE,
    Epoch,
    Facts,
    Lease,
    Standing,
    effective,
)
from trimtab_guard.modes import Mode, lower, rung_below
from trimtab_guard.schedule import ALWAYS, LAST_S, Freeze, Schedule, Window

from .world import NOW_S  # 2023-11-14T22:13:20Z, a Tuesday

CALM = Facts(lease=Lease(NOW_S - 3600, NOW_S + 3600))
NEVER_NOW = Schedule(windows=(Window("09:00", "17:00"),))
FROZEN = Schedule(freezes=(Freeze("2023-11-14T00:00", "2023-11-15T00:00", "sale"),))


def names(standing: Standing) -> list[str]:
    return [str(reason.code) for reason in standing.reasons]


def test_what_is_in_order_lowers_nothing() -> None:
    for mode in Mode:
        assert effective(mode, CALM, ALWAYS, NOW_S) == Standing(mode)
    assert (CALM.epoch, CALM.newest_epoch, NO_EPOCH) == ((0, ""),) * 3


@pytest.mark.parametrize(
    ("facts", "code", "ceiling", "why"),
    [
        ({"stopped": True}, "STOPPED", Mode.SHADOW, "trimtab is stopped"),
        (
            {"foreign_writer": "kubectl"},
            "FOREIGN_WRITER",
            Mode.SHADOW,
            "kubectl changed what trimtab steers",
        ),
        (
            {"epoch": Epoch(3, "a"), "newest_epoch": Epoch(4, "b")},
            "DEPOSED",
            Mode.SHADOW,
            "b leads under epoch 4, ours is 3",
        ),
        (
            {"epoch": Epoch(4, "b"), "newest_epoch": Epoch(4, "a")},
            "DEPOSED",
            Mode.SHADOW,
            "a leads under epoch 4, ours is 4",
        ),
        (
            {"epoch": Epoch(3, "a"), "newest_epoch": Epoch(4, "a")},
            "DEPOSED",
            Mode.SHADOW,
            "a leads under epoch 4, ours is 3",
        ),
        ({"epoch": Epoch(4, "a"), "newest_epoch": Epoch(4, "a")}, None, Mode.GUARDED, ""),
        ({"epoch": Epoch(4, "a"), "newest_epoch": Epoch(3, "b")}, None, Mode.GUARDED, ""),
        ({"epoch": Epoch(1, "a"), "newest_epoch": NO_EPOCH}, None, Mode.GUARDED, ""),
        (
            {"deadline_s": NOW_S - 0.25},
            "LATE",
            Mode.SHADOW,
            "0.2 s after the decision's deadline",
        ),
        ({"deadline_s": NOW_S}, None, Mode.GUARDED, ""),
        ({"deadline_s": math.nan}, "LATE", Mode.SHADOW, "nan s after the decision's deadline"),
        (
            {"not_leading": "the Lease was not renewed"},
            "NOT_LEADING",
            Mode.SHADOW,
            "the Lease was not renewed",
        ),
        (
            {"lease": NO_LEASE},
            "LEASE",
            Mode.APPROVE,
            "the autonomy lease does not hold: renew it",
        ),
        ({"lease": FOREVER}, None, Mode.GUARDED, ""),
        (
            {"cooling_until_s": NOW_S + 90},
            "COOLING",
            Mode.APPROVE,
            "cooling down for 90 s after a rollback",
        ),
        ({"cooling_until_s": NOW_S}, None, Mode.GUARDED, ""),
    ],
)
def test_every_fact_has_its_ceiling(
    facts: dict[str, Any], code: str | None, ceiling: Mode, why: str
) -> None:
    observed = CALM._replace(**facts)
    for mode in Mode:
        standing = effective(mode, observed, ALWAYS, NOW_S)
        assert standing.mode == lower(mode, ceiling)
        lowered = standing.mode is not mode
        told = [(str(r.code), r.mode, r.why) for r in standing.reasons]
        assert told == ([(code, ceiling, why)] if lowered else [])


@pytest.mark.parametrize(
    ("now_s", "holds"),
    [
        pytest.param(NOW_S - 1.001, False, id="the clock went back"),
        pytest.param(NOW_S - 1, True, id="clocks may differ by a second"),
        pytest.param(NOW_S, True, id="just renewed"),
        pytest.param(NOW_S + 8 * 3600 - 0.001, True, id="the last moment"),
        pytest.param(NOW_S + 8 * 3600, False, id="ended"),
        pytest.param(math.nan, False, id="at no time"),
    ],
)
def test_a_lease_holds_from_its_beginning_to_its_end(now_s: float, holds: bool) -> None:
    lease = Lease(NOW_S, NOW_S + 8 * 3600)
    assert lease.holds(now_s) == holds
    standing = effective(Mode.GUARDED, Facts(lease), ALWAYS, now_s)
    assert ("LEASE" in names(standing)) != holds


def test_outside_the_windows_nothing_is_autonomous_and_people_are_asked() -> None:
    standing = effective(Mode.GUARDED, CALM, NEVER_NOW, NOW_S)
    assert (standing.mode, names(standing)) == (Mode.APPROVE, ["CLOSED"])
    assert standing.reasons[0].why == "outside the allowed windows (UTC)"
    at_ten = effective(Mode.GUARDED, Facts(FOREVER), NEVER_NOW, NOW_S - 12 * 3600)
    assert at_ten == Standing(Mode.GUARDED)


def test_a_freeze_wins_over_an_open_window() -> None:
    open_now = replace(FROZEN, windows=(Window("00:00", "24:00"),))
    standing = effective(Mode.ASSIST, CALM, open_now, NOW_S)
    assert (standing.mode, names(standing)) == (Mode.APPROVE, ["FREEZE"])
    assert standing.reasons[0].why == "frozen until 2023-11-15T00:00 UTC: sale"
    nameless = Schedule(freezes=(replace(FROZEN.freezes[0], why=""),))
    (reason,) = effective(Mode.ASSIST, CALM, nameless, NOW_S).reasons
    assert reason.why == "frozen until 2023-11-15T00:00 UTC"


@pytest.mark.parametrize("now_s", [math.nan, math.inf, -math.inf, -0.5, LAST_S + 1])
def test_without_a_believable_clock_nothing_is_done(now_s: float) -> None:
    standing = effective(Mode.GUARDED, Facts(FOREVER), FROZEN, now_s)
    assert standing.mode is Mode.SHADOW
    assert standing.reasons[-1] == ("CLOSED", Mode.SHADOW, f"the clock shows {now_s!r}")


@pytest.mark.parametrize("now_s", [0.0, LAST_S])
def test_the_first_and_the_last_moment_are_believable(now_s: float) -> None:
    assert effective(Mode.GUARDED, Facts(FOREVER), FROZEN, now_s) == Standing(Mode.GUARDED)


def test_no_lease_is_a_moment_that_never_was_and_forever_has_no_ends() -> None:
    assert (*NO_LEASE, *FOREVER) == (0.0, 0.0, -math.inf, math.inf)


def test_all_that_lowers_is_told() -> None:
    facts = Facts(
        NO_LEASE,
        foreign_writer="hpa",
        stopped=True,
        newest_epoch=Epoch(1),
        deadline_s=0.0,
        cooling_until_s=NOW_S + 1,
        not_leading="no Lease",
    )
    both = replace(FROZEN, windows=NEVER_NOW.windows)
    standing = effective(Mode.GUARDED, facts, both, NOW_S)
    assert standing.mode is Mode.SHADOW
    assert names(standing) == [
        "STOPPED", "FOREIGN_WRITER", "DEPOSED", "NOT_LEADING", "LATE", "LEASE", "COOLING", "FREEZE",
        "CLOSED",
    ]  # fmt: skip


facts = st.builds(
    Facts,
    st.builds(Lease, st.floats(), st.floats()),
    st.sampled_from(["", "hpa"]),
    st.booleans(),
    st.builds(Epoch, st.integers(0, 2), st.sampled_from("ab")),
    st.builds(Epoch, st.integers(0, 2), st.sampled_from("ab")),
    st.floats(),
    st.floats(),
    st.sampled_from(["", "no Lease"]),
)


@given(
    st.sampled_from(Mode),
    facts,
    st.sampled_from([ALWAYS, NEVER_NOW, FROZEN]),
    st.one_of(st.floats(), st.just(NOW_S)),
)
def test_a_standing_never_trusts_more_and_says_why_it_trusts_less(
    mode: Mode, observed: Facts, schedule: Schedule, now_s: float
) -> None:
    standing = effective(mode, observed, schedule, now_s)
    assert lower(mode, standing.mode) is standing.mode
    assert bool(standing.reasons) == (standing.mode is not mode)
    assert effective(standing.mode, observed, schedule, now_s) == Standing(standing.mode)


def test_one_rung_down_and_never_below_shadow() -> None:
    assert [rung_below(mode) for mode in Mode] == ["shadow", "shadow", "approve", "assist"]
    assert lower(Mode.ASSIST, Mode.GUARDED, Mode.APPROVE) is Mode.APPROVE
