"""Whose word counts: refusals of the present, doubts about signals, flaws of proposals."""

from __future__ import annotations

import math
from typing import Any

import pytest

from trimtab_guard.history import History
from trimtab_guard.limits import BackendLimits
from trimtab_guard.model import Proposal, Reading, State, Want
from trimtab_guard.proposals import miscounted
from trimtab_guard.senses import Doubt, doubts, signals, trusted_s

from .world import (
    NOW_S,
    ages,
    backend,
    codes,
    limits,
    proposal,
    reasons,
    replicas,
    shares,
    state,
    verdict,
    watched,
)

MORE = (Want("od", 8, 0.1), Want("spot", 7, 0.9))
NAN, INF = math.nan, math.inf


# The present is not known: nothing may be touched.


@pytest.mark.parametrize(
    ("seen", "reason"),
    [
        pytest.param(state(service="other"), ("NOT_LISTED", "other", 1, 0), id="other service"),
        pytest.param(
            state(backends=(*state().backends, backend("new"))),
            ("NOT_LISTED", "new", 1, 0),
            id="unlisted backend",
        ),
        pytest.param(
            state(backends=state().backends[:1]), ("UNSEEN", "spot", 0, 1), id="backend missing"
        ),
        pytest.param(
            state(backends=(*state().backends, backend("od"))),
            ("UNSEEN", "od", 2, 1),
            id="backend twice",
        ),
        pytest.param(
            state(replicas_time_s=NOW_S - 3.5), ("UNSEEN", "", 3.5, 3), id="counts are old"
        ),
        pytest.param(
            state(replicas_time_s=NOW_S + 2), ("UNSEEN", "", -2, 3), id="counts of the future"
        ),
        pytest.param(state(NOW_S - 4), ("UNSEEN", "", 4, 3), id="state is old"),
        pytest.param(state(NOW_S + 2), ("CLOCK", "", NOW_S, NOW_S + 2), id="state of the future"),
        pytest.param(state(od={"wanted": -1}), ("UNSEEN", "od", -1, 1e9), id="negative count"),
        pytest.param(state(od={"ready": 10**10}), ("UNSEEN", "od", 1e10, 1e9), id="huge count"),
        pytest.param(state(od={"starting": 0.5}), ("UNSEEN", "od", 0.5, 1e9), id="half a replica"),
        pytest.param(state(od={"draining": INF}), ("UNSEEN", "od", INF, 1e9), id="infinite count"),
        pytest.param(state(od={"weight": -0.1}), ("UNSEEN", "od", -0.1, 1), id="negative share"),
        pytest.param(state(od={"weight": 1.1}), ("UNSEEN", "od", 1.1, 1), id="share above one"),
    ],
)
def test_an_unknown_present_is_left_alone(seen: State, reason: tuple[Any, ...]) -> None:
    result = verdict(proposal(8), seen, baseline=MORE)
    assert result.backends == ()
    assert reason in reasons(result)


@pytest.mark.parametrize(
    "seen",
    [
        state(od={"wanted": NAN}),
        state(od={"weight": NAN}),
        state(replicas_time_s=NAN),
        state(time_s=NAN),
    ],
    ids=["count", "share", "time of counts", "time"],
)
def test_nan_in_the_present_is_left_alone(seen: State) -> None:
    assert verdict(proposal(8), seen).backends == ()


@pytest.mark.parametrize(("age_s", "seen"), [(0, True), (3, True), (3.001, False), (-1, True)])
def test_counts_may_be_three_ticks_old(age_s: float, seen: bool) -> None:
    past = watched()
    assert bool(verdict(seen=state(replicas_time_s=NOW_S - age_s), past=past).backends) == seen


@pytest.mark.parametrize(
    ("back_s", "touched"), [(0, True), (0.5, True), (1, True), (1.5, False), (1e6, False)]
)
def test_a_clock_that_went_back_stops_everything_for_a_tick(back_s: float, touched: bool) -> None:
    past = watched(state(NOW_S + back_s))
    result = verdict(proposal(8), past=past)
    assert bool(result.backends) == touched
    assert ("CLOCK" in codes(result)) == (not touched)


