"""The limits on the route: steps, sums, and never a share to what cannot serve."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from trimtab_guard.guard import restore
from trimtab_guard.history import History
from trimtab_guard.limits import BackendLimits, Limits
from trimtab_guard.model import Proposal, Reading, State, Verdict, Want
from trimtab_guard.route import ROUNDING, Shares, Sight, carried, normalised, weight_step

from .world import (
    NOW_S,
    ages,
    backend,
    codes,
    limits,
    proposal,
    reasons,
    shares,
    state,
    verdict,
    watched,
)


def route(od: float, spot: float, ready: tuple[int, int] = (5, 5), **fields: Any) -> State:
    """A state with these acknowledged shares."""
    return state(
        **{
            "od": {"weight": od, "ready": ready[0]},
            "spot": {"weight": spot, "ready": ready[1]},
        }
        | fields
    )


def settled(od: float, spot: float) -> History:
    """A memory in which the route has long been this one."""
    history = History.empty(NOW_S - 900)
    for age_s in ages():
        history = history.with_state(route(od, spot, time_s=NOW_S - age_s))
        history = history.with_proposal(proposal(time_s=NOW_S - age_s))
    return history


@pytest.mark.parametrize(
    ("present", "asked", "allowed"),
    [
        pytest.param(0.5, 0.5, 0.5, id="no move"),
        pytest.param(0.5, 0.6, 0.6, id="10 points up"),
        pytest.param(0.5, 0.4, 0.4, id="10 points down"),
        pytest.param(0.5, 0.61, 0.6, id="11 points up"),
        pytest.param(0.5, 0.39, 0.4, id="11 points down"),
        pytest.param(0.5, 1.0, 0.6, id="all to one"),
        pytest.param(0.95, 1.0, 1.0, id="the last 5 points"),
        pytest.param(0.0, 1.0, 0.1, id="from nothing to all"),
    ],
)
def test_a_share_moves_at_most_10_points(present: float, asked: float, allowed: float) -> None:
    wish = proposal(shares=(asked, 1 - asked))
    result = verdict(wish, route(present, 1 - present), settled(present, 1 - present))
    assert shares(result) == pytest.approx({"od": allowed, "spot": 1 - allowed})
    assert ("WEIGHT_STEP" in codes(result)) == (asked != pytest.approx(allowed))


@pytest.mark.parametrize("cents", [*range(0, 20, 3), *range(20, 41), *range(41, 101, 7)])
def test_sweep_of_shares(cents: int) -> None:
    wish = proposal(shares=(cents / 100, 1 - cents / 100))
    result = verdict(wish, route(0.3, 0.7), settled(0.3, 0.7))
    assert shares(result)["od"] == pytest.approx(min(max(cents / 100, 0.2), 0.4))
    assert bool(result.reasons) == (not 20 <= cents <= 40)


@pytest.mark.parametrize("share", [0.007, 0.009, 0.011])
def test_a_small_share_arrives_to_the_last_digit(share: float) -> None:
    result = verdict(proposal(shares=(share, 1 - share)), route(0.05, 0.95), settled(0.05, 0.95))
    assert result.backends[0].weight == share
    assert result.reasons == ()


@pytest.mark.parametrize(
    ("age_s", "allowed"), [(1, 0.5), (29, 0.5), (30, 0.5), (30.001, 0.6), (31, 0.6), (300, 0.6)]
)
def test_the_weight_interval_slides(age_s: float, allowed: float) -> None:
    past = settled(0.4, 0.6).with_state(route(0.5, 0.5, time_s=NOW_S - age_s))
    result = verdict(proposal(shares=(1.0, 0.0)), route(0.5, 0.5), past)
    assert shares(result)["od"] == pytest.approx(allowed)


def test_a_move_back_is_within_the_same_10_points() -> None:
    past = settled(0.4, 0.6).with_state(route(0.5, 0.5, time_s=NOW_S - 5))
    result = verdict(proposal(shares=(0.0, 1.0)), route(0.5, 0.5), past)
    assert shares(result)["od"] == pytest.approx(0.4)


@pytest.mark.parametrize(
    ("wish", "lowest", "highest", "whole"),
    [
        pytest.param(-ROUNDING, 0.0, 1.0, True, id="just below"),
        pytest.param(-1.5e-6, 0.0, 1.0, False, id="too far below"),
        pytest.param(ROUNDING, -1.0, 0.0, True, id="just above"),
        pytest.param(1.5e-6, -1.0, 0.0, False, id="too far above"),
    ],
)
def test_a_millionth_beyond_a_step_is_rounding(
    wish: float, lowest: float, highest: float, whole: bool
) -> None:
    base = -0.5 if wish > 0 else 0.5
    at = Sight(False, (1.0,), (1.0,), (base,), (lowest,), (highest,))
    assert (weight_step((wish,), at) == (wish,)) == whole


def among_three(
    present: Shares, asked: Shares, ready: tuple[int, ...], capacity_rps: float = 1e9
) -> Verdict:
    names = ("a", "b", "c")
    rows = zip(names, present, ready, strict=True)
    seen = state(backends=tuple(backend(n, weight=w, ready=count) for n, w, count in rows))
    wants = tuple(Want(n, 5, w) for n, w in zip(names, asked, strict=True))
    allowed = limits(backends=tuple(BackendLimits(n, capacity_rps=capacity_rps) for n in names))
    return verdict(Proposal("web", "p", NOW_S, wants), seen, History.empty(NOW_S), allowed)


def test_a_move_is_cut_short_as_a_whole_so_shares_keep_their_sum() -> None:
    result = among_three((0.6, 0.3, 0.1), (0.2, 0.5, 0.3), (5, 5, 5))
    assert shares(result) == pytest.approx({"a": 0.5, "b": 0.35, "c": 0.15})
    assert [reason[0] for reason in reasons(result)] == ["WEIGHT_STEP"] * 3


def test_those_that_can_serve_may_still_move_among_themselves() -> None:
    result = among_three((0.5, 0.5, 0.0), (0.4, 0.4, 0.2), (5, 5, 0))
    assert shares(result) == pytest.approx({"a": 0.5, "b": 0.5, "c": 0.0})
    result = among_three((0.5, 0.5, 0.0), (0.44, 0.36, 0.2), (5, 5, 0))
    assert shares(result) == pytest.approx({"a": 0.55, "b": 0.45, "c": 0.0})
    assert codes(result) == {"NOT_READY"}


@pytest.mark.parametrize(
    ("present", "asked", "ready", "expected", "code"),
    [
        pytest.param((0.5, 0.5), (0.5, 0.5), (5, 0), (1, 0), "NOT_READY", id="left at once"),
        pytest.param((1, 0), (0.9, 0.1), (5, 0), (1, 0), "NOT_READY", id="not entered"),
        pytest.param((0, 1), (0, 1), (5, 0), (1, 0), "NOT_READY", id="the other takes all"),
        pytest.param((0, 1), (1, 0), (5, 0), (1, 0), None, id="as asked for"),
        pytest.param((0.5, 0.5), (1, 0), (0, 0), (0.5, 0.5), "NOT_READY", id="none ready: stays"),
        pytest.param((1, 0), (0, 1), (0, 0), (1, 0), "NOT_READY", id="none ready: stays with one"),
        pytest.param((0, 0), (1, 0), (0, 0), (0.5, 0.5), "NOT_READY", id="none at all: equal"),
    ],
)
def test_no_share_without_a_ready_replica(
    present: tuple[float, float],
    asked: tuple[float, float],
    ready: tuple[int, int],
    expected: tuple[float, float],
    code: str | None,
) -> None:
    result = verdict(proposal(shares=asked), route(*present, ready), settled(*present))
    assert tuple(shares(result).values()) == pytest.approx(expected)
    assert codes(result) == ({code} if code else set())


def test_a_backend_that_comes_back_is_entered_in_steps() -> None:
    past = settled(0.5, 0.5).with_state(route(1.0, 0.0, (5, 0), time_s=NOW_S - 5))
    result = verdict(proposal(), route(1.0, 0.0), past)
    assert shares(result) == pytest.approx({"od": 0.9, "spot": 0.1})


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        pytest.param((0.2, 0.2), (0.5, 0.5), id="too little"),
        pytest.param((1.0, 1.0), (0.5, 0.5), id="too much"),
        pytest.param((0.55, 0.4500005), (0.55, 0.4500005), id="rounding is left alone"),
        pytest.param((1e-320, 1e-320), (0.5, 0.5), id="next to nothing"),
    ],
)
def test_shares_are_made_to_sum_to_one(
    asked: tuple[float, float], expected: tuple[float, float]
) -> None:
    result = verdict(proposal(shares=asked))
    assert tuple(want.weight for want in result.backends) == pytest.approx(expected)
    assert ("WEIGHT_SUM" in codes(result)) == (sum(asked) != pytest.approx(1, abs=1e-6))


@pytest.mark.parametrize(
    ("ready", "expected"), [((5, 5), (0.5, 0.5)), ((6, 2), (0.75, 0.25)), ((0, 2), (0.0, 1.0))]
)
def test_a_route_that_nobody_has_written_yet_follows_ready_replicas(
    ready: tuple[int, int], expected: tuple[float, float]
) -> None:
    """In doubt, too: all-zero shares are never held."""
    stale = route(0.0, 0.0, ready, p95_ms=state().p95_ms._replace(value=-1.0))
    result = verdict(proposal(), stale, watched())
    assert tuple(shares(result).values()) == expected
    assert "WEIGHT_SUM" in codes(result)


def test_a_step_of_zero_freezes_the_route() -> None:
    result = verdict(proposal(shares=(0.6, 0.4)), allowed=limits(weight_step=0))
    assert shares(result) == {"od": 0.5, "spot": 0.5}


# No more load than the ready replicas can take: 100 + 100 rps, so 240 rps with headroom.


def able(od_rps: float, spot_rps: float) -> Limits:
    od, spot = (BackendLimits(n, capacity_rps=r) for n, r in (("od", od_rps), ("spot", spot_rps)))
    return limits(backends=(od, spot))


def loaded(od: float, spot: float, ready: tuple[int, int] = (5, 5)) -> State:
    rate = Reading(100.0, NOW_S)
    seen = route(od, spot, ready)
    return seen._replace(backends=tuple(b._replace(rate_rps=rate) for b in seen.backends))


@pytest.mark.parametrize(
    ("rps", "present", "asked", "allowed"),
    [
        pytest.param((24.0, 60.0), 0.5, 0.5, 0.5, id="just enough"),
        pytest.param((24.0, 60.0), 0.45, 0.55, 0.5, id="no more than it can take"),
        pytest.param((24.0, 60.0), 0.7, 0.7, 0.5, id="what is too much leaves at once"),
        pytest.param((24.0, 60.0), 0.7, 0.0, 0.5, id="but counts as a move"),
        pytest.param((24.0, 60.0), 0.5, 0.0, 0.4, id="leaving more than that takes steps"),
        pytest.param((24.0, 60.0), 0.5, 0.55, 0.5, id="a wish is cut too"),
        pytest.param((60.0, 24.0), 0.2, 0.2, 0.5, id="the other way round"),
        pytest.param((30.0, 10.0), 0.5, 0.5, 0.75, id="too small together: by what each can"),
        pytest.param((30.0, 10.0), 0.9, 0.9, 0.75, id="and nothing else"),
        pytest.param((30.0, 18.0), 0.5, 0.5, 0.625, id="exactly enough together"),
    ],
)
def test_no_backend_gets_more_load_than_it_can_carry(
    rps: tuple[float, float], present: float, asked: float, allowed: float
) -> None:
    seen, past = loaded(present, 1 - present), settled(present, 1 - present)
    result = verdict(proposal(shares=(asked, 1 - asked)), seen, past, able(*rps))
    assert shares(result) == pytest.approx({"od": allowed, "spot": 1 - allowed}, abs=1e-6)
    cut = asked - 5 * rps[0] / 240 > 1e-6 or 1 - asked - 5 * rps[1] / 240 > 1e-6
    assert ("CAPACITY" in codes(result)) == cut


@pytest.mark.parametrize(
    ("ready", "allowed"),
    [((5, 5), 0.9), ((0, 5), 0.0), ((1, 5), 0.2), ((0, 0), 0.9)],
    ids=["all", "none of it", "one of five", "none at all"],
)
def test_carrying_is_by_ready_replicas(ready: tuple[int, int], allowed: float) -> None:
    seen = loaded(0.9, 0.1, ready)
    result = verdict(proposal(shares=(0.9, 0.1)), seen, settled(0.9, 0.1), able(48.0, 240.0))
    assert shares(result)["od"] == pytest.approx(allowed)


def test_the_load_may_be_anything_while_it_is_unknown_or_nothing() -> None:
    tiny = able(0.001, 0.001)
    for reading in (Reading(0.0, NOW_S), Reading(math.nan, NOW_S)):
        seen = loaded(0.9, 0.1)
        seen = seen._replace(backends=tuple(b._replace(rate_rps=reading) for b in seen.backends))
        result = verdict(proposal(shares=(0.9, 0.1)), seen, settled(0.9, 0.1), tiny)
        assert shares(result)["od"] == pytest.approx(0.9)


def test_those_that_are_ready_share_by_what_they_can_though_another_is_not() -> None:
    result = among_three((0.3, 0.7, 0.0), (0.3, 0.7, 0.0), (5, 5, 0), capacity_rps=1.0)
    assert shares(result) == pytest.approx({"a": 0.5, "b": 0.5, "c": 0.0})
    assert [reason.backend for reason in result.reasons if reason.code == "CAPACITY"] == ["a", "b"]


def test_a_millionth_too_much_is_rounding() -> None:
    shares = (0.5 + ROUNDING, 0.5 - ROUNDING)
    assert carried(shares, (0.5, 1.0)) == shares


@given(
    st.lists(st.tuples(st.floats(0, 1), st.floats(0.01, 2)), min_size=2, max_size=6),
)
def test_what_is_carried_is_never_too_much_and_nothing_is_lost(
    rows: list[tuple[float, float]],
) -> None:
    wish, most = zip(*rows, strict=True)
    assume(sum(wish) > 0)
    before = normalised(wish)
    after = carried(before, most)
    assert sum(after) == pytest.approx(1, abs=1e-5)
    if sum(most) > 1:
        assert all(share <= limit + 2e-6 for share, limit in zip(after, most, strict=True))
    else:
        assert after == pytest.approx([limit / sum(most) for limit in most], abs=1e-5)
    assert carried(after, most) == pytest.approx(after, abs=1e-5)


# Taking back an action.


def put_back(*before: Want, seen: State, past: History, allowed: Limits | None = None) -> Verdict:
    return restore(before, seen, allowed or limits(), past, NOW_S)


def test_a_route_is_put_back_at_once() -> None:
    result = put_back(
        Want("od", 5, 0.9), Want("spot", 5, 0.1), seen=route(0.5, 0.5), past=settled(0.5, 0.5)
    )
    assert shares(result) == pytest.approx({"od": 0.9, "spot": 0.1})
    assert reasons(result) == [("REGRESSION", "od", 0.5, 0.9), ("REGRESSION", "spot", 0.5, 0.1)]


def test_a_whole_route_is_put_back_at_once() -> None:
    result = put_back(
        Want("od", 5, 1.0), Want("spot", 5, 0.0), seen=route(0.0, 1.0), past=settled(0.0, 1.0)
    )
    assert shares(result) == {"od": 1.0, "spot": 0.0}


def test_what_cannot_serve_or_carry_is_not_put_back() -> None:
    before = (Want("od", 5, 0.9), Want("spot", 5, 0.1))
    gone = put_back(*before, seen=route(0.0, 1.0, (0, 5)), past=settled(0.0, 1.0))
    assert shares(gone) == {"od": 0.0, "spot": 1.0}
    full = put_back(
        *before, seen=loaded(0.3, 0.7), past=settled(0.3, 0.7), allowed=able(24.0, 240.0)
    )
    assert shares(full) == pytest.approx({"od": 0.5, "spot": 0.5})
    assert {"REGRESSION", "CAPACITY"} == codes(full)


def test_a_route_is_put_back_in_doubt_too() -> None:
    seen = route(0.5, 0.5, p95_ms=Reading(-1.0, NOW_S))
    result = put_back(Want("od", 5, 1.0), Want("spot", 5, 0.0), seen=seen, past=settled(0.5, 0.5))
    assert shares(result) == {"od": 1.0, "spot": 0.0}


def test_nothing_is_put_back_while_the_present_is_unknown() -> None:
    seen = route(0.5, 0.5, replicas_time_s=NOW_S - 60)
    result = put_back(Want("od", 5, 1.0), seen=seen, past=settled(0.5, 0.5))
    assert (result.backends, codes(result)) == ((), {"UNSEEN"})


@pytest.mark.parametrize(
    ("fields", "asked", "why"),
    [
        pytest.param({}, 1.0, set(), id="calm"),
        pytest.param({"ready": 0}, 1.0, set(), id="nothing is ready"),
        pytest.param({"ready": 1}, 1.0, set(), id="more load than it can take"),
        pytest.param({}, 0.5, {"WEIGHT_SUM"}, id="a part of it is asked for"),
    ],
)
def test_the_only_backend_keeps_the_whole_route(
    fields: dict[str, Any], asked: float, why: set[str]
) -> None:
    alone = limits(backends=(BackendLimits("od", 1, 10, capacity_rps=60.0),))
    past = History.empty(NOW_S - 900)
    for age_s in (*ages(), 0):
        seen = state(NOW_S - age_s)
        seen = seen._replace(backends=(backend("od", seen.time_s, weight=1.0, **fields),))
        past = past.with_state(seen)
    result = verdict(proposal()._replace(backends=(Want("od", 5, asked),)), seen, past, alone)
    assert (result.backends, codes(result)) == ((Want("od", 5, 1.0),), why)
