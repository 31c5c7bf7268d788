"""The limits on replicas: each alone, at its boundary, and in the corners that meet."""

from __future__ import annotations

from typing import Any

import pytest

from trimtab_guard.guard import restore
from trimtab_guard.history import History
from trimtab_guard.limits import BackendLimits
from trimtab_guard.model import Reading, State, Want
from trimtab_guard.replicas import Sight

from .world import (
    NOW_S,
    ages,
    codes,
    limits,
    proposal,
    reasons,
    replicas,
    state,
    verdict,
    watched,
)


def od(wanted: int, **fields: Any) -> State:
    """A state in which only the replicas of od differ."""
    return state(od={"wanted": wanted, "ready": wanted} | fields)


def steady(wanted: int, asked: float = 0, **fields: Any) -> History:
    """900 s of ``wanted`` replicas at od, with ``asked`` proposed."""
    history = History.empty(NOW_S - 900)
    for age_s in ages():
        seen = state(NOW_S - age_s, od={"wanted": wanted, "ready": wanted} | fields)
        history = history.with_state(seen).with_proposal(proposal(asked, 5, time_s=seen.time_s))
    return history


def test_a_proposal_within_every_limit_passes_untouched() -> None:
    result = verdict(proposal(6, 5, (0.55, 0.45)))
    assert replicas(result) == {"od": 6, "spot": 5}
    assert result.reasons == ()


@pytest.mark.parametrize(
    ("present", "asked", "allowed", "why"),
    [
        pytest.param(4, 11, 8, ["MAX_REPLICAS", "RATE_UP"], id="above the maximum, and too fast"),
        pytest.param(9, 11, 10, ["MAX_REPLICAS"], id="above the maximum"),
        pytest.param(9, 10, 10, [], id="at the maximum"),
        pytest.param(2, 1, 2, ["MIN_REPLICAS"], id="below the minimum"),
        pytest.param(3, 2, 2, [], id="at the minimum"),
        pytest.param(1, 1, 2, ["MIN_REPLICAS"], id="present below the minimum: raised"),
        pytest.param(0, 0, 2, ["MIN_REPLICAS", "NOT_READY"], id="nothing there: raised"),
        pytest.param(
            20, 20, 18, ["MAX_REPLICAS", "RATE_DOWN"], id="present above: shrinks at rate"
        ),
        pytest.param(11, 15, 10, ["MAX_REPLICAS"], id="one above: shrinks although more is wanted"),
    ],
)
def test_absolute_range(present: int, asked: int, allowed: int, why: list[str]) -> None:
    past = steady(present, asked=asked)
    result = verdict(proposal(asked), od(present), past, limits(2, 10))
    assert replicas(result)["od"] == allowed
    assert [code for code, name, *_ in reasons(result) if name == "od"] == why


def test_a_lowered_maximum_does_not_wait_for_the_hold_window() -> None:
    past = steady(8, asked=8)
    result = verdict(proposal(8), od(8), past, limits(1, 5))
    assert reasons(result) == [("MAX_REPLICAS", "od", 8, 5), ("RATE_DOWN", "od", 5, 7)]


def test_far_below_the_minimum_is_raised_at_the_allowed_rate() -> None:
    result = verdict(proposal(1), od(1), steady(1), limits(8, 20))
    assert replicas(result)["od"] == 5


@pytest.mark.parametrize(
    ("present", "most"),
    [(0, 4), (1, 5), (3, 7), (4, 8), (5, 10), (10, 20), (33, 66), (99, 198)],
)
def test_growth_is_the_larger_of_100_percent_and_4(present: int, most: int) -> None:
    past = steady(present)
    for asked in range(present, most + 5):
        result = verdict(proposal(asked), od(present), past, limits(0, 1000))
        assert replicas(result)["od"] == min(asked, most)
        assert ("RATE_UP" in codes(result)) == (asked > most)


