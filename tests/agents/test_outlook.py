"""The sentence about a proposal follows its numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab_agents.outlook import sentence

FLAT = {
    "load_rps": 400.0,
    "demand_rps": 400.0,
    "due_s": 1_800_000_000.0,
    "ready": 9,
    "ready_rps": 360,
    "wanted": 9,
    "replicas": 9,
    "replicas_rps": 360,
}
loads = st.floats(1.0, 1e5)
counts = st.integers(0, 500)


@dataclass(frozen=True)
class Case:
    numbers: dict[str, Any]
    says: str


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(Case(FLAT, "load stays near 400 rps until"), id="flat"),
        pytest.param(Case(FLAT | {"demand_rps": 500.0}, "may rise to 500 by"), id="rises"),
        pytest.param(Case(FLAT | {"demand_rps": 300.0}, "falls to 300 by"), id="falls"),
        pytest.param(Case(FLAT | {"load_rps": math.nan}, "load not measured"), id="unmeasured"),
        pytest.param(Case(FLAT, "; keep 9"), id="keeps"),
        pytest.param(
            Case(FLAT | {"replicas": 12, "replicas_rps": 480}, "3 more: 12 carry 480"),
            id="more",
        ),
        pytest.param(
            Case(FLAT | {"replicas": 7, "replicas_rps": 280}, "2 fewer: 7 carry 280"),
            id="fewer",
        ),
        pytest.param(
            Case(FLAT | {"ready": 1, "ready_rps": 40}, "1 ready replica carries 40"), id="one"
        ),
    ],
)
def test_the_sentence_tells_what_is(case: Case) -> None:
    assert case.says in sentence(**case.numbers)


@given(loads, loads, counts, counts, counts)
def test_the_sentence_follows_every_number(
    load: float, demand: float, ready: int, wanted: int, replicas: int
) -> None:
    numbers = (load, demand, 0.0, ready, 40 * ready, wanted, replicas, 40 * replicas)
    said = sentence(*numbers)
    assert ("may rise to" in said) == (demand > 1.05 * load)
    assert ("falls to" in said) == (demand < 0.95 * load)
    assert (f"{replicas - wanted} more" in said) == (replicas > wanted)
    assert (f"{wanted - replicas} fewer" in said) == (replicas < wanted)
    assert f"{load:.0f} rps" in said
    assert f"{ready} ready" in said
    assert f"{40 * ready};" in said
