"""What an outlook leads to, and what is typed where trimtab has no hand in it."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trimtab_agents.foresight import Finding, Forecast, Record
from trimtab_controller.config import load
from trimtab_controller.foresight.chart import KEPT, Chart
from trimtab_controller.foresight.foresight import Foresight, Lookout
from trimtab_controller.foresight.messages import message
from trimtab_controller.foresight.outlook import Measure, Outlook, Remedy, remedy
from trimtab_controller.foresight.vitals import MOVING, P95_MS, Column, gathered, place
from trimtab_controller.foresight.words import described, span
from trimtab_guard.modes import Mode

World = Any  # the class in conftest.py, which cannot be imported from here
MIB = 1 << 20
DUE = Forecast(Finding.DUE, 50.0 * MIB, 64.0 * MIB, 1000.0, 3600.0, 600.0, 900.0, 1200.0)
KUBERNETES = """\
services:
  - name: web
    kubernetes: {namespace: prod, route: web}
    sensor: pushed
    ceiling: approve
    slo: {latency_s: 0.3, share: 0.99}
    miss_price: 50
    backends:
      - {name: a, concurrency: 4, service_time_s: 0.05, startup_mean_s: 2,
         min_replicas: 1, max_replicas: 9,
         target: {kind: Deployment, name: web-a}}
"""


@pytest.mark.parametrize(
    ("measure", "found", "judged", "expected"),
    [
        pytest.param(Measure.MEMORY, DUE, Record(), Remedy.RESTART, id="memory"),
        pytest.param(Measure.CONNECTIONS, DUE, Record(), Remedy.RESTART, id="connections"),
        pytest.param(Measure.LATENCY, DUE, Record(), Remedy.ADD, id="latency"),
        pytest.param(Measure.MEMORY, DUE, Record(2, 0), Remedy.RESTART, id="too-few-judged"),
        pytest.param(Measure.MEMORY, DUE, Record(4, 1), Remedy.NONE, id="mostly-wrong"),
        pytest.param(
            Measure.MEMORY, replace(DUE, low_s=1001.0), Record(), Remedy.NONE, id="far-ahead"
        ),
        pytest.param(
            Measure.MEMORY, replace(DUE, finding=Finding.FAR), Record(), Remedy.NONE, id="unsure"
        ),
    ],
)
def test_what_is_proposed(
    measure: Measure, found: Forecast, judged: Record, expected: Remedy
) -> None:
    assert remedy(measure, found, judged, within_s=1000.0) is expected


@pytest.mark.parametrize(
    ("outlook", "words"),
    [
        pytest.param(
            Outlook(Measure.MEMORY, "a", DUE, Record(5, 4, 1), Remedy.RESTART),
            "memory of a will meet its limit of 64 MiB in 15 min (9 of 10: 10 min to 20 min): "
            "+3.43 MiB an hour, watched for 60 min; of 5 such calls on its own record 4 were "
            "right, 1 met earlier, 0 later or never",
            id="due",
        ),
        pytest.param(
            Outlook(
                Measure.CONNECTIONS, "a", Forecast(Finding.UNKNOWN, 3.0), Record(), Remedy.NONE
            ),
            "connections per replica of a: no limit is known, watched for 0 s; "
            "no such call on its own record could be judged yet",
            id="unknown",
        ),
        pytest.param(
            Outlook(
                Measure.LATENCY,
                "",
                replace(DUE, finding=Finding.FAR, pace_per_s=0.01),
                Record(3, 3),
                Remedy.NONE,
            ),
            "the latency's 95th percentile: it rises, but its limit is farther ahead than can be "
            "foretold: +36 ms an hour, watched for 60 min; of 3 such calls on its own record 3 "
            "were right",
            id="far",
        ),
    ],
)
def test_it_is_told_in_a_sentence(outlook: Outlook, words: str) -> None:
    assert described(outlook) == words


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.2, "1 s"), (119.9, "120 s"), (120.0, "2 min"), (7200.0, "2.0 h")]
)
def test_spans_are_as_rough_as_they_are_known(seconds: float, words: str) -> None:
    assert span(seconds) == words


def test_on_kubernetes_a_restart_is_typed(tmp_path: Path) -> None:
    (tmp_path / "trimtab.yaml").write_text(KUBERNETES)
    (config,) = load(tmp_path / "trimtab.yaml").services
    outlooks = [
        Outlook(Measure.MEMORY, "a", DUE, Record(), Remedy.RESTART),
        Outlook(Measure.LATENCY, "", DUE, Record(), Remedy.ADD),
    ]
    memory, latency = message(config, outlooks).outlooks
    assert memory.command == "kubectl -n prod rollout restart deployment/web-a"
    assert (latency.command, latency.remedy) == ("", "add replicas")


def test_a_minute_has_the_highest_memory_and_the_mean_of_the_rest() -> None:
    memory, rate = place(0, Column.MEMORY_BYTES), place(0, Column.RATE_RPS)
    ticks = [np.full(7, np.nan) for _ in range(3)]
    for tick, (moving, held, served) in zip(
        ticks, [(0.0, 5.0, 10.0), (1.0, 9.0, np.nan), (0.0, np.nan, 20.0)], strict=True
    ):
        tick[[MOVING, memory, rate]] = moving, held, served
    row = gathered(ticks)
    assert (row[MOVING], row[memory], row[rate]) == (1.0, 9.0, 15.0)
    assert np.isnan(row[P95_MS])


def test_a_chart_keeps_a_day_and_begins_anew_when_the_clock_goes_back() -> None:
    chart = Chart.empty(("a",))
    for minute in range(KEPT + 10):
        chart = chart.with_row(60.0 * minute, np.full(7, float(minute)))
    assert (len(chart.times_s), chart.times_s[0], chart.rows[-1, 0]) == (KEPT, 600.0, KEPT + 9)
    assert len(chart.with_row(30.0, np.zeros(7)).times_s) == 1


def test_it_is_looked_ahead_beside_the_loop(new_world: Any) -> None:
    world: World = new_world(Mode.SHADOW)
    foresight = Foresight(world.journal, world.config.by_name, world.config.speed)
    seen = threading.Event()
    look = foresight.foresee
    foresight.foresee = lambda config: (look(config), seen.set())[0]  # type: ignore[assignment]
    lookout = Lookout(foresight, lambda: world.board.configs)
    assert seen.wait(10.0)
    lookout.close()
    assert {outlook.measure for outlook in foresight.outlooks["web"]} == {Measure.LATENCY}
