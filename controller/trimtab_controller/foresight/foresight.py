"""All services' charts: filled by the loop, kept by the journal, and looked at beside the loop."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

import numpy as np

from trimtab_controller.config import ServiceConfig
from trimtab_controller.foresight.chart import KEPT, Chart
from trimtab_controller.foresight.outlook import Outlook, outlooks
from trimtab_controller.foresight.vitals import gathered, vitals
from trimtab_controller.journal import Journal
from trimtab_controller.sense import Sight
from trimtab_sim.profile import Floats

log = logging.getLogger(__name__)

KIND = "health"
# A row is so long, in the time of the service.
ROW_S = 60.0
# Of a core, so much at most is spent on looking ahead: many services are looked at less often.
SHARE = 0.05


@dataclass(slots=True)
class Watched:
    """One service: its chart, and the ticks since its last row."""

    chart: Chart
    ticks: list[list[float]] = field(default_factory=list)


class Foresight:
    """``speed`` is how much faster than life the services' time runs; a row is ``row_s`` of ours.

    `look` and `keep` are the loop's; charts are never changed, only replaced, so that any thread
    may look ahead.
    """

    def __init__(
        self, journal: Journal, configs: Mapping[str, ServiceConfig], speed: float
    ) -> None:
        self.outlooks: dict[str, tuple[Outlook, ...]] = {}
        # What was found thoroughly, and in which chart.
        self._judged: dict[str, tuple[Chart, tuple[Outlook, ...]]] = {}
        self._journal = journal
        self._speed = speed
        self.row_s = ROW_S / speed
        self._watched = {
            name: Watched(Chart.empty(config.backends)) for name, config in configs.items()
        }
        self._last_s = self._recalled()

    def look(self, service: str, sight: Sight) -> None:
        """Take in what a tick saw; nothing when the stage was not seen."""
        if sight.report and service in self._watched:
            self._watched[service].ticks.append(vitals(sight, sight.report))

    def keep(self, now_s: float) -> None:
        """Once a minute: a row of every service, durably. Raises `JournalError`."""
        if 0.0 <= now_s - self._last_s < self.row_s:
            return
        self._last_s = now_s
        rows = {
            name: [list(watched.chart.backends), _plain(gathered(watched.ticks))]
            for name, watched in self._watched.items()
            if watched.ticks
        }
        if rows:
            self._journal.append(KIND, {"services": rows}, now_s)
            self._follow(now_s, rows)

    def foresee(self, config: ServiceConfig, *, judge: bool = False) -> tuple[Outlook, ...]:
        """Look ahead for one service; ``judge``, which takes a second, how such calls ended.

        Where something is proposed, that is asked anyway.
        """
        chart = self._watched[config.name].chart
        known = self._judged.get(config.name)
        if known and known[0] is chart:
            return known[1]
        found = tuple(outlooks(chart, config, self._speed, judge=judge))
        if judge:
            self._judged[config.name] = chart, found
        self.outlooks[config.name] = found
        return found

    def forget(self, service: str) -> None:
        """What was found is over: its replicas are being restarted."""
        self.outlooks.pop(service, None)

    def _follow(self, time_s: float, rows: Mapping[str, Any]) -> None:
        """One record, of now or of an earlier life."""
        for name, (backends, row) in rows.items():
            watched = self._watched.get(name)
            if watched and list(watched.chart.backends) == backends:
                watched.chart = watched.chart.with_row(time_s, np.array(row, float))
                watched.ticks = []

    def _recalled(self) -> float:
        """Read the last day back; returns the time of its last row."""
        last = self._journal.last(KIND)
        if last is None:
            return 0.0
        since_s = last.time_s - KEPT * self.row_s
        for entry in self._journal.entries(kinds=(KIND,), since_s=since_s):
            self._follow(entry.time_s, entry.body["services"])
        return last.time_s


def _plain(row: Floats) -> list[float | None]:
    """As the journal writes it: whole numbers short, nothing for what was not measured."""
    return [float(f"{value:.6g}") if np.isfinite(value) else None for value in row.tolist()]


class Lookout:
    """Looks ahead for one service after the other, in a thread of its own."""

    def __init__(
        self, foresight: Foresight, configs: Callable[[], Mapping[str, ServiceConfig]]
    ) -> None:
        """``configs`` are the services as they are configured now."""
        self._foresight = foresight
        self._configs = configs
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._live, name="lookout", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End after the service that it is at."""
        self._ended.set()
        self._thread.join()

    def _live(self) -> None:
        while True:
            configs = self._configs()
            patience_s = self._foresight.row_s / len(configs)
            for config in configs.values():
                began_s = monotonic()
                try:
                    self._foresight.foresee(config)
                except Exception:  # else nobody would look ahead any more
                    log.exception("%s: cannot be looked ahead for", config.name)
                if self._ended.wait(max(patience_s, (monotonic() - began_s) / SHARE)):
                    return
