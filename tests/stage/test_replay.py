"""Arrivals follow the trace."""

from __future__ import annotations

from itertools import takewhile
from random import Random

import numpy as np
import pytest

from trimtab_sim.traces import Trace, read_trace
from trimtab_stage.config import DEMO
from trimtab_stage.replay import Replay, plan


def arrivals(replay: Replay, until_s: float, seed: int = 1) -> list[float]:
    return list(takewhile(lambda time_s: time_s < until_s, replay.arrivals(Random(seed))))


def test_each_step_gets_its_rate_and_the_trace_starts_again() -> None:
    trace = Trace("t", 10.0, np.array([50.0, 0.0, 200.0]))
    replay = Replay(trace, speed=2.0, start_s=5.0, scale=2.0)
    # Half of the first step is left, each step lasts 5 s at this speed, and then it wraps.
    edges_s, rates = [0.0, 2.5, 7.5, 12.5, 17.5, 22.5, 27.5], [100, 0, 400, 100, 0, 400]
    counts, _ = np.histogram(arrivals(replay, 27.5), edges_s)
    expected = np.diff(edges_s) * rates
    assert (counts[expected == 0] == 0).all()
    assert (np.abs(counts - expected) <= 4 * np.sqrt(expected)).all()
    assert [replay.rate_rps(time_s) for time_s in (2.4, 2.6, 7.6, 12.6)] == [100, 0, 400, 100]


def test_gaps_are_exponential_and_seeded() -> None:
    replay = Replay(Trace("t", 1.0, np.array([100.0, 100.0])), 1.0, 0.0, 1.0)
    gaps_s = np.diff(arrivals(replay, 200.0))
    assert gaps_s.mean() == pytest.approx(0.01, rel=0.05)
    assert gaps_s.std() == pytest.approx(gaps_s.mean(), rel=0.05)
    assert arrivals(replay, 5.0, seed=2) == arrivals(replay, 5.0, seed=2)
    assert arrivals(replay, 5.0, seed=2) != arrivals(replay, 5.0, seed=3)


def test_the_demonstration_begins_130_minutes_before_the_peak_and_reaches_600_rps() -> None:
    replay = plan(read_trace(DEMO.trace), DEMO.speed, DEMO.start_s, DEMO.peak_rps)
    shown = [replay.rate_rps(second) for second in range(180)]
    assert replay.start_s == (19677 - 130) * 60
    assert max(shown) == pytest.approx(600)
    assert shown.index(max(shown)) == 130


@pytest.mark.parametrize(
    ("rates", "start_s", "starts", "scale"),
    [
        ([1.0, 4.0, 2.0], None, 0.0, 25.0),
        ([1.0] * 300 + [5.0], None, 170.0, 20.0),
        ([1.0] * 300 + [5.0], 3.0, 3.0, 100.0),
        ([0.0] * 300 + [5.0], 0.0, 0.0, 20.0),
        ([1.0, 4.0], 7.0, 1.0, 25.0),
    ],
    ids=["short", "peak-late", "told", "idle-part", "past-the-end"],
)
def test_plan(rates: list[float], start_s: float | None, starts: float, scale: float) -> None:
    replay = plan(Trace("t", 1.0, np.array(rates)), 1.0, start_s, 100.0)
    assert (replay.start_s, replay.scale) == (starts, scale)


def test_a_trace_without_requests_is_refused() -> None:
    with pytest.raises(ValueError, match="holds no request"):
        plan(Trace("t", 1.0, np.zeros(5)), 1.0, None, 100.0)
