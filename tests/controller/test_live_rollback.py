"""Trouble after a write on the real stage: replicas go slow, real requests miss, and it is undone.

All replicas: a single slow backend the policy itself leaves, often before the guard is sure.
"""

from __future__ import annotations

import logging
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from trimtab_controller.journal import read
from trimtab_controller.memory import OutcomeRecord, TickRecord
from trimtab_controller.protocols import Intent
from trimtab_controller.records import unpack
from trimtab_proto.v1 import controller_pb2 as pb
from trimtab_proto.v1 import stage_pb2

Processes = Any  # the class in conftest.py, which cannot be imported from here

pytestmark = pytest.mark.stage
log = logging.getLogger(__name__)

TRIMTAB = [sys.executable, "-c", "from trimtab_controller.cli import main; main()"]
WITHIN_S = 40.0
REPLICAS = 4
# The canary gets its 30 points at once. Half a minute is long enough to find it guilty although the
# machine stalled, which excuses ten seconds, and to look around in the cool-down.
LIMITS = "weight_step: 0.3\n      verify_s: 1800\n      cool_s: 1800\n      hold_s: 300"


def until(true: Callable[[], object], what: str) -> None:
    end_s = time.monotonic() + WITHIN_S
    while not true():
        assert time.monotonic() < end_s, f"not within {WITHIN_S:g} s: {what}"
        time.sleep(0.1)


def cli(*arguments: str) -> str:
    """What a human's command says; it must succeed."""
    done = subprocess.run([*TRIMTAB, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def daemon(processes: Processes) -> Processes:
    """A daemon that asks before it routes; a hundred requests per second go to on-demand only."""
    trace = processes.folder / "flat.csv"
    trace.write_text("seconds,requests_per_second\n0,1\n60,1\n")
    processes.start_stage("--trace", str(trace), "--peak-rps", "100")
    until(lambda: all(b.ready for b in processes.stage_status().backends), "it serves")
    route_by_hand(processes)
    until(lambda: all(b.ready >= REPLICAS for b in processes.stage_status().backends), "replicas")
    wait_for_calm(processes)
    config = processes.folder / "trimtab.yaml"
    config.write_text(Path(processes.demo).read_text().replace("hold_s: 300", LIMITS))
    processes.start_daemon("--config", str(config), "--mode", "assist")
    return processes


def route_by_hand(processes: Processes) -> None:
    asks = [
        stage_pb2.BackendAsk(name=name, floor=REPLICAS, weight=weight)
        for name, weight in (("on-demand", 1.0), ("spot", 0.0))
    ]
    processes.stage.Apply(
        stage_pb2.ApplyRequest(service="web", request_id="by hand", writer="ann", backends=asks)
    )


def wait_for_calm(processes: Processes) -> None:
    """Two seconds without a miss: what missed before is no excuse for what comes."""
    misses: deque[int] = deque(maxlen=20)

    def calm() -> bool:
        misses.append(processes.stage_status().load.misses)
        return misses.count(misses[0]) == misses.maxlen

    until(calm, "nothing misses")


def approve_the_route(daemon: Processes) -> None:
    """Grant what it asks for spot and on-demand, as an operator would."""
    address = f"--address=unix:{daemon.folder}/d.sock"

    def asked() -> list[str]:
        lines = [line.split() for line in cli("pending", address).splitlines()]
        return [words[0] for words in lines if words[2:3] == ["route,"]]

    daemon.status(lambda status: status.pending >= 2)
    until(lambda: len(asked()) == 2, "it asks for the route")
    cli("approve", *asked(), address)


def share(daemon: Processes) -> float:
    """Spot's share of the route, as Envoy has it."""
    return float(daemon.stage_status().backends[1].weight)


def writes(daemon: Processes) -> list[Intent]:
    """What was written, oldest first."""
    intents: dict[str, Intent] = {}
    done = []
    for record in read(daemon.folder / "j.db", kinds=("tick", "outcome")):
        if record.kind == "tick":
            tick = unpack(TickRecord, record.body["services"][0])
            if tick.intent:
                intents[tick.intent.request_id] = tick.intent
        elif (outcome := unpack(OutcomeRecord, record.body["service"])).applied:
            done.append(intents[outcome.request_id])
    return done


def rollbacks(daemon: Processes) -> list[dict[str, Any]]:
    modes = read(daemon.folder / "j.db", kinds=("mode",))
    return [entry.body for entry in modes if "cooling_until_s" in entry.body]


def version(daemon: Processes) -> int:
    """How often somebody has written to the stage."""
    return int(daemon.stage_status().resource_version.rpartition("-")[2])


def slow_down(daemon: Processes) -> None:
    for backend in ("on-demand", "spot"):
        cli("stage", "slow", backend, "--factor=10", f"--socket={daemon.folder}/s.sock")


def test_what_makes_things_worse_is_rolled_back_once(daemon: Processes) -> None:
    before = version(daemon)
    approve_the_route(daemon)
    until(lambda: share(daemon) == pytest.approx(0.3), "the approved move")
    slow_down(daemon)
    until(lambda: share(daemon) == 0.0, "it is rolled back")
    until(lambda: writes(daemon)[-1].undoes, "the outcome is recorded")

    (rollback,) = rollbacks(daemon)
    assert (rollback["who"], rollback["mode"]) == ("trimtab", "approve")
    assert "misses rose after a write of web" in rollback["why"]
    assert [write.undoes for write in writes(daemon)].count(True) == 1
    assert version(daemon) == before + len(writes(daemon))  # and nothing else was written
    assert min(backend.floor for backend in daemon.stage_status().backends) >= REPLICAS
    cause = next(w for w in writes(daemon) if any(ask.weight is not None for ask in w.asks))
    log.info("rolled back %.1f s after the write", writes(daemon)[-1].time_s - cause.time_s)

    # The grants rested on other evidence: they are gone, and it asks anew.
    assert daemon.status(lambda status: status.pending >= 2).mode == pb.MODE_APPROVE
    assert rollbacks(daemon) == [rollback]