def test_after_the_clock_went_back_windows_start_closed() -> None:
    past = watched(state(NOW_S + 5000)).with_change(NOW_S + 5000, "od", 3, 5).with_state(state())
    result = verdict(proposal(8, 4), state(NOW_S + 1), past, now_s=NOW_S + 1)
    assert reasons(result) == [("RATE_UP", "od", 8, 7), ("NO_HISTORY", "spot", 4, 5)]


# A signal is in doubt: hold, then the baseline, upward only.


def aged(age_s: float) -> State:
    """A state whose rate of spot was measured ``age_s`` ago; the memory holds the same one."""
    return state(spot={"rate_rps": Reading(100.0, NOW_S - age_s)})


def forgotten(age_s: float) -> History:
    """A calm memory that ends with such a state."""
    return watched(aged(age_s)) if age_s < 5 else _silent_for(age_s)


def _silent_for(age_s: float) -> History:
    history = History.empty(NOW_S - 900)
    for tick_s in ages():
        now_s = NOW_S - tick_s
        rate = Reading(100.0 + now_s % 7, now_s)
        last = Reading(100.0, NOW_S - age_s)
        seen = state(now_s, spot={"rate_rps": rate if now_s < last.time_s else last})
        history = _later(history, seen)
    return history


@pytest.mark.parametrize(
    ("age_s", "counts", "code"),
    [
        pytest.param(0, (7, 4), None, id="fresh"),
        pytest.param(3, (7, 4), None, id="3 ticks old"),
        pytest.param(3.001, (5, 5), "STALE", id="stale"),
        pytest.param(30, (5, 5), "STALE", id="old"),
        pytest.param(60, (5, 5), "STALE", id="just not blind"),
        pytest.param(60.001, (8, 7), "BLIND", id="blind"),
        pytest.param(800, (8, 7), "BLIND", id="blind for long"),
    ],
)
def test_stale_signals_hold_and_blindness_calls_the_baseline(
    age_s: float, counts: tuple[int, int], code: str | None
) -> None:
    wish = proposal(7, 4, (0.55, 0.45))
    result = verdict(wish, aged(age_s), forgotten(age_s), baseline=MORE)
    assert tuple(replicas(result).values()) == counts
    if code:
        assert (code, "od", 7, counts[0]) in reasons(result)
        assert ("ROUTE_HELD", "od", 0.55, 0.5) in reasons(result)
        assert shares(result) == {"od": 0.5, "spot": 0.5}
    else:
        assert codes(result) <= {"RATE_DOWN"}


def test_a_signal_that_was_never_seen_is_blindness() -> None:
    past = History.empty(NOW_S - 5).with_state(state(NOW_S - 5, od={"rate_rps": Reading(NAN, 0.0)}))
    result = verdict(proposal(1), state(od={"rate_rps": Reading(NAN, NOW_S)}), past, baseline=MORE)
    assert replicas(result) == {"od": 8, "spot": 7}
    assert ("BLIND", "od", 1, 8) in reasons(result)


def test_of_several_doubts_the_worst_is_named() -> None:
    seen = aged(800)._replace(p95_ms=Reading(-1.0, NOW_S))
    assert codes(verdict(proposal(2, 2), seen, forgotten(800))) == {"BLIND"}
    seen = aged(20)._replace(p95_ms=Reading(-1.0, NOW_S))
    assert codes(verdict(proposal(2, 2), seen, forgotten(20))) == {"INVALID"}


def test_without_a_baseline_blindness_adds_nothing() -> None:
    seen = aged(800)._replace(backends=(backend("od", wanted=0, ready=0), aged(800).backends[1]))
    result = verdict(proposal(2, 2), seen, forgotten(800), limits(0, 10))
    assert replicas(result) == {"od": 0, "spot": 5}


