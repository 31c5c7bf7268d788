"""A real leak on the real stage: called before anything dies of it, and a restart ends it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import grpc
import pytest

from trimtab_proto.v1 import controller_pb2 as pb
from trimtab_proto.v1 import controller_pb2_grpc, stage_pb2

Processes = Any  # the class in conftest.py, which cannot be imported from here
Found = Any
PATIENCE_S = 90.0
pytestmark = pytest.mark.stage


def eventually(look: Callable[[], Found], wanted: Callable[[Found], object]) -> Found:
    deadline_s = time.monotonic() + PATIENCE_S
    while not wanted(found := look()):
        assert time.monotonic() < deadline_s, found
        time.sleep(0.5)
    return found


@pytest.fixture
def stub(processes: Processes) -> Any:
    processes.start_stage("--peak-rps", "100")
    processes.start_daemon()
    processes.status(lambda status: status.outcome in ("applied", "unchanged"))
    with grpc.insecure_channel(f"unix:{processes.folder}/d.sock") as channel:
        yield controller_pb2_grpc.ControllerStub(channel)


def test_a_leak_is_called_in_time_and_a_restart_frees_it(processes: Processes, stub: Any) -> None:
    def spot() -> Any:
        return processes.stage_status().backends[1]

    def memory() -> Any:
        outlooks = stub.GetForecast(pb.GetForecastRequest(service="web")).outlooks
        return next(each for each in outlooks if (each.measure, each.backend) == ("memory", "spot"))

    def asked() -> Any:
        pending = stub.ListPending(pb.ListPendingRequest()).pending
        return [envelope for envelope in pending if envelope.change == "restart"]

    leak = stage_pb2.LeakRequest(backend="spot", mb_per_minute=40.0)
    processes.stage.Leak(leak, timeout=5.0)
    time.sleep(2.0)  # the first rows
    called = eventually(memory, lambda found: found.finding == "due")
    left_s = (called.limit - called.level) / (40e6 / 60.0)
    assert called.low_s / 1.5 <= left_s <= called.high_s * 1.5
    (envelope, *_) = eventually(asked, lambda found: found)
    assert spot().crashed == 0
    processes.stage.Leak(stage_pb2.LeakRequest(backend="spot"), timeout=5.0)
    stub.Approve(pb.ApproveRequest(id=envelope.id, who="ann"))
    eventually(spot, lambda found: not found.outdated and 0 < found.memory_bytes < 25e6)
    assert spot().crashed == 0
