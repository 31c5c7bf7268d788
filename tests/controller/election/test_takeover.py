"""Two daemons, one Lease, one journal in PostgreSQL: whatever becomes of the leader, one writes."""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Callable
from typing import Any

import grpc
import pytest
from tests.cluster.fixtures import Cluster

from trimtab_controller.journal import verify
from trimtab_proto.v1 import controller_pb2 as pb

Replicas = Any  # the class in conftest.py

PATIENCE_S = 60.0
log = logging.getLogger(__name__)
pytestmark = pytest.mark.stage


def decided(replicas: Replicas, of: str) -> Any:
    """The status of a replica, once it leads."""
    end_s = time.monotonic() + PATIENCE_S
    while True:
        try:
            return replicas.status(lambda status: bool(status.decision), of=of)
        except grpc.RpcError:
            assert time.monotonic() < end_s
            time.sleep(0.05)


def soon(true: Callable[[], bool]) -> bool:
    end_s = time.monotonic() + PATIENCE_S
    while not true() and time.monotonic() < end_s:
        time.sleep(0.05)
    return true()


def holder(cluster: Cluster) -> str:
    spec: dict[str, Any] = cluster.client.get("Lease", "trimtab")["spec"]
    return str(spec["holderIdentity"])


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM], ids=["killed", "told to end"])
def test_a_standby_takes_over(replicas: Replicas, cluster: Cluster, end: int) -> None:
    replicas.start_stage()
    leader = replicas.start_replica("a")
    before = decided(replicas, "a")
    replicas.start_replica("b")
    first = holder(cluster)
    leader.send_signal(end)
    ended_s = time.monotonic()
    assert soon(lambda: replicas.epochs == [1, 2])
    after = decided(replicas, "b")
    log.info("another has decided %.1f s after", time.monotonic() - ended_s)
    assert holder(cluster) not in ("", first)
    assert after.decisions > before.decisions
    assert after.mode == before.mode
    assert replicas.epochs == [1, 2]
    assert verify(replicas.url).ok


def test_a_leader_that_hangs_is_replaced_and_ends_when_it_wakes(
    replicas: Replicas, cluster: Cluster
) -> None:
    replicas.start_stage()
    old = replicas.start_replica("a")
    decided(replicas, "a")
    replicas.start_replica("b")
    os.kill(old.pid, signal.SIGSTOP)
    stopped_s = time.monotonic()
    assert soon(lambda: replicas.epochs == [1, 2])
    decided(replicas, "b")
    log.info("another has decided %.1f s after", time.monotonic() - stopped_s)
    led = holder(cluster)
    assert soon(lambda: replicas.stage_status().epoch == 2)
    os.kill(old.pid, signal.SIGCONT)
    assert old.wait(PATIENCE_S) == 1
    assert holder(cluster) == led
    assert replicas.epochs == [1, 2]
    assert replicas.stage_status().epoch == 2
    assert verify(replicas.url).ok


def test_a_leader_cut_off_from_the_api_writes_nothing_and_lives_on(
    replicas: Replicas, cluster: Cluster
) -> None:
    if cluster.fake is None:
        pytest.skip("only a fake can be cut off")
    replicas.start_stage()
    replicas.start_replica("a")
    decided(replicas, "a")
    cluster.fake.stop()
    barred = replicas.status(lambda status: "could not be renewed" in status.lowered, of="a")
    assert pb.Mode.Name(barred.mode) == "MODE_SHADOW"
    version = replicas.stage_status().resource_version
    replicas.status(lambda status: status.time_s > barred.time_s + 3, of="a")
    assert replicas.stage_status().resource_version == version
    cluster.fake.start()
    assert replicas.status(lambda status: status.mode == pb.MODE_GUARDED, of="a").lowered == ""
    assert replicas.epochs == [1]
