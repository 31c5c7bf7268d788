"""Calls on series of which the truth is known: when they come, how right, how rarely false."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import inf, nan

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trimtab_agents.foresight import Finding, Record, Series, forecast, record
from trimtab_agents.foresight.trend import Trend
from trimtab_sim.profile import Floats

MINUTE_S = 60.0
DAY = 1440
T = np.arange(240.0)
Rng = np.random.Generator


def series(values: Floats, load: Floats | None = None, *, falls: bool = True) -> Series:
    """A value a minute; a steady load unless another is given."""
    count = len(values)
    load = np.full(count, 10.0) if load is None else load
    times_s = MINUTE_S * np.arange(count)
    return Series.seen(times_s, np.asarray(values, float), load, np.zeros(count), falls=falls)


def wandering(rng: Rng, count: int, stays: float, step: float) -> Floats:
    """Noise of which a share ``stays`` from minute to minute."""
    values = np.zeros(count)
    for minute, kick in enumerate(rng.normal(0.0, step, count)):
        values[minute] = stays * values[minute - 1] + kick if minute else kick
    return values


def test_an_exact_ramp_is_met_when_it_will_be() -> None:
    found = forecast(series(20.0 + 0.2 * T), 100.0)
    left_s = (100.0 - (20.0 + 0.2 * T[-1])) / 0.2 * MINUTE_S
    assert found.finding is Finding.DUE
    assert found.mid_s == pytest.approx(left_s, rel=0.02)
    assert found.low_s <= found.mid_s <= found.high_s < 1.1 * found.mid_s
    assert found.pace_per_s == pytest.approx(0.2 / MINUTE_S, rel=0.01)


@pytest.mark.parametrize(
    ("values", "limit", "finding"),
    [
        pytest.param(20 + 0.2 * T[:20], 30.0, Finding.TOO_LITTLE, id="too-short"),
        pytest.param(np.full(240, nan), 30.0, Finding.TOO_LITTLE, id="never-measured"),
        pytest.param(np.where(T < 230, 60 + 0.1 * T, 20.0), 90.0, Finding.TOO_LITTLE, id="restart"),
        pytest.param(20 + 0.2 * T, nan, Finding.UNKNOWN, id="no-limit"),
        pytest.param(20 + 0.2 * T, 60.0, Finding.MET, id="met"),
        pytest.param(20 + 0.2 * T, 900.0, Finding.FAR, id="too-far"),
        pytest.param(np.full(240, 50.0), 60.0, Finding.STEADY, id="constant"),
        pytest.param(90 - 0.2 * T, 95.0, Finding.STEADY, id="falling"),
        pytest.param(np.where(T < 120, 40.0, 70.0), 80.0, Finding.STEADY, id="step"),
        pytest.param(30 + 40 * (1 - np.exp(-T / 50)), 80.0, Finding.STEADY, id="warm-up"),
        pytest.param(50 + T % 20, 75.0, Finding.STEADY, id="sawtooth"),
        pytest.param(np.where(T == 200, 900.0, 50.0), 60.0, Finding.STEADY, id="one-glitch"),
        pytest.param(np.where(T % 7 == 3, nan, 20 + 0.2 * T), 90.0, Finding.DUE, id="holes"),
        pytest.param(np.where(T == 200, 900.0, 20 + 0.2 * T), 90.0, Finding.DUE, id="ramp-glitch"),
        pytest.param(
            np.where(T < 120, 20 + 0.3 * T, 20 + 0.3 * (T - 120)), 70.0, Finding.DUE, id="again"
        ),
    ],
)
def test_what_can_be_said(values: Floats, limit: float, finding: Finding) -> None:
    assert forecast(series(values), limit).finding is finding


@pytest.mark.parametrize("measured", [True, False])
def test_a_rollout_begins_anew_though_nothing_fell(measured: bool) -> None:
    moving = ((T >= 220) & (T <= 225)).astype(float)
    values = np.where((moving > 0) & (not measured), nan, 20.0 + 0.2 * T)
    seen = Series.seen(MINUTE_S * T, values, np.full(240, 10.0), moving, falls=True)
    assert forecast(seen, 90.0).finding is Finding.TOO_LITTLE
    assert len(seen.present) == 240 - 226


def test_what_rises_with_the_load_is_no_trend() -> None:
    load = 10.0 + 5.0 * T / 240
    assert forecast(series(20.0 + 3.0 * load, load), 80.0).finding is Finding.STEADY


def test_a_latency_may_fall_without_having_begun_anew() -> None:
    values = 100.0 + 0.5 * T - 60.0 * ((T > 60) & (T < 70))
    assert forecast(series(values, falls=False), 245.0).finding is Finding.DUE
    assert len(series(values).resets) > 0
    assert not series(values, falls=False).resets


@pytest.mark.parametrize("scale", [1e-3, 1.0, 2.0**30])
def test_units_do_not_matter(scale: float) -> None:
    values = 20.0 + 0.2 * T + np.random.default_rng(5).normal(0.0, 0.5, 240)
    one, other = forecast(series(values), 100.0), forecast(series(scale * values), 100.0 * scale)
    assert other.mid_s == pytest.approx(one.mid_s, rel=1e-6)
    assert other.high_s == pytest.approx(one.high_s, rel=1e-6)


def test_a_nearer_limit_is_met_no_later() -> None:
    values = 20.0 + 0.2 * T + np.random.default_rng(6).normal(0.0, 1.0, 240)
    found = [forecast(series(values), limit) for limit in (75.0, 85.0, 95.0)]
    for of in ("low_s", "mid_s", "high_s"):
        times = [getattr(one, of) for one in found]
        assert times == sorted(times)


@given(
    st.lists(st.floats(0.0, 1e12) | st.just(nan), max_size=90),
    st.lists(st.floats(0.0, 1e6), min_size=90, max_size=90),
    st.sets(st.integers(0, 89), max_size=3),
    st.floats(0.0, 1e13) | st.just(nan),
)
@settings(max_examples=150)
@pytest.mark.filterwarnings("error")
def test_whatever_was_seen_there_is_an_answer(
    values: list[float], load: list[float], moved: set[int], limit: float
) -> None:
    count = len(values)
    moving = np.array([minute in moved for minute in range(count)], float)
    seen = Series.seen(
        MINUTE_S * np.arange(count), np.array(values), np.array(load[:count]), moving, falls=True
    )
    found, judged = forecast(seen, limit), record(seen)
    assert 0 <= judged.right + judged.early <= judged.calls
    if found.finding is Finding.DUE:
        assert 0.0 <= found.low_s <= found.mid_s <= found.high_s < inf
        assert found.mid_s <= found.seen_s


def test_noise_that_adds_up_makes_a_pace_less_sure() -> None:
    rng, blocks = np.random.default_rng(7), np.arange(30.0)
    line = 0.3 * blocks
    white = Trend.fit(blocks, line + rng.normal(0.0, 1.0, 30), np.zeros(30))
    walk = Trend.fit(blocks, line + rng.normal(0.0, 1.0, 30).cumsum(), np.zeros(30))
    assert white.rising > walk.rising
    assert max(white.fits, key=lambda fit: fit.weight).share < 0.1
    assert max(walk.fits, key=lambda fit: fit.weight).share > 0.1


# Flat services of a day with all that shakes them; none of them leaks.
FLAT: dict[str, Callable[[Rng], Series]] = {
    "white": lambda rng: series(60 + rng.normal(0, 2, DAY)),
    "slow": lambda rng: series(60 + wandering(rng, DAY, 0.98, 0.7)),
    "walk": lambda rng: series(60 + rng.normal(0, 0.3, DAY).cumsum()),
    "steps": lambda rng: series(60 + 10 * (rng.random(DAY) < 0.003).cumsum() % 25),
    "garbage": lambda rng: series(60 + (np.arange(DAY) + rng.integers(60)) % 60 / 5),
    "daily": lambda rng: _daily(rng),
}


def _daily(rng: Rng) -> Series:
    load = 10 + 6 * np.sin(2 * np.pi * (np.arange(DAY) / DAY + rng.random()))
    load += wandering(rng, DAY, 0.9, 0.3)
    return series(45 + 2 * load + rng.normal(0, 1, DAY), load)


@pytest.mark.parametrize("kind", FLAT)
def test_false_alarms_are_rare(kind: str) -> None:
    """Ten services of a kind, asked every hour of a day about a limit that is near."""
    rng, asked, called = np.random.default_rng(8), 0, 0
    for _ in range(10):
        seen = FLAT[kind](rng)
        limit = float(seen.values.max()) + 5.0
        for now in range(60, DAY, 60):
            called += forecast(seen.until(now), limit).finding is Finding.DUE
            asked += 1
    assert called <= 0.02 * asked


def leaks(rng: Rng) -> Iterator[tuple[Series, float]]:
    """Leaks of all paces in three kinds of noise, and the limit that each meets."""
    for kind in ("white", "wandering", "walk") * 7:
        pace = 70.0 / rng.uniform(150, 900)
        minutes = np.arange(1100)
        noise = {
            "white": lambda: rng.normal(0, rng.uniform(0.1, 3), 1100),
            "wandering": lambda: wandering(rng, 1100, 0.9, rng.uniform(0.05, 1)),
            "walk": lambda pace=pace: rng.normal(0, pace * rng.uniform(0.3, 2), 1100).cumsum(),
        }[kind]()
        yield series(30 + pace * minutes + noise), 100.0


def test_nine_of_ten_intervals_hold_the_truth() -> None:
    held = []
    for seen, limit in leaks(np.random.default_rng(9)):
        steady = np.median(np.lib.stride_tricks.sliding_window_view(seen.values, 3), axis=1)
        met = int(np.argmax(steady >= limit)) + 1
        for now in range(met // 2, met - 10, met // 10):
            found = forecast(seen.until(now), limit)
            left_s = float(seen.times_s[met] - seen.times_s[now - 1])
            if found.finding is Finding.DUE:
                held.append(found.low_s <= left_s <= found.high_s)
    assert len(held) > 40
    assert np.mean(held) >= 0.85


def test_a_record_of_leaks_is_mostly_right() -> None:
    records = [record(seen) for seen, _ in leaks(np.random.default_rng(10))]
    calls, right = sum(one.calls for one in records), sum(one.right for one in records)
    assert calls > 60
    assert right / calls > 0.8


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        pytest.param(np.full(240, 5.0), Record(), id="nothing-was-called"),
        pytest.param(np.minimum(20 + 0.2 * T, 36.0), Record(4, 3, 0), id="it-stopped-rising"),
        pytest.param(np.where(T < 60, 20 + 0.5 * T, 20.0), Record(2, 2, 0), id="restarted"),
    ],
)
def test_a_record_counts_what_could_be_judged(values: Floats, expected: Record) -> None:
    found = record(series(values + 1e-3 * np.sin(37.0 * np.arange(len(values)))))
    assert found == expected


@pytest.mark.parametrize(
    ("found", "bad"),
    [(Record(), False), (Record(2, 0), False), (Record(3, 1), True), (Record(4, 2), False)],
)
def test_a_record_is_bad_only_once_enough_was_judged(found: Record, bad: bool) -> None:
    assert found.bad is bad


def test_the_interval_is_open_where_the_limit_may_never_be_met() -> None:
    blocks = np.arange(30.0)
    trend = Trend.fit(blocks, np.random.default_rng(11).normal(0, 1, 30), np.zeros(30))
    chances = trend.reached(1000.0, 120)
    assert chances.shape == (120,)
    assert chances[-1] < 0.05
    assert trend.reached(-inf, 3) == pytest.approx(np.ones(3), abs=1e-6)
