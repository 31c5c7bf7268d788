"""The real stage goes bad under a steady load, and the true cause ranks first."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import grpc
import psutil
import pytest

from trimtab_proto.v1 import controller_pb2 as pb
from trimtab_proto.v1 import controller_pb2_grpc, stage_pb2

Processes = Any  # the class in conftest.py, which cannot be imported from here

pytestmark = pytest.mark.stage
CALM_TICKS = 25
PATIENCE_S = 60.0


class Live:
    """A stage whose load is steady, watched in shadow."""

    def __init__(self, processes: Processes) -> None:
        self.processes = processes
        trace = processes.folder / "flat.csv"
        trace.write_text("seconds,requests_per_second\n0,100\n3600,100\n")
        options = ("--trace", str(trace), "--speed", "1", "--peak-rps", "300")
        self.stage = processes.start_stage(*options, "--initial-replicas", "3")
        processes.start_daemon("--mode", "shadow")
        self.pause(CALM_TICKS)

    def pause(self, ticks: int) -> None:
        """Until the daemon has ticked so often."""
        now = self.processes.status(lambda status: status.decisions > 0).decisions
        self.processes.status(lambda status: status.decisions >= now + ticks)

    def what_changed(self) -> pb.WhatChangedReply:
        with grpc.insecure_channel(f"unix:{self.processes.folder}/d.sock") as channel:
            stub = controller_pb2_grpc.ControllerStub(channel)
            return stub.WhatChanged(pb.WhatChangedRequest(service="web"), timeout=10.0)


def slow_down(live: Live) -> None:
    live.processes.stage.Slow(stage_pb2.SlowRequest(backend="spot", factor=6.0), timeout=5.0)


def kill_replicas(live: Live) -> None:
    """Again and again, for the stage starts others."""
    for _ in range(4):
        for child in psutil.Process(live.stage.pid).children():
            if any("/spot-" in part for part in child.cmdline()):
                child.kill()
        live.pause(2)


@pytest.mark.parametrize(
    ("cause", "kind"),
    [
        pytest.param(slow_down, "slower replicas", id="slow"),
        pytest.param(kill_replicas, "replica death", id="killed"),
    ],
)
def test_the_true_cause_ranks_first(
    processes: Processes, cause: Callable[[Live], None], kind: str
) -> None:
    live = Live(processes)
    calm = live.what_changed()
    assert not calm.risen, calm.words
    cause(live)
    end_s = time.monotonic() + PATIENCE_S
    while not (found := live.what_changed()).risen:
        assert time.monotonic() < end_s
        live.pause(2)
    live.pause(4)
    found = live.what_changed()
    assert (found.suspects[0].kind, "spot" in found.suspects[0].words) == (kind, True), found
