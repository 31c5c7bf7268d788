"""What a look makes of Envoy's counters."""

from __future__ import annotations

from typing import Any

import pytest

from trimtab_controller.canary.sides import Totals
from trimtab_controller.sensors.envoy import Stats

BEFORE = {"completed": 100, "5xx": 3, "active": 2}


def totals(timed: int, **values: int) -> Totals:
    """Of a backend whose answers took 50 ms."""
    bins = {"cluster.b.upstream_rq_time": {(50.0, 1.0): timed}}
    named = {f"cluster.b.upstream_rq_{name}": n for name, n in (BEFORE | values).items()}
    return Totals.of(Stats(named, bins), "b")


@pytest.mark.parametrize(
    ("timed", "now", "answers", "errors", "latencies"),
    [
        pytest.param(117, {"completed": 120, "5xx": 4}, 20, 1, 20, id="answered"),
        pytest.param(97, {"completed": 120, "5xx": 23}, 20, 20, 0, id="all timed out, untimed"),
        pytest.param(97, {}, 0, 0, 0, id="nothing"),
    ],
)
def test_it_is_what_has_ended_since(
    timed: int, now: dict[str, Any], answers: int, errors: int, latencies: int
) -> None:
    side = totals(timed, **now).since(totals(97), ready=2, time_s=9.0)
    assert side is not None
    assert (side.answers, side.errors, side.latency.total) == (answers, errors, latencies)
    assert (side.in_flight, side.ready, side.time_s) == (2, 2, 9.0)


@pytest.mark.parametrize(
    ("timed", "now"),
    [
        pytest.param(90, {"completed": 120}, id="fewer latencies"),
        pytest.param(97, {"completed": 90}, id="fewer answers"),
        pytest.param(97, {"5xx": 1}, id="fewer errors"),
    ],
)
def test_a_counter_that_went_back_is_no_look(timed: int, now: dict[str, Any]) -> None:
    assert totals(timed, **now).since(totals(97), ready=2, time_s=9.0) is None
