"""Lives of a daemon: each is one journal, on which it is killed again and again."""

from __future__ import annotations

import logging
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from random import Random

from trimtab_proto.v1 import controller_pb2 as pb
from trimtab_proto.v1 import stage_pb2

from .evidence import Present, Row, breaks, present, rows, unconcluded
from .human import Human, Wish
from .proxy import PATIENCE_S, Point, Proxy, Trap

log = logging.getLogger(__name__)

PEAK_RPS = 300
# A faster beat, a tight budget, and replicas that are said to be slower than they are, so that
# little traffic moves many of them.
BUSY = (
    ("tick_s: 1\n", "tick_s: 0.5\n"),
    ("service_time_s: 0.05\n", "service_time_s: 0.1\n"),
    ("budget: 1000\n", "budget: 4\n"),
    ("budget_window_s: 600\n", "budget_window_s: 900\n"),
)
STEP_S = 2.0
# A daemon that sends no write is killed all the same.
LONGEST_S = 8.0
# Windows that outlast a restart: at speed 60 a rate window is 15 s, and so on.
LIMITS = """\
      hold_s: 300
      gap_s: 480
      rate_window_s: 900
      up_percent: 50
      up_replicas: 1
      weight_interval_s: 600
"""
GAP_S = 8.0
POINTS = (Point.ANY, *Point)
# How each life begins, so that none is without a write and an approval that allowed it.
SCRIPT = ((Point.AFTER, pb.MODE_APPROVE), (Point.BETWEEN, pb.MODE_GUARDED))
MODES = {pb.MODE_GUARDED: 5, pb.MODE_APPROVE: 4, pb.MODE_ASSIST: 1}


@dataclass(slots=True)
class Life:
    """One journal, and all that was seen around it."""

    config: Path
    journal: Path
    proxy: Proxy
    human: Human
    began: str  # the stage's version
    ended: str = ""
    records: list[Row] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    woken: list[tuple[Present, pb.ServiceStatus]] = field(default_factory=list)
    deaths: list[Point] = field(default_factory=list)

    def examine(self) -> None:
        """Read the file: the chain is whole, and goes on from what was there before."""
        before, self.records = self.records, rows(self.journal)
        self.faults += breaks(self.records)
        if self.records[: len(before)] != before:
            self.faults.append(f"death {len(self.deaths)}: older records were lost or changed")