@pytest.mark.parametrize(
    ("present", "least"),
    [(1, 0), (2, 1), (9, 8), (10, 9), (19, 18), (20, 18), (29, 27), (30, 27), (100, 90)],
)
def test_shrinking_is_the_larger_of_10_percent_and_1(present: int, least: int) -> None:
    past, seen = steady(present, weight=0.0), od(present, weight=0.0)
    for asked in range(max(0, least - 3), present + 1):
        result = verdict(proposal(asked, shares=(0.0, 1.0)), seen, past, limits(0, 200))
        assert replicas(result)["od"] == max(asked, least)
        assert ("RATE_DOWN" in codes(result)) == (asked < least)


@pytest.mark.parametrize("age_s", [0, 1, 30, 59, 60, 60.001, 61, 600])
def test_the_rate_window_slides_and_never_starts_afresh(age_s: float) -> None:
    past = steady(5).with_change(NOW_S - age_s, "od", 5, 10)
    result = verdict(proposal(40), od(10), past, limits(1, 40))
    assert replicas(result)["od"] == (10 if age_s <= 60 else 20)


@pytest.mark.parametrize("age_s", [0, 1, 59, 60, 60.001, 61, 600])
def test_the_rate_window_slides_downwards_too(age_s: float) -> None:
    past = steady(9).with_change(NOW_S - age_s, "od", 9, 8)
    result = verdict(proposal(1), od(8), past)
    assert replicas(result)["od"] == (8 if age_s <= 60 else 7)


def test_another_hands_fall_is_not_undone_by_the_rate() -> None:
    past = steady(20).with_change(NOW_S - 10, "od", 20, 9)
    result = verdict(proposal(5), od(9), past, limits(1, 40))
    assert reasons(result) == [("RATE_DOWN", "od", 5, 9)]


def test_growth_in_small_steps_counts_as_one() -> None:
    past = steady(5)
    for age_s, before in ((40, 5), (30, 7), (20, 8)):
        past = past.with_change(NOW_S - age_s, "od", before, before + 1 + (before == 5))
    result = verdict(proposal(40), od(9), past, limits(1, 40))
    assert replicas(result)["od"] == 10


def test_another_hands_change_fills_the_window_too() -> None:
    past = steady(5).with_state(state(NOW_S - 20, od={"wanted": 9}))
    result = verdict(proposal(40), od(9), past, limits(1, 40))
    assert replicas(result)["od"] == 10


def test_what_another_hand_added_beyond_the_rate_may_stay() -> None:
    past = steady(1).with_state(state(NOW_S - 20, od={"wanted": 10}))
    result = verdict(proposal(12), od(10), past, limits(1, 40))
    assert reasons(result) == [("RATE_UP", "od", 12, 10)]


def test_overload_with_a_full_rate_window_holds_the_present() -> None:
    past = steady(5).with_change(NOW_S - 10, "od", 5, 10)
    result = verdict(proposal(40), od(10), past, limits(1, 40))
    assert reasons(result) == [("RATE_UP", "od", 40, 10)]


@pytest.mark.parametrize("age_s", [1, 150, 299, 300, 301, 305, 400])
def test_down_only_to_the_highest_proposal_of_the_hold_window(age_s: float) -> None:
    history = History.empty(NOW_S - 900)
    for tick_s in sorted({*range(0, 900, 5), 900 - age_s}):
        seen = state(NOW_S - 900 + tick_s)
        asked = 5 if tick_s == 900 - age_s else 2
        history = history.with_state(seen).with_proposal(proposal(asked, time_s=seen.time_s))
    result = verdict(proposal(3), past=history)
    expected = [("HOLD", "od", 3, 5)] if age_s <= 300 else [("RATE_DOWN", "od", 3, 4)]
    assert reasons(result) == expected


def test_a_proposal_that_wants_less_lowers_nothing_that_an_earlier_one_wanted() -> None:
    past = steady(9, asked=7)
    result = verdict(proposal(1), od(9), past)
    assert reasons(result) == [("HOLD", "od", 1, 7), ("RATE_DOWN", "od", 7, 8)]


@pytest.mark.parametrize(
    ("span_s", "allowed"), [(0, 5), (5, 5), (200, 5), (300, 5), (305, 4), (900, 4)]
)
def test_no_scale_down_before_a_full_window_was_watched(span_s: int, allowed: int) -> None:
    result = verdict(proposal(4), past=watched(span_s=span_s))
    assert replicas(result)["od"] == allowed
    assert ("NO_HISTORY" in codes(result)) == (allowed == 5)


