"""When replicas must not be replaced, though somebody wants it and has leave to."""

from __future__ import annotations

import math
from typing import Any

import pytest

from trimtab_guard.history import History
from trimtab_guard.limits import BackendLimits, Limits
from trimtab_guard.model import Reading, Reason, State
from trimtab_guard.reasons import Code
from trimtab_guard.restart import objections

from .world import NOW_S, limits, state, watched

CALM = limits(headroom=0.25)


def found(seen: State, name: str = "od", of: Limits = CALM, past: History | None = None) -> Any:
    history = (past or watched()).with_state(seen)
    return objections(name, seen, of, history, NOW_S)


def test_a_calm_backend_may_be_restarted() -> None:
    assert found(state()) == ()


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        pytest.param(state(rollout=True), Reason(Code.ROLLOUT, "od", 5, 5), id="rollout"),
        pytest.param(state(od={"starting": 1}), Reason(Code.ROLLOUT, "od", 5, 5), id="starting"),
        pytest.param(state(od={"draining": 1}), Reason(Code.ROLLOUT, "od", 5, 5), id="draining"),
        pytest.param(state(od={"ready": 4}), Reason(Code.ROLLOUT, "od", 4, 5), id="one-is-missing"),
        pytest.param(state(od={"wanted": 4}), Reason(Code.ROLLOUT, "od", 5, 4), id="one-too-many"),
        pytest.param(
            state(od={"disruption_min": 6}), Reason(Code.ROUTED, "od", 5, 6), id="disruption"
        ),
        pytest.param(state(service="shop"), Reason(Code.NOT_LISTED, "shop", 1, 0), id="other"),
    ],
)
def test_what_speaks_against_it(seen: State, expected: Reason) -> None:
    assert found(seen) == (expected,)


def test_what_another_backend_does_is_no_objection_but_a_rollout() -> None:
    assert found(state(spot={"starting": 1, "ready": 4})) == ()


@pytest.mark.parametrize(("load_rps", "short"), [(80.0, False), (80.1, True)])
def test_those_that_are_there_must_carry_the_load_with_headroom(
    load_rps: float, short: bool
) -> None:
    small = BackendLimits("od", 1, 10, capacity_rps=20.0)
    tight = limits(headroom=0.25, backends=(BackendLimits("spot", 1, 10), small))
    seen = state(od={"rate_rps": Reading(load_rps, NOW_S)})
    seen = seen._replace(backends=seen.backends[::-1])
    expected = (Reason(Code.ROUTED, "od", 5, 6),) if short else ()
    assert found(seen, of=tight) == expected


def test_one_that_is_not_there_is_not_listed() -> None:
    assert found(state(), name="gpu") == (Reason(Code.NOT_LISTED, "gpu", 1, 0),)


def test_in_doubt_nothing_is_restarted() -> None:
    seen = state(spot={"rate_rps": Reading(math.nan, NOW_S)})
    assert found(seen) == (Reason(Code.INVALID, "spot.rate_rps", 5.0, 0),)