class Worlds:
    """One stage, and daemons on one journal after the other."""

    def __init__(self, folder: Path, rng: Random) -> None:
        self.folder = folder
        self.rng = rng
        self.config = folder / "trimtab.yaml"
        self.config.write_text(_config())
        self._parts = ExitStack()
        self._start_stage()

    def end(self) -> None:
        self._parts.close()

    def live(self, number: int, deaths: int) -> Life:
        """A life with so many deaths, and then a calm end."""
        with self._born(self.folder / f"life-{number}.db") as life:
            for point, mode in SCRIPT:
                self._die(life, point, Wish(mode, resume=True, stop_s=None), PATIENCE_S)
            for _ in range(deaths - len(SCRIPT)):
                self._die(life, self.rng.choice(POINTS), self._wish(), LONGEST_S)
            self._calm(life)
            life.ended = _status(life.proxy).resource_version
        return life

    def _start_stage(self) -> None:
        trace = self.folder / "steps.csv"
        rates = [self.rng.choice([0.05, 0.2, 0.5, 1.0]) for _ in range(90)]
        # Trace seconds: the stage replays them 60 times faster.
        lines = [f"{60 * STEP_S * number:g},{rate}\n" for number, rate in enumerate(rates)]
        trace.write_text("seconds,requests_per_second\n" + "".join(lines))
        command = ["trimtab_stage", "--port", "0", "--dir", f"{self.folder}/st"]
        command += ["--socket", f"{self.folder}/s.sock", "--trace", str(trace), "--start-s", "0"]
        stage = self._run(*command, "--peak-rps", str(PEAK_RPS))
        self._parts.callback(stage.wait, PATIENCE_S)
        self._parts.callback(stage.terminate)

    def _run(self, module: str, *options: str) -> subprocess.Popen[bytes]:
        with (self.folder / f"{module}.log").open("ab") as output:
            return subprocess.Popen(
                [sys.executable, "-m", module, *options], stdout=output, stderr=output
            )

    def _start_daemon(self, life: Life) -> subprocess.Popen[bytes]:
        options = ("--config", str(self.config), "--journal", str(life.journal))
        options += ("--listen", f"unix:{self.folder}/d.sock")
        options += ("--stage-socket", f"{self.folder}/p.sock")
        return self._run("trimtab_controller.daemon", *options)

    @contextmanager
    def _born(self, journal: Path) -> Iterator[Life]:
        """A new journal, on a stage with floors that another hand has left there."""
        proxy = Proxy(self.folder / "s.sock", self.folder / "p.sock")
        try:
            version = self._tidy(proxy)
            yield Life(
                self.config, journal, proxy, Human(self.folder / "d.sock", self.rng), version
            )
        finally:
            proxy.close()

    def _tidy(self, proxy: Proxy) -> str:
        asks = [
            stage_pb2.BackendAsk(name=name, floor=self.rng.randint(2, 6), weight=0.5)
            for name in ("on-demand", "spot")
        ]
        request = stage_pb2.ApplyRequest(
            service="web", request_id=f"life at {time.time_ns()}", writer="operator", backends=asks
        )
        while not all(backend.ready for backend in _status(proxy).backends):
            time.sleep(0.1)
        return str(proxy.stage.Apply(request, timeout=PATIENCE_S).resource_version)

    def _die(self, life: Life, point: Point, wish: Wish, longest_s: float) -> None:
        expected = present(life.records)
        lasts_s = self.rng.uniform(0.0, longest_s) if point is Point.ANY else longest_s
        daemon = self._start_daemon(life)
        if point is not Point.ANY:
            late_s = 0.01 if point is Point.AFTER else 2.5
            life.proxy.trap = Trap(point, daemon.kill, self.rng.uniform(0.0, late_s))
        bomb = threading.Timer(lasts_s, daemon.kill)
        bomb.start()
        first = life.human.attend(daemon, wish, until=lambda: False)
        bomb.cancel()
        ended = daemon.wait(PATIENCE_S)
        assert ended == -signal.SIGKILL, f"a daemon ended by itself: see {self.folder}/*.log"
        untouched, life.proxy.trap = life.proxy.trap, None
        if first:
            life.woken.append((expected, first))
        life.deaths.append(Point.ANY if untouched else point)
        life.examine()
        log.info("death %d of %s: %s", len(life.deaths), life.journal.stem, life.deaths[-1])
        if self.rng.random() < 0.04:
            time.sleep(GAP_S)

    def _wish(self) -> Wish:
        mode = self.rng.choices(list(MODES), list(MODES.values()))[0]
        stops = self.rng.random() < 0.12
        return Wish(
            mode=mode,
            resume=self.rng.random() < 0.8,
            stop_s=self.rng.uniform(0.0, 2.0) if stops else None,
            abort=self.rng.random() < 0.5,
        )

    def _calm(self, life: Life) -> None:
        """In shadow nothing new begins; what was left open is concluded."""
        expected, daemon = present(life.records), self._start_daemon(life)
        wish = Wish(pb.MODE_SHADOW, resume=True, stop_s=None)
        deadline_s = time.monotonic() + PATIENCE_S

        def concluded() -> bool:
            records = rows(life.journal)
            now = present(records)
            resting = now.mode == "shadow" and not now.aborting
            return time.monotonic() > deadline_s or (
                bool(life.human.seen) and resting and not unconcluded(records)
            )

        seen = len(life.human.seen)
        first = life.human.attend(
            daemon, wish, until=lambda: len(life.human.seen) > seen + 3 and concluded()
        )
        assert first, f"no daemon after {len(life.deaths)} deaths: see {self.folder}"
        life.woken.append((expected, first))
        daemon.terminate()
        assert daemon.wait(PATIENCE_S) == 0
        life.examine()


def _status(proxy: Proxy) -> stage_pb2.StageStatus:
    return proxy.stage.GetStatus(
        stage_pb2.GetStatusRequest(), timeout=PATIENCE_S, wait_for_ready=True
    )


def _config() -> str:
    """The demonstration's, but busier, with longer windows and short-lived approvals."""
    demo = (files("trimtab_controller") / "demo.yaml").read_text()
    head, found, _ = demo.partition("    limits:\n")
    assert found, "demo.yaml has no limits any more: adapt the crash harness"
    for calm, busy in BUSY:
        assert calm in head, f"demo.yaml has no {calm!r} any more: adapt the crash harness"
        head = head.replace(calm, busy)
    return f"{head}{found}{LIMITS}approval: {{wait_s: 10, grant_s: 8}}\n"
