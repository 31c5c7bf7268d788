"""The stage's side of the load generator: keeps it running, and its counts through a crash."""

from __future__ import annotations

import json
import sys
import time
from asyncio import StreamReader, TaskGroup
from asyncio.subprocess import PIPE, Process
from dataclasses import asdict, replace
from itertools import count
from pathlib import Path
from typing import NoReturn, cast

from trimtab_stage.config import StageConfig
from trimtab_stage.load import Job, Tally
from trimtab_stage.process import keep_running, spawn, tethered
from trimtab_stage.replay import Replay

# By then a generator is up; so its arrivals are the same ones in every run, to the instant.
LEAD_S = 1.0


class Traffic:
    """Replays ``replay`` to ``port``. A restarted generator goes on where the trace is by then."""

    def __init__(
        self, config: StageConfig, replay: Replay, port: int, directory: Path, tasks: TaskGroup
    ) -> None:
        self.replay = replay
        self._tasks = tasks
        self.alive = False
        profile = config.profile
        self._job = Job(
            trace=str(config.trace.resolve()),
            speed=replay.speed,
            start_s=replay.start_s,
            begin_s=0.0,
            scale=replay.scale,
            port=port,
            slo_latency_s=profile.slo_latency_s,
            timeout_s=profile.timeout_s,
            seed=config.seed,
        )
        self._log = directory / "load.log"
        self._seeds = count(config.seed)
        self._began_s: float | None = None
        # What generators counted that have ended, and what the present one has.
        self._before, self._now = Tally(), Tally()

    @property
    def elapsed_s(self) -> float:
        """Seconds since the replay began; 0 before."""
        return 0.0 if self._began_s is None else max(0.0, time.monotonic() - self._began_s)

    @property
    def tally(self) -> Tally:
        """All counts since the stage started."""
        return _sum(self._before, self._now)

    async def run(self) -> NoReturn:
        """Keep the generator running."""
        await keep_running("the load generator", self._start, self._log)

    async def _start(self) -> Process:
        begin_s = time.monotonic() + LEAD_S
        if self._began_s is None:
            self._began_s = begin_s
        start_s = self.replay.trace_time_s(begin_s - self._began_s)
        job = replace(self._job, start_s=start_s, begin_s=begin_s, seed=next(self._seeds))
        command = (sys.executable, "-m", "trimtab_stage.load", json.dumps(asdict(job)))
        with self._log.open("ab") as log:
            process = await spawn(*tethered(*command), stdout=PIPE, stderr=log)
        self._tasks.create_task(self._read(process))
        return process

    async def _read(self, process: Process) -> None:
        self.alive = True
        async for line in cast(StreamReader, process.stdout):
            self._now = Tally(**json.loads(line))
        self.alive = False
        self._before, self._now = self.tally, Tally()


def _sum(before: Tally, now: Tally) -> Tally:
    return Tally(
        requests=before.requests + now.requests,
        misses=before.misses + now.misses,
        failed=before.failed + now.failed,
        lag_s=now.lag_s,
        worst_lag_s=max(before.worst_lag_s, now.worst_lag_s),
    )
