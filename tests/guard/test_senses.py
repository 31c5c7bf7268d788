"""What is believed of a reading, signal by signal; `test_trust.py` shows what follows from it."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from trimtab_guard.model import Reading, State
from trimtab_guard.senses import (
    WHOLE_SHARE,
    Doubt,
    Known,
    believed_s,
    doubts,
    frozen,
    learn,
    possible,
    signals,
    trusted_s,
)

from .world import NOW_S, limits, state

LONGEST_S = 3600


def learned_from(known: Mapping[str, Known], seen: State) -> dict[str, Known]:
    return learn(known, signals(seen), seen.time_s)


def rate(value: float, time_s: float) -> Reading:
    return Reading(value, time_s)


@pytest.mark.parametrize(
    ("share", "is_possible"), [(1.0, True), (1.000001, True), (1.0000015, False)]
)
def test_a_share_may_be_rounded_up(share: float, is_possible: bool) -> None:
    assert possible(share, WHOLE_SHARE) == is_possible


def test_every_signal_has_its_name() -> None:
    assert [name for name, *_ in signals(state())] == [
        "od.rate_rps", "od.in_flight", "spot.rate_rps", "spot.in_flight",
        "p50_ms", "p95_ms", "miss_share",
    ]  # fmt: skip


KNOWN = Known(5.0, NOW_S - 10, NOW_S - 20, 3)


@pytest.mark.parametrize(
    ("reading", "known"),
    [
        pytest.param(
            rate(5, NOW_S - 4), Known(5, NOW_S - 4, NOW_S - 20, 4), id="the same, but newer"
        ),
        pytest.param(rate(5, NOW_S - 10), KNOWN, id="the same one again"),
        pytest.param(
            rate(6, NOW_S - 4), Known(6, NOW_S - 4, NOW_S - 4, 1), id="another, and newer"
        ),
        pytest.param(
            rate(6, NOW_S - 10), Known(6, NOW_S - 10, NOW_S - 10, 1), id="one that is corrected"
        ),
        pytest.param(rate(6, NOW_S - 10.001), KNOWN, id="older"),
        pytest.param(rate(6, NOW_S + 1), Known(6, NOW_S, NOW_S, 1), id="clocks may differ"),
        pytest.param(rate(6, NOW_S + 1.001), KNOWN, id="from the future"),
        pytest.param(rate(-1, NOW_S), KNOWN, id="impossible"),
        pytest.param(rate(0, NOW_S), Known(0, NOW_S, NOW_S, 1), id="nothing is something"),
        pytest.param(rate(1e9, NOW_S), Known(1e9, NOW_S, NOW_S, 1), id="the largest"),
    ],
)
def test_a_believable_reading_replaces_an_older_one(reading: Reading, known: Known) -> None:
    seen = state(od={"rate_rps": reading})
    assert learned_from({"od.rate_rps": KNOWN}, seen)["od.rate_rps"] == known


@pytest.mark.parametrize(("time_s", "believed"), [(-0.5, False), (0.0, True), (0.5, True)])
def test_the_first_reading_needs_a_time(time_s: float, believed: bool) -> None:
    seen = state(0.5, od={"rate_rps": rate(7, time_s)})
    assert ("od.rate_rps" in learned_from({}, seen)) == believed


def test_a_clock_that_was_set_back_leaves_no_times_ahead() -> None:
    later = Known(5.0, NOW_S + 40, NOW_S + 30, 3)
    earlier = Known(5.0, NOW_S + 40, NOW_S - 30, 3)
    learned = learned_from({"gone": later, "older": earlier}, state())
    assert learned["gone"] == Known(5.0, NOW_S, NOW_S, 3)
    assert learned["older"] == Known(5.0, NOW_S, NOW_S - 30, 3)


@pytest.mark.parametrize(("age_s", "kept"), [(LONGEST_S, True), (LONGEST_S + 1, False)])
def test_what_no_window_reaches_is_forgotten(age_s: float, kept: bool) -> None:
    assert ("gone" in learned_from({"gone": Known(5.0, NOW_S - age_s, 0.0, 3)}, state())) == kept


@pytest.mark.parametrize(
    ("value", "equal", "accused"),
    [
        pytest.param(5.0, {"od.rate_rps": 30, "od.in_flight": 29}, True, id="requests move"),
        pytest.param(5.0, {"od.rate_rps": 30, "spot.rate_rps": 29}, True, id="a rate moves"),
        pytest.param(0.5, {"od.rate_rps": 30, "spot.rate_rps": 29}, True, id="a low rate"),
        pytest.param(0.0, {"od.rate_rps": 30, "spot.rate_rps": 29}, False, id="idle"),
        pytest.param(0.0, {"od.rate_rps": 30, "od.in_flight": 29}, True, id="idle, yet in flight"),
        pytest.param(5.0, {"od.rate_rps": 29, "od.in_flight": 1}, False, id="not long enough"),
        pytest.param(5.0, {"od.rate_rps": 30, "od.in_flight": 30}, False, id="all is quiet"),
        pytest.param(5.0, {"od.rate_rps": 30}, False, id="no witness"),
        pytest.param(5.0, {"od.rate_rps": 30, "spot.in_flight": 1}, False, id="not a witness"),
        pytest.param(5.0, {"spot.rate_rps": 1}, False, id="unknown"),
    ],
)
def test_a_rate_is_frozen_if_a_witness_moved(
    value: float, equal: dict[str, int], accused: bool
) -> None:
    known = {name: Known(value, NOW_S, NOW_S - 40, count) for name, count in equal.items()}
    assert frozen("od.rate_rps", known) == accused
    assert not frozen("od.in_flight", known)


def test_a_signal_is_believed_up_to_its_last_reading_or_its_last_move() -> None:
    still = Known(5.0, NOW_S, NOW_S - 40, 30)
    assert believed_s("od.rate_rps", {}) == 0.0
    assert believed_s("od.rate_rps", {"od.rate_rps": still}) == NOW_S
    witness = Known(5.0, NOW_S, NOW_S, 1)
    known = {"od.rate_rps": still, "spot.rate_rps": witness}
    assert believed_s("od.rate_rps", known) == NOW_S - 40


def test_a_service_is_believed_as_far_as_its_oldest_needed_signal() -> None:
    known = learned_from({}, state())
    assert trusted_s(known, signals(state())) == NOW_S
    known["spot.in_flight"] = Known(5.0, NOW_S - 30, NOW_S - 30, 1)
    assert trusted_s(known, signals(state())) == NOW_S - 30
    del known["p95_ms"]
    assert trusted_s(known, signals(state())) == NOW_S - 30
    assert trusted_s({}, signals(state(backends=()))) == 0.0


def test_a_signal_that_was_never_seen_is_doubted() -> None:
    seen = state(od={"rate_rps": rate(-1.0, NOW_S)})
    found = doubts(seen, learned_from({}, seen), limits(), NOW_S)
    assert found == (Doubt("BLIND", "od.rate_rps", NOW_S),)
