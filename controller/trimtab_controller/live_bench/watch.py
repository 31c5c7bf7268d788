"""A run on the real stage: `trimtab up` without its picture, its counters read as it goes."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from trimtab_controller.config import Config
from trimtab_controller.live_bench.books import WARM_UP_S, Books
from trimtab_controller.protocols import SensorError
from trimtab_controller.sensors.envoy import Counters, EnvoySensor, misses
from trimtab_controller.up import commands
from trimtab_controller.up.commands import Options
from trimtab_controller.up.folder import Folder
from trimtab_controller.up.record import Record
from trimtab_controller.up.supervisor import Supervisor, UpError
from trimtab_controller.up.words import percent, rate
from trimtab_proto.v1 import stage_pb2
from trimtab_stage.replay import Replay

# How long after both serve the first arrival may come, and the last reading after the last one.
SLACK_S = 4.0

# Told how many seconds have been played, and what is going on.
Progress = Callable[[float, str], None]


class Interrupted(Exception):  # noqa: N818 # nothing is wrong: somebody has asked for it
    """Somebody asked the run to end before it was over."""


@dataclass(frozen=True, slots=True)
class Run:
    """One run: its books, the last that was seen of the stage, and when its replay began.

    ``began_s`` is in seconds since the epoch, ``load_average`` the machine's of the last minute.
    """

    books: Books
    stage: stage_pb2.StageStatus
    began_s: float
    load_average: float


def run(
    options: Options, replay: Replay, folder: Folder, seconds: float, progress: Progress
) -> Run:
    """Run stage and daemon for ``seconds`` after the warm-up; `UpError`, `Interrupted`.

    ``replay`` is what the stage of ``options`` plays.
    """
    config = commands.configure(options, folder)
    meter = Meter(config, replay.start_s, progress)
    stage, daemon = commands.stage(options, folder), commands.daemon(options, folder)
    record = Record(config.services[0].spec.miss_price)
    supervisor = Supervisor(stage, daemon, record, meter, time.time)
    if not supervisor.run(folder, WARM_UP_S + seconds + SLACK_S):
        raise Interrupted
    if record.stage is None or not meter.books.covers(WARM_UP_S + seconds):
        raise UpError(
            "the run was not counted to its end: stage or Envoy did not answer in its last "
            f"{SLACK_S:g} s; try again (logs: {folder.path})"
        )
    return Run(meter.books, record.stage, meter.began_s, os.getloadavg()[0])


@dataclass(slots=True)
class Meter:
    """A `Screen` that keeps the books: Envoy's counts, and what the stage bills."""

    config: Config
    start_s: float
    progress: Progress
    books: Books = field(default_factory=Books)
    began_s: float = 0.0
    _sensor: EnvoySensor = field(init=False)
    _first: Counters | None = None

    def __post_init__(self) -> None:
        (service,) = self.config.services
        slo_s = service.profile.slo_latency_s
        self._sensor = EnvoySensor(service.name, service.backends, slo_s, time.time)

    def show(self, record: Record) -> None:
        """Read the counters once the replay has begun."""
        for note in record.notes:
            if not note.outcome:
                raise UpError(f"the run is void, try again: {note.change} {note.why}".rstrip())
        status = record.stage
        if status is None or not self._has_begun(status):
            return
        time_s = status.time_s - self.began_s
        self._bill(status, time_s)
        self._count(status)
        self.progress(time_s, _said(status))

    def _has_begun(self, status: stage_pb2.StageStatus) -> bool:
        """The moment of the first arrival follows from where in the trace the stage is."""
        into_s = (status.load.trace_time_s - self.start_s) / status.load.speed
        if self.began_s == 0.0 and into_s > 0.0:
            self.began_s = status.time_s - into_s
        return self.began_s > 0.0

    def _bill(self, status: stage_pb2.StageStatus, time_s: float) -> None:
        prices = {backend.name: backend.price for backend in status.profile.backends}
        billed = sum(b.billed_replica_s * prices[b.name] for b in status.backends)
        self.books.billed.read(time_s, billed)

    def _count(self, status: stage_pb2.StageStatus) -> None:
        try:
            counters = self._sensor.count(status.envoy_admin_socket)
        except SensorError:
            return  # the next reading has it all
        first = self._first = self._first or counters
        if counters is first:
            return
        counted = counters.since(first)
        if counted is None:
            raise UpError("Envoy was started again during the run: its counts are lost; try again")
        time_s = counters.time_s - self.began_s
        slo_ms = status.profile.slo_latency_s * 1e3
        self.books.requests.read(time_s, counted.answers)
        self.books.misses.read(time_s, misses(counted, slo_ms))


def _said(status: stage_pb2.StageStatus) -> str:
    load = status.load
    missed = percent(load.misses / load.requests) if load.requests else "none"
    ready = " + ".join(str(backend.ready) for backend in status.backends)
    return f"{rate(load.offered_rps)}, ready {ready}, missed {missed}"