@pytest.mark.parametrize(("hole_s", "allowed"), [(5, 4), (59, 4), (60, 4), (61, 5), (200, 5)])
@pytest.mark.parametrize(("ago_s", "forgiven"), [(1, False), (300, False), (301, True)])
def test_a_hole_in_the_memory_starts_the_window_again(
    hole_s: int, allowed: int, ago_s: int, forgiven: bool
) -> None:
    past = History.empty(NOW_S - 2000)
    before_s = range(2000, ago_s + hole_s, -25)
    for age_s in (*before_s, ago_s + hole_s, *range(ago_s, 0, -5)):
        asked = proposal(1, 1, time_s=NOW_S - age_s)
        past = past.with_state(state(NOW_S - age_s)).with_proposal(asked)
    result = verdict(proposal(4), past=past)
    assert replicas(result)["od"] == (4 if forgiven else allowed)


def test_time_in_the_dark_is_no_history() -> None:
    """Proposals made while a sensor was dead say nothing about what was needed."""
    dead = [
        state(NOW_S - age_s, od={"rate_rps": Reading(0.0, NOW_S - 400)})
        for age_s in range(300, 100, -5)
    ]
    awake = [state(NOW_S - age_s) for age_s in range(100, 0, -5)]
    past = History.empty(NOW_S - 900)
    for seen in (*[state(NOW_S - age_s) for age_s in range(900, 300, -5)], *dead, *awake):
        past = past.with_state(seen).with_proposal(proposal(1, 1, time_s=seen.time_s))
    assert replicas(verdict(proposal(4)))["od"] == 4
    assert reasons(verdict(proposal(4), past=past)) == [("NO_HISTORY", "od", 4, 5)]


@pytest.mark.parametrize(
    ("moves", "present", "allowed"),
    [
        pytest.param([], 10, 9, id="calm"),
        pytest.param([(10, 2), (2, 10)], 10, 9, id="16 of 20: room for 2"),
        pytest.param([(10, 2), (2, 10), (10, 9), (9, 10)], 10, 9, id="18 of 20: just room for 1"),
        pytest.param([(10, 2), (2, 10), (10, 8), (8, 9), (9, 10)], 10, 10, id="20 of 20: spent"),
        pytest.param([(9, 2), (2, 9), (9, 7)], 7, 7, id="16 of 20 and 3 to come back: no room"),
        pytest.param([(9, 2), (2, 9)], 9, 8, id="14 of 20 and 1 to come back: room"),
        pytest.param([(6, 2), (2, 6), (6, 4), (4, 6)], 6, 5, id="12 of 20, 4 to come back: room"),
        pytest.param([(30, 8), (8, 30)], 30, 27, id="above the maximum: 44 of 60"),
        pytest.param([(30, 1), (1, 30)], 30, 29, id="above the maximum: 58 of 60"),
    ],
)
def test_flapping_is_paid_from_a_budget(
    moves: list[tuple[int, int]], present: int, allowed: int
) -> None:
    past = steady(moves[0][0] if moves else present)
    for turn, (before, after) in enumerate(moves):
        past = past.with_change(NOW_S - 500 + turn, "od", before, after)
    result = verdict(proposal(1), od(present), past)
    assert replicas(result)["od"] == allowed
    assert ("FLAP" in codes(result)) == (allowed in (present, 29))


def test_a_spent_flap_budget_never_stands_in_the_way_of_capacity() -> None:
    past = steady(5)
    for turn in range(40):
        past = past.with_change(NOW_S - 500 + turn, "od", 5 + turn % 2, 6 - turn % 2)
    assert replicas(verdict(proposal(8), past=past))["od"] == 8
    assert reasons(verdict(proposal(4), past=past)) == [("FLAP", "od", 4, 5)]


@pytest.mark.parametrize("age_s", [599, 600, 601])
def test_the_flap_window_slides(age_s: float) -> None:
    past = steady(10)
    for before, after in ((10, 2), (2, 10), (10, 8), (8, 10)):
        past = past.with_change(NOW_S - age_s, "od", before, after)
    result = verdict(proposal(1), od(10), past)
    assert replicas(result)["od"] == (10 if age_s <= 600 else 9)


