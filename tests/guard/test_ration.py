"""One budget for all services, and not all of them at once."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab_guard.guard import judge
from trimtab_guard.limits import BackendLimits, ClusterLimits, Limits
from trimtab_guard.model import Proposal, Reading, Reason, State, Verdict, Want
from trimtab_guard.ration import BOTTOMLESS, Change, Purse, paid, recent, waiting
from trimtab_guard.trust import present

from .world import NOW_S, limits, proposal, reasons, state, watched

PRICED = limits(backends=(BackendLimits("od", price=1.0), BackendLimits("spot", price=0.1)))
PAST = watched()
INF = math.inf


def judged(purse: Purse, wish: Proposal | None = None, seen: State | None = None) -> Verdict:
    """What a service that is not in the purse may do: grow to 8 and 6 replicas where it has 5."""
    wish, seen = wish or proposal(8, 6), seen or state()
    return judge(wish, (), seen, PRICED, PAST, NOW_S, purse)


def counts(verdict: Verdict) -> tuple[int, ...]:
    return tuple(want.replicas for want in verdict.backends)


def counted(*changes: tuple[float, str, float], **fields: Any) -> Purse:
    """The purse after changes so many seconds ago."""
    past = [Change(NOW_S - age_s, name, cost) for age_s, name, cost in changes]
    return Purse.counted(ClusterLimits(**fields), past, NOW_S)


@pytest.mark.parametrize(
    ("left", "expected"),
    [
        pytest.param(3.1, (8, 6), id="enough for all"),
        pytest.param(3.0, (8, 5), id="the last one waits"),
        pytest.param(2.1, (7, 6), id="a cheap one may still fit"),
        pytest.param(0.9, (5, 6), id="only a cheap one"),
        pytest.param(0.0, (5, 5), id="nothing to spend"),
        pytest.param(-7.0, (5, 5), id="overspent"),
    ],
)
def test_new_replicas_are_paid_from_one_budget(left: float, expected: tuple[int, int]) -> None:
    found = judged(Purse(left))
    assert counts(found) == expected
    names = zip(("od", "spot"), (8, 6), expected, strict=True)
    assert reasons(found) == [
        ("BUDGET", name, wish, got) for name, wish, got in names if wish != got
    ]


def test_rounding_costs_nobody_a_replica() -> None:
    assert counts(judged(Purse(0.1 + 0.2), proposal(5, 8))) == (5, 8)
    assert counts(judged(Purse(0.3 - 0.9e-9), proposal(5, 8))) == (5, 8)
    assert counts(judged(Purse(0.3 - 1.5e-9), proposal(5, 8))) == (5, 7)


@pytest.mark.parametrize(
    ("left", "expected"),
    [
        pytest.param(4.1, (7, 6), id="what the first has cost is gone"),
        pytest.param(8.1, (7, 9), id="and no more than that"),
    ],
)
def test_the_next_backend_gets_what_is_left(left: float, expected: tuple[int, int]) -> None:
    dear = limits(backends=(BackendLimits("od", price=2.0), BackendLimits("spot", price=0.1)))
    found = judge(proposal(7, 9), (), state(), dear, PAST, NOW_S, Purse(left))
    assert counts(found) == expected


def test_shrinking_and_routing_are_free() -> None:
    allowed = Limits("web", PRICED.backends, down_percent=100)
    wish = proposal(2, 3, (0.55, 0.45))
    verdicts = [judge(wish, (), state(), allowed, PAST, NOW_S, p) for p in (BOTTOMLESS, Purse(0))]
    assert verdicts[0].backends == (Want("od", 2, 0.55), Want("spot", 3, 0.45))
    assert verdicts[1] == verdicts[0]


@pytest.mark.parametrize(
    ("changes", "left", "busy"),
    [
        pytest.param([], 5.0, "", id="nothing done"),
        pytest.param([(600, "x", 2.0)], 3.0, "", id="spent within the window"),
        pytest.param([(600.1, "x", 2.0)], 5.0, "", id="spent before it"),
        pytest.param([(60, "x", 0.0)], 5.0, "x", id="changed within the window"),
        pytest.param([(60.1, "x", 0.0)], 5.0, "", id="changed before it"),
        pytest.param([(9, "x", 1.0), (5, "x", 2.0), (5, "y", 0.5)], 1.5, "xy", id="several"),
        pytest.param([(-INF, "x", 1.0)], 4.0, "x", id="nobody knows yet whether it was done"),
        pytest.param([(-30, "x", 1.0)], 4.0, "x", id="by a clock that was ahead"),
    ],
)
def test_the_purse_is_what_the_windows_leave(changes: Any, left: float, busy: str) -> None:
    assert counted(*changes, budget=5.0) == Purse(left, frozenset(busy), 10)


def test_who_is_served_leaves_less_to_the_next() -> None:
    after = Purse(5.0, frozenset("x"), 2).after(Change(NOW_S, "web", 3.5))
    assert after == Purse(1.5, frozenset({"x", "web"}), 2)


@pytest.mark.parametrize(
    ("busy", "at_once", "waits"),
    [
        pytest.param(["a"], 2, False, id="there is room for one more"),
        pytest.param(["a", "b"], 2, True, id="enough are changing"),
        pytest.param(["a", "b", "c"], 2, True, id="more than enough are"),
        pytest.param(["a", "web"], 2, False, id="who has begun goes on"),
    ],
)
def test_only_so_many_services_change_at_once(busy: list[str], at_once: int, waits: bool) -> None:
    found = judged(Purse(INF, frozenset(busy), at_once))
    assert counts(found) == ((5, 5) if waits else (8, 6))
    assert reasons(found) == ([("CROWD", "", len(busy) + 1, at_once)] if waits else [])


CROWDED = Purse(INF, frozenset("ab"), 2)


@pytest.mark.parametrize(
    ("share", "waits"),
    [
        pytest.param(0.5, False, id="nothing to wait for"),
        pytest.param(0.5009, False, id="rounding is no change"),
        pytest.param(0.501, True, id="a share"),
    ],
)
def test_who_wishes_nothing_does_not_wait(share: float, waits: bool) -> None:
    wish = proposal(5, 5, (share, 1 - share))
    assert [code for code, *_ in reasons(judged(CROWDED, wish))] == ["CROWD"] * waits


@pytest.mark.parametrize(
    ("wish", "waits"),
    [
        pytest.param(Want("od", 5, 0.0), False, id="the same"),
        pytest.param(Want("od", 5, 0.0009), False, id="rounding"),
        pytest.param(Want("od", 5, 0.001), True, id="more of the route"),
        pytest.param(Want("od", 4, 0.0), True, id="fewer replicas"),
    ],
)
def test_who_differs_in_anything_waits(wish: Want, waits: bool) -> None:
    crowd, least = Reason("CROWD", "", 3, 2), Want("od", 5, 0.0)
    verdict, must = (Verdict("web", NOW_S, (want,)) for want in (wish, least))
    held = must._replace(reasons=(crowd,))
    assert waiting(verdict, must, crowd) == (held if waits else verdict)
    assert bool(waiting(must, verdict, crowd).reasons) == waits


def test_the_crowd_keeps_nobody_from_leaving_what_cannot_serve() -> None:
    broken = state(spot={"ready": 0})
    found = judged(CROWDED, proposal(8, 6, (0.6, 0.4)), broken)
    assert found.backends == (Want("od", 5, 1.0), Want("spot", 5, 0.0))
    assert [code for code, *_ in reasons(found)] == ["NOT_READY", "NOT_READY", "CROWD"]


def test_nor_from_the_allowed_range_which_is_paid_for() -> None:
    few = state(od={"wanted": 0, "ready": 0})
    assert counts(judged(CROWDED, proposal(3, 5), few)) == (1, 5)
    assert counts(judged(Purse(0.5, frozenset("ab"), 2), proposal(3, 5), few)) == (0, 5)


def test_nor_down_to_a_lowered_maximum_unless_in_doubt() -> None:
    wish, small = proposal(5, 5, (0.55, 0.45)), limits(1, 4)
    found = judge(wish, (), state(), small, PAST, NOW_S, CROWDED)
    assert found.backends == (Want("od", 4, 0.5), Want("spot", 4, 0.5))
    stale = state(od={"rate_rps": Reading(100.0, NOW_S - 4)})
    held = judge(proposal(), (), stale, small, PAST, NOW_S, CROWDED)
    assert held.backends == present(stale)
    assert held.reasons == judge(proposal(), (), stale, small, PAST, NOW_S).reasons


PLAIN = (Want("od", 7, 0.0), Want("spot", 5, 0.0))


@pytest.mark.parametrize(
    "lost",
    [
        pytest.param(proposal(9, 9, in_envelope=False), id="outside of its envelope"),
        pytest.param(proposal(9, 9, service="other"), id="for another service"),
        pytest.param(proposal(9, 9, time_s=NOW_S - 61), id="too old"),
        pytest.param(proposal(math.nan, 9), id="impossible replicas"),
        pytest.param(proposal(9, 9, (0.0, 0.0)), id="an impossible route"),
        pytest.param(proposal(backends=()), id="for no backend"),
    ],
)
@pytest.mark.parametrize(
    ("purse", "expected"), [(BOTTOMLESS, (7, 5)), (CROWDED, (7, 5)), (Purse(1.0), (6, 5))]
)
def test_nor_the_baseline_from_adding_in_the_place_of_a_lost_policy(
    lost: Proposal, purse: Purse, expected: tuple[int, int]
) -> None:
    verdict = judge(lost, PLAIN, state(), PRICED, PAST, NOW_S, purse)
    assert counts(verdict) == expected
    assert "CROWD" not in {code for code, *_ in reasons(verdict)}


def test_who_asks_for_just_what_the_baseline_adds_to_the_blind_need_not_wait() -> None:
    old = Reading(50.0, NOW_S - 61)
    unseen = state(od={"rate_rps": old, "in_flight": old})
    blind = watched(state(NOW_S - 61), span_s=900)
    found = judge(proposal(7, 5), PLAIN, unseen, PRICED, blind, NOW_S, CROWDED)
    assert counts(found) == (7, 5)
    assert not reasons(found)


def test_before_the_first_route_is_written_a_sound_policy_waits_and_no_baseline_comes() -> None:
    bare = state(od={"weight": 0.0}, spot={"weight": 0.0})
    found = judge(proposal(8, 6), PLAIN, bare, PRICED, PAST, NOW_S, CROWDED)
    assert counts(found) == (5, 5)


def test_a_present_that_is_not_known_is_left_alone() -> None:
    unknown = state(NOW_S - 100)
    assert judged(Purse(0.0, frozenset("ab"), 2), seen=unknown).backends == ()


wishes = st.tuples(st.integers(0, 12), st.integers(0, 12), st.sampled_from([0.5, 0.58]))
purses = st.builds(
    Purse, st.floats(-1, 9), st.sets(st.sampled_from("abw")).map(frozenset), st.integers(1, 4)
)


@given(st.tuples(wishes, wishes, wishes), purses)
def test_together_they_never_spend_or_change_more(
    wished: tuple[tuple[int, int, float], ...], purse: Purse
) -> None:
    first, cost = purse, 0.0
    for service, (od, spot, share) in zip("wxy", wished, strict=True):
        allowed = Limits(service, PRICED.backends, down_percent=100)
        wish = proposal(od, spot, (share, 1 - share), service=service)
        arguments = (), state(service=service), allowed, PAST, NOW_S, purse
        found = judge(wish, *arguments)
        again = judge(wish._replace(backends=found.backends), *arguments)
        assert again.backends == found.backends
        growth = [max(0, n - 5) for n in counts(found)]
        price = growth[0] + growth[1] * 0.1
        if (*counts(found), found.backends[0].weight) != (5, 5, 0.5):
            purse = purse.after(Change(NOW_S, service, price))
        cost += price
    assert cost <= max(0.0, first.left) + 1e-6
    assert len(purse.busy) <= max(len(first.busy), first.at_once)


def test_the_memory_is_an_hour_long_and_outlives_a_clock() -> None:
    past = [Change(NOW_S - s, "x", s) for s in (3600.1, 3600, 1, -500)]
    assert recent(past, NOW_S) == (
        Change(NOW_S - 3600, "x", 3600),
        Change(NOW_S - 1, "x", 1),
        Change(NOW_S, "x", -500),
    )


def test_a_bottomless_purse_pays_everything() -> None:
    most = Verdict("web", NOW_S, (Want("od", 10**9, 0.5), Want("spot", 5, 0.5)))
    assert paid(most, state(), PRICED, BOTTOMLESS) == most
    assert BOTTOMLESS.crowd("web") is None


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"budget": -1.0}, "cluster: budget is -1.0; it must be a number from 0 to 1e+09 price x"),
        ({"budget": math.nan}, "cluster: budget is nan"),
        ({"services_at_once": 0}, "cluster: services_at_once is 0; it must be a whole number"),
        ({"change_window_s": 0}, "cluster: change_window_s is 0; it must be a number from 0.001"),
    ],
)
def test_limits_of_the_cluster_are_refused_by_name(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011  # the message is compared below
        ClusterLimits(**fields)
    assert message in str(caught.value)


def test_speed_shrinks_the_windows_of_the_cluster() -> None:
    fast = ClusterLimits().scaled(6)
    assert fast == ClusterLimits(budget_window_s=100.0, change_window_s=10.0)
