"""The memory: what it keeps, for how long, and that a restart changes nothing."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab_guard.history import History, load_rps
from trimtab_guard.model import Reading, State
from trimtab_guard.series import Band, Peaks, Steps

from .world import NOW_S, codes, proposal, reasons, replicas, state, verdict, watched

moves = st.lists(st.tuples(st.integers(0, 20), st.integers(-8, 8)), max_size=40)


def timeline(steps: list[tuple[int, int]]) -> list[tuple[float, float]]:
    """(pause, value) pairs as (time_s, value)."""
    times = [float(sum(pause for pause, _ in steps[: i + 1])) for i in range(len(steps))]
    return list(zip(times, (float(value) for _, value in steps), strict=True))


def in_force(points: list[tuple[float, float]], since_s: float) -> list[float]:
    before = [value for time_s, value in points if time_s < since_s][-1:]
    return before + [value for time_s, value in points if time_s >= since_s]


@given(moves, st.integers(0, 500))
def test_peaks_answer_as_if_they_kept_everything(steps: list[tuple[int, int]], since: int) -> None:
    points, peaks = timeline(steps), Peaks()
    for time_s, value in points:
        peaks = peaks.with_value(time_s, value)
    expected = max((value for time_s, value in points if time_s >= since), default=-99)
    assert peaks.highest(since, -99) == expected
    assert len(peaks.points) <= 17


@given(moves, st.integers(0, 500))
def test_bands_and_steps_answer_as_if_they_kept_everything(
    steps: list[tuple[int, int]], since: int
) -> None:
    points = timeline([(0, 3), *steps])
    band, levels = Band(3.0), Steps()
    for time_s, value in points:
        band, levels = band.with_level(time_s, value), levels.with_level(time_s, value)
    force = in_force(points, since)
    assert (band.lowest(since), band.highest(since)) == (min(force), max(force))
    assert set(levels.levels(since)) == set(force)
    assert levels.churn(since) == sum(abs(after - before) for before, after in pairwise(force))


@pytest.mark.parametrize("series", [Peaks(), Steps(), Band(4.0)], ids=["peaks", "steps", "band"])
def test_an_empty_series_has_no_time(series: Any) -> None:
    assert series.last_s == 0.0


def test_the_oldest_point_that_counts_is_kept() -> None:
    peaks = Peaks().with_value(50.0, 4.0).with_value(60.0, 2.0)
    assert peaks.between(50.0, 100.0) == peaks
    assert peaks.between(50.1, 100.0).points == ((60.0, 2.0),)
    assert (Peaks().highest(0.0), peaks.highest(60.1)) == (0.0, 0.0)


def test_a_band_that_forgot_its_past_still_knows_its_level() -> None:
    band = Band(1.0).with_level(0.0, 4.0).between(50.0, 100.0)
    assert (band.lowest(60.0), band.highest(60.0)) == (4.0, 4.0)


def test_a_memory_survives_json() -> None:
    past = watched(asked={"od": 9}).with_change(NOW_S - 3, "od", 5, 8)
    assert History.from_dict(json.loads(json.dumps(past.to_dict()))) == past


@pytest.mark.parametrize(
    "wish", [proposal(8, 8), proposal(1, 1, (0.9, 0.1)), proposal(-1)], ids=["up", "down", "broken"]
)
def test_a_restart_changes_no_verdict(wish: Any) -> None:
    past = watched(asked={"od": 9}).with_change(NOW_S - 30, "spot", 2, 5)
    restored = History.from_dict(json.loads(json.dumps(past.to_dict())))
    assert verdict(wish, past=restored) == verdict(wish, past=past)


def damaged(change: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(json.dumps(watched().to_dict()))
    change(data)
    return data


@pytest.mark.parametrize(
    "data",
    [
        pytest.param({}, id="empty"),
        pytest.param([], id="no mapping"),
        pytest.param(damaged(lambda d: d.pop("senses")), id="field missing"),
        pytest.param(damaged(lambda d: d.update(time_s=math.nan)), id="nan"),
        pytest.param(damaged(lambda d: d.update(dark_s=[[1, "x"]])), id="text"),
        pytest.param(damaged(lambda d: d.update(dark_s=[[1, 2, 3]])), id="point of three"),
        pytest.param(damaged(lambda d: d["senses"].update(x=[1])), id="short signal"),
        pytest.param(damaged(lambda d: d["shares"].update(od=[0.5])), id="short band"),
        pytest.param(damaged(lambda d: d.update(replicas=[1])), id="list for mapping"),
    ],
)
def test_a_damaged_memory_is_refused(data: Any) -> None:
    with pytest.raises(ValueError, match=r"not a guard history .*start with an empty one"):
        History.from_dict(data)


def test_the_same_state_twice_adds_nothing() -> None:
    once = watched().with_state(state())
    assert once.with_state(state()) == once


def test_a_state_at_no_time_adds_nothing() -> None:
    past = watched()
    assert past.with_state(state(math.nan)) is past
    assert past.with_state(state(math.inf)) is past


def test_a_long_life_stays_small() -> None:
    """Two hours of ticks, a route that never rests and a policy that never agrees with itself."""
    past = History.empty(NOW_S)
    for tick in range(7200):
        share = 0.5 + 0.1 * math.sin(tick)
        seen = state(NOW_S + tick, od={"weight": share}, spot={"weight": 1 - share})
        past = past.with_state(seen)
        past = past.with_proposal(proposal(tick * 7 % 11, tick * 5 % 13, time_s=NOW_S + tick))
    assert len(json.dumps(past.to_dict())) < 3000


def test_backends_that_come_and_go_are_forgotten_after_the_longest_window() -> None:
    past = watched()
    later = past.with_state(state(NOW_S + 60, backends=state().backends[:1]))
    assert {"od", "spot"} == set(later.replicas) == set(later.shares) == set(later.proposals)
    much_later = later.with_state(state(NOW_S + 3700, backends=state().backends[:1]))
    assert {"od"} == set(much_later.replicas) == set(much_later.shares)
    assert {"od.rate_rps", "od.in_flight"} == {n for n in much_later.senses if "." in n}


def test_a_backend_that_blinks_keeps_its_rate_window() -> None:
    past = watched().with_change(NOW_S - 20, "od", 2, 5)
    past = past.with_state(state(NOW_S - 2, backends=state().backends[1:]))
    assert replicas(verdict(proposal(9), past=past))["od"] == 6


def test_counts_read_before_our_own_change_do_not_undo_it() -> None:
    past = watched().with_change(NOW_S - 1, "od", 5, 8)
    late = state(NOW_S, replicas_time_s=NOW_S - 2)
    assert past.with_state(late).replicas["od"].levels(NOW_S - 10) == (5, 8)
    assert past.with_state(late).shares["od"].level == 0.5


@pytest.mark.parametrize(
    "late",
    [
        pytest.param(state(), id="the same once more"),
        pytest.param(state(NOW_S + 1), id="a newer one"),
        pytest.param(state(replicas_time_s=NOW_S - 2), id="with older counts"),
        pytest.param(state(od={"wanted": -1}), id="with impossible counts"),
    ],
)
def test_a_state_from_before_our_own_change_does_not_date_it_back(late: State) -> None:
    """Else it would leave the rate window too early, and an old count look like a move back."""
    past = watched(state()).with_change(NOW_S + 2, "od", 5, 8)
    assert past.with_state(late).replicas == past.replicas


def test_counts_are_remembered_at_the_time_they_were_read() -> None:
    seen = watched().with_state(state(replicas_time_s=NOW_S - 2, od={"wanted": 6}))
    assert seen.replicas["od"].last_s == NOW_S - 2


def test_impossible_counts_are_not_remembered() -> None:
    past = watched()
    seen = past.with_state(state(od={"wanted": -3, "weight": math.nan}))
    assert seen.replicas["od"] == past.replicas["od"]
    assert seen.shares["od"].level == 0.5


@pytest.mark.parametrize(
    "wish",
    [
        proposal(-1),
        proposal(shares=(math.nan, 1.0)),
        proposal(backends=()),
        proposal(time_s=NOW_S - 100),
        proposal(time_s=NOW_S + 100),
    ],
    ids=["value", "share", "backends", "late", "early"],
)
def test_a_broken_proposal_is_not_evidence(wish: Any) -> None:
    past = watched()
    assert past.with_proposal(wish) is past


def test_broken_proposals_make_no_history() -> None:
    """A policy that talks nonsense for a while has to be watched for a full window again."""
    past = watched(span_s=900)
    for age_s in range(100, 0, -1):
        past = past.with_state(state(NOW_S + 100 - age_s)).with_proposal(proposal(-1))
    seen, now_s = state(NOW_S + 100), NOW_S + 100
    wish = proposal(4, time_s=now_s)
    assert codes(verdict(wish, seen, past, now_s=now_s)) == {"NO_HISTORY"}


@pytest.mark.parametrize("back_s", [1.5, 100, 10_000])
def test_a_clock_that_went_back_opens_no_window(back_s: float) -> None:
    ahead = watched(state(NOW_S + back_s)).with_change(NOW_S + back_s, "od", 2, 5)
    past = ahead.with_state(state())
    assert past.replicas["od"].last_s == past.recorded_s == past.time_s == NOW_S
    assert max(past.dark_s.points)[1] >= back_s - 5
    result = verdict(proposal(9), state(NOW_S + 1), past, now_s=NOW_S + 1)
    assert reasons(result) == [("RATE_UP", "od", 9, 6)]


def test_a_clock_that_leapt_ahead_is_a_hole_in_the_memory() -> None:
    now_s = NOW_S + 7200
    result = verdict(proposal(4, time_s=now_s), state(now_s), now_s=now_s)
    assert codes(result) == {"NO_HISTORY"}


def test_an_empty_memory_is_older_than_every_window() -> None:
    empty = History.empty(NOW_S)
    assert (empty.time_s, empty.recorded_s) == (NOW_S, NOW_S - 3600)
    assert (empty.proposed_s, empty.strayed_s) == (0.0, 0.0)


def test_a_clock_that_went_back_was_in_the_dark_for_as_long() -> None:
    past = watched().with_state(state(NOW_S - 100))
    assert past.dark_s.highest(NOW_S - 100) == 95


def test_a_clock_that_went_back_leaves_no_time_ahead() -> None:
    past = watched().with_state(state())
    past = past.with_proposal(proposal(time_s=NOW_S, in_envelope=False))
    assert (past.strayed_s, past.proposed_s) == (NOW_S, NOW_S)
    earlier = past.with_state(state(NOW_S - 100))
    assert (earlier.strayed_s, earlier.proposed_s) == (NOW_S - 100, NOW_S - 100)


@pytest.mark.parametrize(
    ("rates", "load"), [((700.0, 534.0), 1200.0), ((0.0, 0.0), 0.0), ((0.04, 0.0061), 0.046)]
)
def test_a_load_is_known_to_two_digits(rates: tuple[float, float], load: float) -> None:
    od, spot = (Reading(rate, NOW_S) for rate in rates)
    assert load_rps(state(od={"rate_rps": od}, spot={"rate_rps": spot})) == load


@pytest.mark.parametrize("rate", [math.nan, -1.0])
def test_a_load_that_is_not_known_is_not_remembered(rate: float) -> None:
    past = watched()
    seen = past.with_state(state(od={"rate_rps": Reading(rate, NOW_S)}))
    assert seen.load == past.load != past.with_state(state()).load


@pytest.mark.parametrize(
    ("late_s", "remembered_s"),
    [
        pytest.param(-6.0, None, id="read before the last one"),
        pytest.param(-5.0, NOW_S - 5, id="read with it"),
        pytest.param(-2.0, NOW_S - 2, id="read earlier than the tick"),
        pytest.param(0.0, NOW_S, id="read with the tick"),
        pytest.param(1.0, NOW_S, id="clocks may differ"),
        pytest.param(1.001, None, id="from the future"),
    ],
)
def test_counts_and_shares_are_in_force_from_when_they_were_read(
    late_s: float, remembered_s: float | None
) -> None:
    past = watched(state(NOW_S - 5, od={"wanted": 6, "weight": 0.6}))
    seen = state(NOW_S, od={"wanted": 7, "weight": 0.7}, replicas_time_s=NOW_S + late_s)
    later = past.with_state(seen)
    steps, band = later.replicas["od"], later.shares["od"]
    assert steps.points[-1] == ((remembered_s, 7) if remembered_s else (NOW_S - 5, 6))
    assert (band.last_s, band.level) == ((remembered_s, 0.7) if remembered_s else (NOW_S - 5, 0.6))


def test_a_level_that_never_changes_is_not_forgotten() -> None:
    past = History.empty(NOW_S).with_state(state())
    later = past.with_state(state(NOW_S + 3700, od={"wanted": -1, "weight": math.nan}))
    assert later.replicas["od"].levels(NOW_S + 3700) == (5,)
    assert later.shares["od"].level == 0.5


@pytest.mark.parametrize(("ago_s", "known"), [(3600, True), (3601, False)])
def test_a_backend_is_gone_when_no_window_reaches_it(ago_s: float, known: bool) -> None:
    past = History.empty(NOW_S).with_state(state())
    later = past.with_state(state(NOW_S + ago_s, backends=state().backends[:1]))
    assert ("spot" in later.replicas) == ("spot" in later.shares) == known


def test_a_restored_memory_counts_in_whole_numbers_and_names_what_is_none() -> None:
    data = watched().to_dict()
    data["senses"]["od.rate_rps"][3] = 3.0
    assert repr(History.from_dict(data).senses["od.rate_rps"].equal) == "3"
    with pytest.raises(ValueError, match="nan is not a finite number"):
        History.from_dict(data | {"time_s": math.nan})
