"""Variants on the real stage: copies of real requests, and nothing left when nobody asks again."""

from __future__ import annotations

from typing import Any

import grpc
import pytest

from trimtab_controller.sensors.envoy import Stats, fetch_stats
from trimtab_proto.v1 import stage_pb2

from .client import Stage, eventually

pytestmark = pytest.mark.stage


def variant(name: str, replicas: int = 1, backend: str = "spot", **settings: float) -> Any:
    return stage_pb2.MirrorVariant(name=name, backend=backend, replicas=replicas, settings=settings)


def mirror(stage: Stage, *variants: Any, **fields: Any) -> Any:
    given = {"service": "web", "share": 0.5, "lease_s": 20.0, **fields}
    return stage.stub.Mirror(stage_pb2.MirrorRequest(variants=variants, **given), timeout=5)


def counted(stage: Stage) -> Stats:
    return fetch_stats(stage.status().envoy_admin_socket, r"^cluster\.copy-.*")


def copies(stage: Stage) -> tuple[int, int]:
    """How many v1 and v2 have got, at the same moment."""
    values = counted(stage).values
    first, second = (values.get(f"cluster.copy-v{n}.upstream_rq_total", 0) for n in (1, 2))
    return first, second


def test_variants_get_the_same_copies_and_go_without_a_trace(stage: Stage) -> None:
    before = stage.status()
    variants = variant("v1"), variant("v2", threads=8, cache=100)
    mirror(stage, *variants)
    eventually(lambda: [each.ready for each in mirror(stage, *variants).variants] == [1, 1])
    eventually(lambda: min(copies(stage)) > 10)
    earlier = copies(stage)
    eventually(lambda: copies(stage)[0] > earlier[0] + 100)
    later = copies(stage)
    assert later[0] - earlier[0] == later[1] - earlier[1]
    assert counted(stage).bins["cluster.copy-v1.upstream_rq_time"]
    # While Envoy waits for a new cluster's endpoints, nobody else's changes reach it.
    assert "timed out" not in (stage.directory / "envoy.log").read_text()
    assert len(stage.children("copy-v")) == 2
    assert not mirror(stage).variants
    eventually(lambda: not stage.children("copy-v"))
    eventually(lambda: "cluster.copy-v1.upstream_rq_total" not in counted(stage).values)
    after = stage.status()
    assert after.resource_version == before.resource_version
    assert after.load.failed == before.load.failed


def test_a_newer_leader_is_obeyed(stage: Stage) -> None:
    epoch = stage.status().epoch + 2
    ask = stage_pb2.BackendAsk(name="spot", floor=stage.backend("spot").floor)
    stage.apply(ask, epoch=epoch, leader="new")
    with pytest.raises(grpc.RpcError) as refused:
        mirror(stage, variant("v1"), epoch=epoch - 1, leader="old")
    assert refused.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert "new leads" in refused.value.details()
    assert not mirror(stage, epoch=epoch, leader="new").variants


def test_what_nobody_asks_for_again_is_gone(stage: Stage) -> None:
    mirror(stage, variant("gone"), lease_s=1.0)
    eventually(lambda: stage.children("copy-gone"))
    eventually(lambda: not stage.children("copy-gone"))


def test_a_crashed_replica_comes_back(stage: Stage) -> None:
    mirror(stage, variant("again"))
    eventually(lambda: mirror(stage, variant("again")).variants[0].ready == 1)
    stage.children("copy-again")[0].kill()
    eventually(lambda: mirror(stage, variant("again")).variants[0].crashed == 1)
    eventually(lambda: mirror(stage, variant("again")).variants[0].ready == 1)
    mirror(stage)


@pytest.mark.parametrize(
    ("variants", "fields", "says"),
    [
        ((variant("v"),), {"share": 1.5}, "share 1.5: ask for 0 to 1"),
        ((variant("v"),), {"lease_s": 600.0}, "lease_s 600"),
        ((variant("v"),), {"service": "api"}, "unknown service 'api'"),
        ((variant("v", backend="gpu"),), {}, "unknown backend 'gpu'"),
        ((variant("v", replicas=0),), {}, "0 replicas, not 1 to 12"),
        ((variant("v", colour=1.0),), {}, "unknown setting 'colour'"),
        ((variant("v", cache=-1.0),), {}, "setting cache is -1"),
        ((variant("../v"),), {}, "name it by"),
        ((variant("v"), variant("v")), {}, "listed twice"),
        (tuple(variant(f"v{n}") for n in range(9)), {}, "9 variants"),
    ],
)
def test_what_cannot_be_is_refused(
    stage: Stage, variants: tuple[Any, ...], fields: dict[str, Any], says: str
) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        mirror(stage, *variants, **fields)
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert says in refused.value.details()
    assert not mirror(stage).variants


def test_a_rollout_brings_other_settings_to_the_service_itself(stage: Stage) -> None:
    def tuned() -> int:
        return len(stage.children("threads=8.0"))

    with pytest.raises(grpc.RpcError, match="unknown setting 'colour'"):
        stage.stub.Roll(stage_pb2.RollRequest(backend="spot", settings={"colour": 1.0}))
    assert not tuned()
    stage.stub.Roll(stage_pb2.RollRequest(backend="spot", settings={"threads": 8.0}))
    eventually(lambda: tuned() == len(stage.children("/spot-")), within_s=60.0)
    stage.stub.Roll(stage_pb2.RollRequest(backend="spot"))
    eventually(lambda: not tuned(), within_s=60.0)