def test_a_blind_baseline_never_takes_away() -> None:
    less = (Want("od", 1, 0.5), Want("spot", 9, 0.5), Want("other", 9, 0.5))
    result = verdict(proposal(2, 2), aged(800), forgotten(800), baseline=less)
    assert replicas(result) == {"od": 5, "spot": 9}


@pytest.mark.parametrize("bad", [-5, 2.5, NAN, INF])
def test_a_baseline_of_nonsense_is_no_baseline(bad: Any) -> None:
    result = verdict(proposal(2, 2), aged(800), forgotten(800), baseline=(Want("od", bad, 0.5),))
    assert replicas(result) == {"od": 5, "spot": 5}


@pytest.mark.parametrize(
    "reading",
    [
        pytest.param(Reading(NAN, NOW_S), id="nan"),
        pytest.param(Reading(INF, NOW_S), id="infinite"),
        pytest.param(Reading(-1.0, NOW_S), id="negative: a counter was reset"),
        pytest.param(Reading(2e9, NOW_S), id="out of range"),
        pytest.param(Reading(9.0, NOW_S + 2), id="of the future"),
        pytest.param(Reading(9.0, NOW_S - 30), id="older than the last"),
        pytest.param(Reading(9.0, NAN), id="at no time"),
        pytest.param(Reading(9.0, -1.0), id="before all time"),
    ],
)
@pytest.mark.parametrize("signal", ["rate_rps", "in_flight"])
def test_an_impossible_reading_holds_at_once(signal: str, reading: Reading) -> None:
    result = verdict(proposal(7, 4), state(spot={signal: reading}), baseline=MORE)
    assert replicas(result) == {"od": 5, "spot": 5}
    assert codes(result) == {"INVALID"}


@pytest.mark.parametrize(
    ("field", "value", "held"),
    [
        ("p50_ms", NAN, False),
        ("p95_ms", NAN, False),
        ("miss_share", NAN, False),
        ("p50_ms", -1.0, True),
        ("p95_ms", INF, True),
        ("miss_share", 1.5, True),
        ("miss_share", 1.0, False),
    ],
)
def test_latency_and_misses_may_be_missing_but_not_impossible(
    field: str, value: float, held: bool
) -> None:
    """A service that answers nothing has no latency, and that is no time to stop scaling."""
    result = verdict(proposal(7), state(**{field: Reading(value, NOW_S)}))
    assert codes(result) == ({"INVALID"} if held else set())


def test_an_old_latency_is_no_doubt() -> None:
    past = watched(state(NOW_S - 1, p95_ms=Reading(70.0, NOW_S - 400)))
    assert codes(verdict(proposal(7), state(p95_ms=Reading(90.0, NOW_S - 5)), past)) == set()


def test_an_impossible_signal_that_stays_so_calls_the_baseline() -> None:
    past = History.empty(NOW_S - 900)
    for age_s in ages():
        p95_ms = Reading(90.0 if age_s > 90 else -1.0, NOW_S - age_s)
        past = _later(past, state(NOW_S - age_s, p95_ms=p95_ms))
    result = verdict(proposal(6), state(p95_ms=Reading(-1.0, NOW_S)), past, baseline=MORE)
    assert replicas(result) == {"od": 8, "spot": 7}


def _later(history: History, seen: State) -> History:
    return history.with_state(seen).with_proposal(proposal(1, 1, time_s=seen.time_s))