@pytest.mark.parametrize(
    ("weight", "present", "allowed"), [(0.5, 1, 1), (0.001, 1, 1), (0.0, 1, 0), (0.5, 0, 0)]
)
def test_the_last_replica_stays_while_it_has_a_share_of_the_route(
    weight: float, present: int, allowed: int
) -> None:
    seen = od(present, weight=weight)
    wish = proposal(0, shares=(0.0, 1.0))
    result = verdict(wish, seen, steady(present, weight=weight), limits(0, 10))
    assert replicas(result)["od"] == allowed
    assert ("ROUTED" in codes(result)) == (weight > 0 and present > 0)


@pytest.mark.parametrize(
    ("weight", "load_rps", "most", "allowed"),
    [
        pytest.param(0.5, 100.0, 10, 6, id="12 rps each, 2 of them headroom"),
        pytest.param(0.5, 100.1, 10, 7, id="a bit more"),
        pytest.param(0.5, 40.0, 10, 5, id="little load: as fast as the rate allows"),
        pytest.param(0.5, 900.0, 10, 10, id="overloaded: all that is there"),
        pytest.param(0.5, 900.0, 8, 8, id="a lowered maximum wins"),
        pytest.param(0.0, 900.0, 10, 5, id="no share: what comes is a rest"),
    ],
)
def test_a_share_leaves_before_the_replicas_that_it_needs(
    weight: float, load_rps: float, most: int, allowed: int
) -> None:
    seen = od(10, weight=weight, rate_rps=Reading(load_rps, NOW_S))
    backends = (BackendLimits("od", 1, most, 20.0), BackendLimits("spot"))
    tolerant = limits(backends=backends, down_percent=50)
    result = verdict(proposal(1), seen, steady(10, weight=weight), tolerant)
    assert replicas(result)["od"] == allowed
    assert ("ROUTED" in codes(result)) == (weight > 0)


def test_a_backend_without_load_keeps_one_replica_for_its_share() -> None:
    idle = {"rate_rps": Reading(0.0, NOW_S), "in_flight": Reading(0.0, NOW_S)}
    result = verdict(proposal(0), od(1, **idle), steady(1, **idle), limits(0, 10))
    assert reasons(result) == [("ROUTED", "od", 0, 1)]


@pytest.mark.parametrize(
    ("asked", "fields", "past", "why"),
    [
        pytest.param(20.0, {}, steady(9), "RATE_UP", id="as proposed"),
        pytest.param(1, {"rollout": True}, steady(9), "ROLLOUT", id="the present"),
        pytest.param(1, {}, steady(9, asked=8.0), "HOLD", id="the highest proposal"),
        pytest.param(1, {"least": 8.0}, steady(9), "DISRUPTION", id="a disruption budget"),
        pytest.param(
            *(1, {}, steady(9).with_change(NOW_S - 500, "od", 2.0, 9.0), "FLAP"),
            id="the churn",
        ),
    ],
)
def test_replicas_are_whole_also_where_they_came_as_floats(
    asked: float, fields: dict[str, Any], past: History, why: str
) -> None:
    floats = {"wanted": 9.0, "ready": 9.0, "weight": 0.0, "disruption_min": fields.get("least", 0)}
    seen = state(od=floats, rollout=fields.get("rollout", False))
    tolerant = limits(0, 20, down_percent=100)
    result = verdict(proposal(asked, shares=(0.0, 1.0)), seen, past, tolerant)
    assert why in codes(result)
    assert [type(want.replicas) for want in result.backends] == [int, int]


def test_what_a_limit_was_not_told_of_is_not_in_its_way() -> None:
    at = Sight(5, (5,), False, BackendLimits("od"), limits())
    assert (at.needed, at.peak, at.churn, at.disruption_min) == (0, 0, 0, 0)
    assert (at.remembered, at.rollout, at.dropped) == (False, False, False)


def test_backends_are_limited_each_on_its_own() -> None:
    past = watched().with_change(NOW_S - 10, "od", 2, 5)
    allowed = limits(backends=(BackendLimits("spot", 1, 8), BackendLimits("od", 1, 9)))
    result = verdict(proposal(10, 10), past=past, allowed=allowed)
    assert reasons(result) == [
        ("MAX_REPLICAS", "od", 10, 9),
        ("RATE_UP", "od", 9, 6),
        ("MAX_REPLICAS", "spot", 10, 8),
    ]


