"""Faults on the real stage: what they do to real requests, and that each ends by itself."""

from __future__ import annotations

from itertools import count
from typing import Any

import grpc
import pytest

from trimtab_proto.v1 import stage_pb2

from .client import HEALTH, Stage, ask, eventually

pytestmark = pytest.mark.stage

IDS = (f"fault-{number}" for number in count())


def fault(kind: str, replicas: int = 1, backend: str = "spot", **fields: Any) -> Any:
    given = {"id": next(IDS), "kind": kind, "backend": backend, "replicas": replicas, **fields}
    return stage_pb2.StageFault(**given)


def broken(stage: Stage, *faults: Any, lease_s: float = 20.0, **fields: Any) -> list[list[str]]:
    """The replicas that each fault is on."""
    given = {"service": "web", "lease_s": lease_s, **fields}
    reply = stage.stub.Break(stage_pb2.BreakRequest(faults=faults, **given), timeout=5)
    assert [each.id for each in reply.faults] == [each.id for each in faults]
    return [list(each.replicas) for each in reply.faults]


def answers(stage: Stage, replica: str) -> bool:
    with ask(stage.directory / f"{replica}.sock", HEALTH) as sock:
        sock.settimeout(0.5)
        try:
            return bool(sock.recv(1000))
        except TimeoutError:
            return False


def test_a_killed_replica_is_replaced_and_what_has_the_same_id_is_not_done_twice(
    stage: Stage,
) -> None:
    crashed = stage.backend("spot").crashed
    kill = fault("kill")
    hit = broken(stage, kill)
    assert len(hit[0]) == 1
    eventually(lambda: stage.backend("spot").crashed == crashed + 1)
    assert broken(stage, kill) == hit
    eventually(lambda: stage.backend("spot").ready == stage.backend("spot").wanted)
    assert stage.backend("spot").crashed == crashed + 1


def test_a_partitioned_one_says_nothing_until_it_is_undone(stage: Stage) -> None:
    cut = fault("partition")
    ((replica,),) = broken(stage, cut)
    assert not answers(stage, replica)
    assert broken(stage, cut) == [[replica]]
    assert broken(stage) == []
    assert answers(stage, replica)
    assert stage.backend("spot").ready >= 1


@pytest.mark.parametrize("kind", ["partition", "slow"])
def test_what_nobody_asks_for_again_is_undone(stage: Stage, kind: str) -> None:
    misses = stage.status().load.misses
    ((replica,),) = broken(stage, fault(kind, factor=100), lease_s=1.5)
    eventually(lambda: stage.status().load.misses > misses)
    eventually(lambda: answers(stage, replica))
    # Nothing is on it any more: all of them can be hit again.
    hit = broken(stage, fault("slow", replicas=12), lease_s=0.1)[0]
    assert len(hit) == stage.backend("spot").ready


def test_no_replica_has_two_faults(stage: Stage) -> None:
    first, second = fault("slow"), fault("partition", replicas=12)
    one, others = broken(stage, first, second)
    assert len(one) == 1
    assert not set(one) & set(others)
    broken(stage)


def test_the_proxy_stays_away_until_its_lease_ends(stage: Stage) -> None:
    failed, (before,) = stage.status().load.failed, stage.children("envoy.json")
    broken(stage, fault("stop-proxy", 0, ""), lease_s=1.5)
    eventually(lambda: stage.status().load.failed > failed)
    assert not stage.children("envoy.json")
    eventually(lambda: stage.children("envoy.json"))
    assert stage.children("envoy.json")[0].pid != before.pid


@pytest.mark.parametrize(
    ("wrong", "fields", "says"),
    [
        pytest.param({"kind": "burn"}, {}, "'burn' is not a valid Kind", id="kind"),
        pytest.param({"backend": "x"}, {}, "unknown backend 'x'", id="backend"),
        pytest.param({"factor": 2000}, {}, "factor 2000", id="factor"),
        pytest.param({}, {"lease_s": 61.0}, "lease_s 61", id="lease"),
        pytest.param({}, {"service": "api"}, "unknown service 'api'", id="service"),
    ],
)
def test_a_mistake_is_named_and_changes_nothing(
    stage: Stage, wrong: dict[str, Any], fields: dict[str, Any], says: str
) -> None:
    crashed = stage.backend("spot").crashed
    with pytest.raises(grpc.RpcError) as caught:
        broken(stage, fault("kill"), fault(**{"kind": "slow", **wrong}), **fields)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert says in caught.value.details()
    assert stage.backend("spot").crashed == crashed