@pytest.mark.parametrize(
    ("ticks", "value", "od_moves", "in_flight", "doubted"),
    [
        pytest.param(29, 42.0, True, True, False, id="29 equal rates"),
        pytest.param(30, 42.0, True, True, True, id="30 equal rates"),
        pytest.param(40, 42.0, True, False, True, id="another rate is witness"),
        pytest.param(40, 42.0, False, True, True, id="its own requests are witness"),
        pytest.param(30, 42.0, False, False, False, id="all have come to rest together"),
        pytest.param(40, 42.0, False, False, False, id="nothing moves: quiet"),
        pytest.param(40, 0.5, True, False, True, id="a small rate, too"),
        pytest.param(40, 0.0, True, False, False, id="idle while others work"),
        pytest.param(40, 0.0, True, True, True, id="no rate, yet requests come and go"),
    ],
)
def test_a_frozen_rate_is_no_rate(
    ticks: int, value: float, od_moves: bool, in_flight: bool, doubted: bool
) -> None:
    start = NOW_S - (ticks - 1)
    history = History.empty(start - 900)
    for age_s in ages():
        history = _later(history, state(start - age_s))
    for tick in range(ticks):
        now_s = start + tick
        od = {} if od_moves else {"rate_rps": Reading(9.0, now_s), "in_flight": Reading(2.0, now_s)}
        spot = {"rate_rps": Reading(value, now_s)}
        spot |= {} if in_flight else {"in_flight": Reading(3.0, now_s)}
        seen = state(now_s, od=od, spot=spot)
        history = _later(history, seen) if now_s < NOW_S else history
    result = verdict(proposal(7), seen, history)
    assert codes(result) == ({"FROZEN"} if doubted else set())


def test_a_rate_that_stays_frozen_is_blindness() -> None:
    past = History.empty(NOW_S - 900)
    for age_s in range(900, 0, -2):
        now_s = NOW_S - age_s
        rate = Reading(100.0 + now_s % 7 if age_s > 70 else 42.0, now_s)
        past = _later(past, state(now_s, spot={"rate_rps": rate}))
    seen = state(spot={"rate_rps": Reading(42.0, NOW_S)})
    assert replicas(verdict(proposal(2, 2), seen, past, baseline=MORE)) == {"od": 8, "spot": 7}


def test_doubts_name_the_signal_and_its_age() -> None:
    seen = aged(20)._replace(miss_share=Reading(7.0, NOW_S))
    known = forgotten(20).with_state(seen).senses
    found = doubts(seen, known, limits(), NOW_S)
    assert found == (Doubt("STALE", "spot.rate_rps", 20.0), Doubt("INVALID", "miss_share", 5.0))


def test_in_doubt_the_minimum_still_holds_and_the_maximum_may_wait() -> None:
    bad = state(od={"rate_rps": Reading(NAN, NOW_S)})
    assert replicas(verdict(proposal(), bad, allowed=limits(7, 10))) == {"od": 7, "spot": 7}
    assert replicas(verdict(proposal(), bad, allowed=limits(1, 3))) == {"od": 5, "spot": 5}


def test_in_doubt_a_backend_without_ready_replicas_is_still_left() -> None:
    bad = state(od={"rate_rps": Reading(NAN, NOW_S), "ready": 0})
    assert shares(verdict(proposal(), bad)) == {"od": 0.0, "spot": 1.0}


# The proposal is broken: it counts as not made.


def wants(*backends: tuple[str, Any, Any]) -> Proposal:
    return proposal(backends=tuple(Want(*backend) for backend in backends))


