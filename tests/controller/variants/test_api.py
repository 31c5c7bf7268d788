"""Rounds over the API: what may be asked for, and what is refused with which status."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest

from trimtab_controller.config import Sensing
from trimtab_controller.kubernetes.spec import KubernetesSpec, TargetSpec
from trimtab_guard.modes import Mode
from trimtab_proto.v1 import controller_pb2 as pb
from trimtab_proto.v1 import controller_pb2_grpc

World = Any  # the class in conftest.py, which cannot be imported from here
Code = grpc.StatusCode


@pytest.fixture
def world(new_world: Callable[[Mode], World]) -> World:
    world = new_world(Mode.GUARDED)
    # Nothing here gets as far as to the stage, but a service without one is refused.
    world.board.rounds.can = lambda service: service == "web"
    world.tick(2)
    return world


@pytest.fixture
def stub(world: World, tmp_path: Path) -> Iterator[controller_pb2_grpc.ControllerStub]:
    address = f"unix:{tmp_path}/api.sock"
    with closing(world.serve(address)), grpc.insecure_channel(address) as channel:
        yield controller_pb2_grpc.ControllerStub(channel)


def variant(name: str = "v1", replicas: int = 1, **settings: float) -> pb.Variant:
    return pb.Variant(name=name, replicas=replicas, settings=settings)


def start(**changes: Any) -> pb.StartRoundRequest:
    fields: dict[str, Any] = {
        "service": "web",
        "backend": "a",
        "experiment": "threads",
        "variants": [variant(threads=8.0)],
        "rate_rps": 10.0,
        "safe_to_mirror": True,
        "who": "ann",
    }
    return pb.StartRoundRequest(**{**fields, **changes})


def refused(call: Callable[..., Any], request: Any) -> tuple[Code, str]:
    with pytest.raises(grpc.RpcError) as caught:
        call(request, timeout=5.0)
    return caught.value.code(), caught.value.details()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        pytest.param({"who": ""}, "who: is missing", id="nobody"),
        pytest.param({"backend": "c"}, "backend: must be one of the backends: a, b", id="stranger"),
        pytest.param({"safe_to_mirror": False}, "carried out a second time", id="not safe"),
        pytest.param({"variants": []}, "variants: must be 1 to 8", id="nothing"),
        pytest.param({"variants": [variant()] * 2}, "a name of its own", id="twice"),
        pytest.param({"variants": [variant(replicas=0)]}, "at least one replica", id="no replica"),
        pytest.param({"rate_rps": 0.0}, "rate_rps: must be above 0, and is 0", id="no copies"),
        pytest.param({"rate_rps": float("nan")}, "rate_rps: must be above 0", id="no number"),
        pytest.param({"requests": 0}, "requests: must be at least 1", id="no requests"),
        pytest.param({"seconds": 86400.0}, "at most 3600, and is 86400", id="a day"),
        pytest.param({"settle_s": 300.0}, "less than seconds, 300", id="settles for ever"),
        pytest.param({"most_share": 2.0}, "most_share: must be above 0 and at most 1", id="twice"),
    ],
)
def test_a_mistake_is_named(
    stub: controller_pb2_grpc.ControllerStub, changes: dict[str, Any], says: str
) -> None:
    code, details = refused(stub.StartRound, start(**changes))
    assert code is Code.INVALID_ARGUMENT
    assert says in details
    assert not stub.ListRounds(pb.ListRoundsRequest()).rounds


def test_it_acts_by_itself_and_so_begins_in_guarded_only(
    stub: controller_pb2_grpc.ControllerStub, world: World
) -> None:
    world.mandate.set_mode("web", Mode.APPROVE, "ann", world.clock())
    code, details = refused(stub.StartRound, start())
    assert code is Code.FAILED_PRECONDITION
    assert "web is in approve" in details


def abroad(world: World, home: KubernetesSpec) -> None:
    """The same service, on Kubernetes."""
    config = world.board.configs["web"]
    backend = replace(config.spec.backends[0], target=TargetSpec("Deployment", "web-a"))
    spec = replace(
        config.spec, kubernetes=home, stage=None, sensor=Sensing.PUSHED, backends=(backend,)
    )
    abroad = replace(config, spec=spec)
    world.mandate.configs = {**world.board.configs, "web": abroad}


@pytest.mark.parametrize(
    ("breaks", "status", "says"),
    [
        pytest.param(
            lambda w: setattr(w.board.rounds, "can", lambda _: False),
            Code.FAILED_PRECONDITION,
            "on the local stage with `sensor: envoy`",
            id="another stage",
        ),
        pytest.param(
            lambda w: abroad(w, KubernetesSpec("shop")),
            Code.FAILED_PRECONDITION,
            "an HTTPRoute that copies requests",
            id="no route",
        ),
        pytest.param(
            lambda w: abroad(w, KubernetesSpec("shop", "web")),
            Code.FAILED_PRECONDITION,
            "measured through Prometheus",
            id="no Prometheus",
        ),
        pytest.param(
            lambda w: (w.stage.hpa.update(a=12), w.tick()),
            Code.RESOURCE_EXHAUSTED,
            "more than its 12",
            id="no room",
        ),
    ],
)
def test_what_cannot_be_run_is_refused(
    stub: controller_pb2_grpc.ControllerStub,
    world: World,
    breaks: Callable[[World], object],
    status: Code,
    says: str,
) -> None:
    breaks(world)
    code, details = refused(stub.StartRound, start())
    assert code is status
    assert says in details


def test_a_round_is_begun_seen_and_ended(stub: controller_pb2_grpc.ControllerStub) -> None:
    begun = stub.StartRound(start(variants=[variant("v1"), variant("v2", 2, cache=100.0)]))
    assert (begun.number, begun.over, begun.who) == (1, False, "ann")
    (seen,) = stub.ListRounds(pb.ListRoundsRequest(service="web")).rounds
    assert [each.name for each in seen.results] == ["live", "v1", "v2"]
    assert dict(seen.variants[1].settings) == {"cache": 100.0}
    assert refused(stub.StartRound, start())[0] is Code.FAILED_PRECONDITION
    end = pb.EndRoundRequest(service="web", who="bob", why="enough")
    assert refused(stub.EndRound, pb.EndRoundRequest(service="web", who="b", variants=["x"]))[
        0
    ] is (Code.NOT_FOUND)
    assert stub.EndRound(end).why == "ended by bob: enough"
    assert refused(stub.EndRound, end)[0] is Code.NOT_FOUND
    assert stub.StartRound(start()).number == 2