def test_the_baseline_is_limited_like_a_proposal() -> None:
    broken = proposal(-1)
    baseline = (Want("od", 50, 0.0), Want("spot", 1, 1.0))
    result = verdict(broken, od(10), steady(10), limits(1, 40), baseline)
    assert replicas(result) == {"od": 20, "spot": 5}
    assert codes(result) == {"BAD_VALUE", "MAX_REPLICAS", "RATE_UP"}


@pytest.mark.parametrize(
    ("now_rps", "was_rps", "ago_s", "held"),
    [
        pytest.param(100.0, 100.0, 10, False, id="as ever"),
        pytest.param(80.0, 200.0, 10, False, id="40 % of what it was"),
        pytest.param(78.0, 200.0, 10, True, id="below that"),
        pytest.param(0.0, 200.0, 10, True, id="an outage"),
        pytest.param(0.0, 200.0, 600, True, id="ten minutes ago"),
        pytest.param(0.0, 200.0, 600.001, False, id="longer ago"),
        pytest.param(0.0, 0.0, 10, False, id="never any load"),
    ],
)
def test_a_sudden_drop_freezes_scale_downs(
    now_rps: float, was_rps: float, ago_s: float, held: bool
) -> None:
    def loaded(age_s: float) -> State:
        rps = was_rps if age_s == ago_s else now_rps
        load = {
            "rate_rps": Reading(rps / 2, NOW_S - age_s),
            "in_flight": Reading(2.0, NOW_S - age_s),
        }
        return state(NOW_S - age_s, od=load, spot=load)

    past = History.empty(NOW_S - 900)
    for age_s in sorted({*range(5, 900, 5), ago_s}, reverse=True):
        wish = proposal(1, 1, time_s=NOW_S - age_s)
        past = past.with_state(loaded(age_s)).with_proposal(wish)
    result = verdict(proposal(1, 1), loaded(0), past)
    assert replicas(result) == ({"od": 5, "spot": 5} if held else {"od": 4, "spot": 4})
    assert ("DROP" in codes(result)) == held


def test_a_lowered_maximum_does_not_wait_for_the_load() -> None:
    rate = {"rate_rps": Reading(1.0, NOW_S)}
    result = verdict(proposal(1, 1), state(od=rate, spot=rate), allowed=limits(1, 4))
    assert replicas(result) == {"od": 4, "spot": 4}
    assert codes(result) == {"DROP"}


@pytest.mark.parametrize(
    ("least", "allowed"), [(0, 4), (4, 4), (5, 5), (9, 5)], ids=["none", "below", "at it", "above"]
)
def test_a_disruption_budget_is_a_floor(least: int, allowed: int) -> None:
    seen = state(od={"disruption_min": least})
    result = verdict(proposal(1, 5), seen)
    assert replicas(result)["od"] == allowed
    assert ("DISRUPTION" in codes(result)) == (least > 1)
    lowered = verdict(proposal(1, 5), seen, allowed=limits(1, 3))
    assert replicas(lowered)["od"] == allowed


def test_a_rollout_stops_scale_downs_and_the_route() -> None:
    result = verdict(proposal(1, 8, (0.55, 0.45)), state(rollout=True))
    assert replicas(result) == {"od": 5, "spot": 8}
    assert reasons(result) == [
        ("ROLLOUT", "od", 1, 5),
        ("ROLLOUT", "od", 0.55, 0.5),
        ("ROLLOUT", "spot", 0.45, 0.5),
    ]


def test_in_a_rollout_what_cannot_serve_is_left_and_an_action_is_taken_back() -> None:
    gone = verdict(proposal(), state(rollout=True, od={"ready": 0}))
    assert [want.weight for want in gone.backends] == [0.0, 1.0]
    before = (Want("od", 5, 0.9), Want("spot", 5, 0.1))
    back = restore(before, state(rollout=True), limits(), watched(), NOW_S)
    assert [want.weight for want in back.backends] == pytest.approx([0.9, 0.1])