@pytest.mark.parametrize(
    ("wish", "expected"),
    [
        pytest.param(proposal(service="x"), ("MISMATCH", "x", 1, 0), id="other service"),
        pytest.param(wants(), ("MISMATCH", "od", 0, 1), id="no backend"),
        pytest.param(wants(("od", 1, 1.0)), ("MISMATCH", "spot", 0, 1), id="backend missing"),
        pytest.param(
            wants(("od", 1, 0.5), ("od", 2, 0.5), ("spot", 1, 0.5)),
            ("MISMATCH", "od", 2, 1),
            id="backend twice",
        ),
        pytest.param(
            wants(("od", 1, 0.5), ("spot", 1, 0.5), ("x", 1, 0.5)),
            ("MISMATCH", "x", 1, 0),
            id="unknown backend",
        ),
        pytest.param(proposal(-1), ("BAD_VALUE", "od", -1, 1e9), id="negative replicas"),
        pytest.param(proposal(2.5), ("BAD_VALUE", "od", 2.5, 1e9), id="half a replica"),
        pytest.param(proposal(INF), ("BAD_VALUE", "od", INF, 1e9), id="infinite replicas"),
        pytest.param(proposal(10**10), ("BAD_VALUE", "od", 1e10, 1e9), id="absurd replicas"),
        pytest.param(
            proposal(shares=(-0.5, 1.0)), ("BAD_VALUE", "od", -0.5, 1), id="negative share"
        ),
        pytest.param(proposal(shares=(1.5, 0.5)), ("BAD_VALUE", "od", 1.5, 1), id="share above 1"),
        pytest.param(proposal(shares=(0.0, 0.0)), ("BAD_VALUE", "", 0, 1), id="no share at all"),
        pytest.param(
            proposal(time_s=NOW_S - 10), ("OUT_OF_ORDER", "", NOW_S - 10, NOW_S - 5), id="older"
        ),
        pytest.param(
            proposal(time_s=NOW_S + 2), ("OUT_OF_ORDER", "", NOW_S + 2, NOW_S), id="of the future"
        ),
    ],
)
def test_one_flaw_and_the_proposal_is_not_made(wish: Proposal, expected: tuple[Any, ...]) -> None:
    result = verdict(wish, baseline=MORE)
    assert replicas(result) == {"od": 8, "spot": 7}
    assert shares(result) == {"od": 0.5, "spot": 0.5}
    assert expected in reasons(result)


@pytest.mark.parametrize(
    "wish",
    [proposal(NAN), proposal(shares=(NAN, 0.5)), proposal(time_s=NAN)],
    ids=["replicas", "share", "time"],
)
def test_nan_in_a_proposal_is_a_flaw(wish: Proposal) -> None:
    result = verdict(wish, baseline=MORE)
    assert replicas(result) == {"od": 8, "spot": 7}
    assert codes(result) <= {"BAD_VALUE", "OUT_OF_ORDER"}


@pytest.mark.parametrize(("age_s", "expired"), [(5, False), (60, False), (60.5, True)])
def test_a_proposal_holds_until_it_expires(age_s: float, expired: bool) -> None:
    past = watched(asked={"od": 7, "time_s": NOW_S - age_s})
    result = verdict(proposal(7, time_s=NOW_S - age_s), past=past)
    assert replicas(result)["od"] == (5 if expired else 7)
    assert ("EXPIRED" in codes(result)) == expired


def test_a_broken_proposal_on_stale_signals_holds() -> None:
    result = verdict(proposal(-1), aged(30), forgotten(30), baseline=MORE)
    assert replicas(result) == {"od": 5, "spot": 5}
    assert codes(result) == {"BAD_VALUE"}


def test_a_broken_proposal_does_not_keep_a_lowered_maximum_waiting() -> None:
    assert replicas(verdict(proposal(-1), allowed=limits(1, 3))) == {"od": 4, "spot": 4}


def test_the_order_of_backends_does_not_matter() -> None:
    result = verdict(wants(("spot", 5, 0.45), ("od", 7, 0.55)))
    assert replicas(result) == {"od": 7, "spot": 5}
    assert result.reasons == ()


def test_whole_floats_are_counts() -> None:
    result = verdict(proposal(6.0), state(od={"wanted": 5.0}))
    assert [type(want.replicas) for want in result.backends] == [int, int]


def test_what_is_just_possible_is_believed() -> None:
    early = {"rate_rps": Reading(1e9, NOW_S), "in_flight": Reading(4.0, NOW_S + 1)}
    largest = state(od=early, miss_share=Reading(1.0, NOW_S))
    wish = proposal(10**9, time_s=NOW_S + 1)
    assert codes(verdict(wish, largest)) == {"MAX_REPLICAS"}


