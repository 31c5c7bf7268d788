"""The daemon that is measured, in a process of its own, and what it has used and done so far."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import psutil
import urllib3
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

COMMAND = (sys.executable, "-m", "trimtab_controller.daemon")
OPTIONS = "--config trimtab.yaml --journal j.db --mode guarded --listen unix:d.sock"
# It is looked at as seldom as Prometheus would: making that page takes its time, too.
START_S, LOOK_S = 180.0, 15.0


@dataclass(frozen=True, slots=True)
class Reading:
    """Since its start: CPU seconds, ticks by ``outcome`` of a service and all their seconds.

    ``buckets``: ticks that took at most so many seconds.
    """

    at_s: float
    cpu_s: float
    memory_mib: float
    ticks: int
    ticks_s: float
    buckets: dict[float, int]
    outcomes: Counter[str]


class Daemon:
    """Steers what ``trimtab.yaml`` in ``folder`` says; ``metrics`` is where it tells of itself."""

    def __init__(self, folder: Path, kubeconfig: Path, metrics: str) -> None:
        self._log = folder / "daemon.log"
        self._url = f"http://{metrics}/metrics"
        environment = {**os.environ, "KUBECONFIG": str(kubeconfig)}
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [*COMMAND, *OPTIONS.split()], cwd=folder, env=environment, stdout=log, stderr=log
            )
        self._stats = psutil.Process(self._process.pid)

    def after(self, ticks: int, tick_s: float) -> Reading:
        """The first reading after so many ticks; raises `TimeoutError`."""
        end_s = time.monotonic() + START_S + 2 * ticks * tick_s
        while time.monotonic() < end_s and self._process.poll() is None:
            try:
                if (reading := self._read()).ticks >= ticks:
                    return reading
            except (urllib3.exceptions.HTTPError, KeyError):
                pass  # it is starting
            time.sleep(LOOK_S)
        raise TimeoutError(f"no {ticks} ticks: {self._log.read_text()[-2000:]}")

    def end(self) -> None:
        """As a human would."""
        self._process.terminate()
        self._process.wait()

    def _read(self) -> Reading:
        page = urllib3.request("GET", self._url, retries=False).data.decode()
        families = {family.name: family for family in text_string_to_metric_families(page)}
        ticks = families["trimtab_tick_duration_seconds"].samples
        values = {sample.name.rpartition("_")[2]: sample.value for sample in ticks}
        cpu = self._stats.cpu_times()
        return Reading(
            at_s=time.monotonic(),
            cpu_s=cpu.user + cpu.system,
            memory_mib=self._stats.memory_info().rss / 2**20,
            ticks=round(values["count"]),
            ticks_s=values["sum"],
            buckets={float(s.labels["le"]): round(s.value) for s in ticks if "le" in s.labels},
            outcomes=_outcomes(families["trimtab_tick_outcomes"]),
        )


def _outcomes(family: Metric) -> Counter[str]:
    counts: Counter[str] = Counter()
    for sample in family.samples:
        if sample.name.endswith("_total"):
            counts[sample.labels["outcome"]] += round(sample.value)
    return counts