def test_a_reading_may_be_corrected_at_its_own_time() -> None:
    past = watched(state(NOW_S - 2, od={"rate_rps": Reading(50.0, NOW_S - 2)}))
    corrected = state(od={"rate_rps": Reading(60.0, NOW_S - 2)})
    assert codes(verdict(proposal(7), corrected, past)) == set()


def test_only_listed_backends_are_ever_named() -> None:
    alone = limits(backends=(BackendLimits("od"),))
    assert verdict(allowed=alone).backends == ()


# The policy itself says that it was not trained for this.


def strayed(age_s: float) -> History:
    """A memory in which the policy was outside of its envelope until ``age_s`` ago."""
    return watched()._replace(strayed_s=NOW_S - age_s)


@pytest.mark.parametrize(
    ("inside", "age_s", "heard"),
    [
        pytest.param(True, 120, True, id="back for long"),
        pytest.param(True, 119.9, False, id="back for a short while"),
        pytest.param(False, 900, False, id="outside now"),
    ],
)
def test_outside_its_envelope_a_policy_has_no_say(inside: bool, age_s: float, heard: bool) -> None:
    wish = proposal(7, 4, (0.55, 0.45), in_envelope=inside)
    result = verdict(wish, past=strayed(age_s), baseline=MORE)
    if heard:
        assert replicas(result)["od"] == 7
        assert "ENVELOPE" not in codes(result)
    else:
        assert replicas(result) == {"od": 8, "spot": 7}
        assert shares(result) == {"od": 0.5, "spot": 0.5}
        assert reasons(result)[0] == ("ENVELOPE", "", age_s if inside else 0, 120)


def test_what_is_proposed_outside_is_no_history() -> None:
    past = watched()
    outside = proposal(9, 9, time_s=NOW_S - 5, in_envelope=False)
    after = past.with_proposal(outside)
    assert (after.proposals, after.recorded_s) == (past.proposals, past.recorded_s)
    assert after.strayed_s == past.time_s
    assert past.with_proposal(outside._replace(time_s=NOW_S + 99)).strayed_s == 0.0


def test_a_clock_that_went_back_does_not_silence_a_policy_for_longer() -> None:
    ahead = watched()._replace(strayed_s=NOW_S + 5000)
    assert ahead.with_state(state()).strayed_s == NOW_S


def test_what_was_never_read_was_never_believed() -> None:
    assert trusted_s({}, signals(state())) == 0.0
    assert [doubt.code for doubt in doubts(state(), {}, limits(), NOW_S)] == ["BLIND"] * 7


def test_the_worst_doubt_is_told() -> None:
    seen = aged(30)._replace(miss_share=Reading(7.0, NOW_S))
    assert codes(verdict(proposal(7), seen, forgotten(30))) == {"INVALID"}


def test_a_baseline_adds_nothing_to_a_backend_that_it_does_not_name() -> None:
    gone = state(od={"wanted": 0, "ready": 0, "weight": 0.0}, spot={"weight": 1.0})
    assert replicas(verdict(proposal(-1), gone, allowed=limits(0, 10)))["od"] == 0


def test_an_expired_proposal_is_told_with_its_age() -> None:
    past = watched(asked={"time_s": NOW_S - 61})
    result = verdict(proposal(time_s=NOW_S - 61), past=past)
    assert reasons(result) == [("EXPIRED", "", 61, 60)]


def test_a_proposal_may_be_a_second_ahead_of_the_clock() -> None:
    assert verdict(proposal(6, time_s=NOW_S + 1)).reasons == ()


def test_names_that_do_not_match_are_told_once_each_and_in_order() -> None:
    assert reasons(verdict(wants())) == [("MISMATCH", "od", 0, 1), ("MISMATCH", "spot", 0, 1)]
    assert [*miscounted("zbb", "a")] == [("a", 0, 1), ("b", 2, 0), ("z", 1, 0)]
