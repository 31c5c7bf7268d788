"""KEDA's external scaler over a real channel: exact names, and never a number when in doubt."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor import FieldDescriptor
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from hypothesis import given
from hypothesis import strategies as st

from trimtab_controller.keda.decision import past_tolerance
from trimtab_guard.modes import Mode
from trimtab_proto.v1 import externalscaler_pb2 as pb
from trimtab_proto.v1 import externalscaler_pb2_grpc

World = Any  # the class in conftest.py, which cannot be imported from here

Code = grpc.StatusCode
NAME = "trimtab-replicas"


class Keda:
    """KEDA's side of the wire, and the world behind the other one."""

    def __init__(self, world: World, address: str) -> None:
        self.world = world
        self.served = world.serve(address)
        self.channel = grpc.insecure_channel(address)
        self.stub = externalscaler_pb2_grpc.ExternalScalerStub(self.channel)

    def call(self, method: str, request: pb.ScaledObjectRef) -> Any:
        """The answer, or a stream's first one."""
        answer = getattr(self.stub, method)(request, timeout=5.0)
        return next(answer) if method in STREAMS else answer

    def count(self, name: str = NAME, **metadata: str) -> int:
        request = pb.GetMetricsRequest(scaledObjectRef=ref(**metadata), metricName=name)
        (value,) = self.stub.GetMetrics(request, timeout=5.0).metricValues
        assert (value.metricName, value.metricValueFloat) == (name, value.metricValue)
        return int(value.metricValue)

    def active(self, **metadata: str) -> bool:
        return bool(self.stub.IsActive(ref(**metadata), timeout=5.0).result)

    def doubt(self, **metadata: str) -> str:
        """The reason of the error that GetMetrics answers with."""
        with pytest.raises(grpc.RpcError) as refused:
            self.count(**metadata)
        assert refused.value.code() is Code.UNAVAILABLE
        rpc_status.from_call(refused.value).details[0].Unpack(info := error_details_pb2.ErrorInfo())
        return str(info.reason)

    def close(self) -> None:
        self.channel.close()
        self.served.close()


@pytest.fixture
def keda(new_world: Callable[..., World], tmp_path: Path) -> Iterator[Keda]:
    keda = Keda(new_world(Mode.SHADOW), f"unix:{tmp_path}/keda.sock")
    yield keda
    keda.close()


def ref(**metadata: str) -> pb.ScaledObjectRef:
    """As KEDA sends it: its own keys come along."""
    metadata = {"scalerAddress": "trimtab:7070", "enableTLS": "true", "service": "web"} | metadata
    return pb.ScaledObjectRef(name="web", namespace="shop", scalerMetadata=metadata)


def hpa(total: float, target: float, replicas: int) -> int:
    """Kubernetes' GetExternalPerPodMetricReplicas, in thousandths as KEDA serves them."""
    ratio = int(total * 1000) / (target * 1000 * replicas)
    return replicas if 0.9 <= ratio <= 1.1 else math.ceil(int(total * 1000) / (target * 1000))


WIRE = {
    "ScaledObjectRef": {"name": 1, "namespace": 2, "scalerMetadata": 3},
    "IsActiveResponse": {"result": 1},
    "GetMetricSpecResponse": {"metricSpecs": 1},
    "MetricSpec": {"metricName": 1, "targetSize": 2, "targetSizeFloat": 3},
    "GetMetricsRequest": {"scaledObjectRef": 1, "metricName": 2},
    "GetMetricsResponse": {"metricValues": 1},
    "MetricValue": {"metricName": 1, "metricValue": 2, "metricValueFloat": 3},
}
STREAMS = {"StreamIsActive", "StreamMetricSpec"}


def test_the_wire_is_kedas() -> None:
    """Against kedacore/keda, pkg/scalers/externalscaler/externalscaler.proto at 8b4f083ca."""
    file = pb.DESCRIPTOR
    found = {
        name: {field.name: field.number for field in message.fields}
        for name, message in file.message_types_by_name.items()
    }
    assert (file.package, found) == ("externalscaler", WIRE)
    types = {
        field.name: field.type
        for message in ("MetricSpec", "MetricValue", "IsActiveResponse")
        for field in file.message_types_by_name[message].fields
    }
    int64, double = FieldDescriptor.TYPE_INT64, FieldDescriptor.TYPE_DOUBLE
    assert types == {
        "metricName": FieldDescriptor.TYPE_STRING, "result": FieldDescriptor.TYPE_BOOL,
        "targetSize": int64, "targetSizeFloat": double,
        "metricValue": int64, "metricValueFloat": double,
    }  # fmt: skip
    methods = file.services_by_name["ExternalScaler"].methods_by_name
    assert set(methods) == {"IsActive", "GetMetricSpec", "GetMetrics", *STREAMS}
    assert {name for name, method in methods.items() if method.server_streaming} == STREAMS


@pytest.mark.parametrize(
    ("metadata", "counted"),
    [
        ({"backend": "a"}, 4),
        ({"backend": "b"}, 1),
        ({}, 5),
        ({"backend": "a", "mode": "assist"}, 4),
    ],
    ids=str,
)
def test_what_is_wanted(keda: Keda, metadata: dict[str, str], counted: int) -> None:
    keda.world.want(a=4, b=1)
    keda.world.tick()
    assert keda.count(**metadata) == keda.count(**metadata) == counted
    assert keda.active(**metadata)
    assert keda.world.stage.calls == 0


def test_assist_only_adds(keda: Keda) -> None:
    keda.world.stage.hpa["a"] = 8
    keda.world.tick(9)
    assert keda.count(backend="a") < 8
    assert keda.count(backend="a", mode="assist") == 8


@pytest.mark.parametrize(
    ("metadata", "name"),
    [({}, NAME), ({"metric": "exact-replicas"}, "trimtab-exact-replicas")],
    ids=["replicas", "exact"],
)
def test_the_metric_is_a_number_of_replicas(
    keda: Keda, metadata: dict[str, str], name: str
) -> None:
    (spec,) = keda.stub.GetMetricSpec(ref(**metadata), timeout=5.0).metricSpecs
    assert (spec.metricName, spec.targetSize, spec.targetSizeFloat) == (name, 1, 1.0)
    assert keda.count(name, **metadata) == 2


@pytest.mark.parametrize(
    ("metadata", "code", "message"),
    [
        ({"service": ""}, Code.INVALID_ARGUMENT, "scalerMetadata.service: is missing"),
        ({"service": "api"}, Code.NOT_FOUND, "no service 'api': the configuration has web"),
        (
            {"backend": "c"},
            Code.INVALID_ARGUMENT,
            "backend: 'c' must be one of a, b",
        ),
        ({"metric": "cpu"}, Code.INVALID_ARGUMENT, "'cpu' must be one of replicas, exact-replicas"),
        ({"mode": "shadow"}, Code.INVALID_ARGUMENT, "'shadow' must be one of guarded, assist"),
        ({"backends": "a"}, Code.INVALID_ARGUMENT, "backends: is unknown: did you mean 'backend'?"),
        ({"Service": "a"}, Code.INVALID_ARGUMENT, "Service: is unknown: did you mean 'service'?"),
    ],
    ids=str,
)
@pytest.mark.parametrize("method", ["GetMetricSpec", "IsActive", *sorted(STREAMS)])
def test_metadata_that_is_refused(
    keda: Keda, method: str, metadata: dict[str, str], code: Code, message: str
) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        keda.call(method, ref(**metadata))
    assert refused.value.code() is code
    assert message in refused.value.details()


def test_another_metric_is_refused(keda: Keda) -> None:
    with pytest.raises(grpc.RpcError, match="metricName: 's0-trimtab-replicas' must be"):
        keda.count("s0-trimtab-replicas")


def stage_gone(world: World) -> None:
    world.stage.down = True
    world.tick()


def sensor_gone(world: World) -> None:
    world.sensor.error = "Envoy is away"
    world.tick()


def not_a_number(world: World) -> None:
    world.sensor.values["rate_rps", "a"] = math.nan
    world.tick()


def negative(world: World) -> None:
    world.sensor.values["in_flight", "b"] = -1.0
    world.tick()


def frozen(world: World) -> None:
    for flow in range(40):
        world.sensor.values["in_flight", "a"] = float(flow % 7)
        world.sensor.values["rate_rps", "b"] = 50.0 + flow
        world.want(a=3 + flow % 2)
        world.tick()


def policy_gone(world: World) -> None:
    world.policy.think = lambda: 1 / 0
    world.tick()


def hanging(world: World) -> None:
    world.clock.now_s += 4.0


def stopped(world: World) -> None:
    world.mandate.halt("ann", "enough")


def restarted(world: World) -> None:
    world.board._ticks = {}


@pytest.mark.parametrize(
    ("trouble", "reason"),
    [
        (stage_gone, "HELD"), (sensor_gone, "STALE"), (not_a_number, "STALE"),
        (negative, "INVALID"), (frozen, "FROZEN"), (policy_gone, "HELD"), (hanging, "STALE"),
        (stopped, "STOPPED"), (restarted, "NO_DECISION"),
    ],
)  # fmt: skip
def test_in_doubt_there_is_no_number(
    keda: Keda, trouble: Callable[[World], None], reason: str
) -> None:
    keda.world.want(a=3)
    keda.world.tick()
    assert keda.count() == 4
    trouble(keda.world)
    assert keda.doubt() == reason
    assert keda.active()
    assert len(keda.stub.GetMetricSpec(ref(), timeout=5.0).metricSpecs) == 1


def test_it_answers_while_the_loop_hangs_in_a_write(keda: Keda) -> None:
    with keda.world.board.lock:
        assert (keda.count(), keda.active()) == (2, True)


def test_the_streams(keda: Keda) -> None:
    specs = keda.stub.StreamMetricSpec(ref(), timeout=5.0)
    assert next(specs) == keda.stub.GetMetricSpec(ref(), timeout=5.0)
    active = keda.stub.StreamIsActive(ref(), timeout=5.0)
    assert next(active).result is True
    assert specs.is_active()
    assert active.is_active()
    specs.cancel()
    active.cancel()


def test_twenty_one_replicas_get_past_the_tolerance() -> None:
    assert hpa(21, 1.0, 20) == 20
    assert hpa(past_tolerance(21, 20, 400), 1.0, 20) == 23
    assert hpa(past_tolerance(21, 23, 400), 1.0, 23) == 23
    assert past_tolerance(21, 20, 21) == 21


@given(present=st.integers(1, 400), wanted=st.integers(0, 400))
def test_what_is_wanted_is_reached_and_hardly_exceeded(present: int, wanted: int) -> None:
    reached = hpa(past_tolerance(wanted, present, 400), 1.0, present)
    if wanted > present:
        assert wanted <= reached or present + present // 10 + 1 > 400
        assert reached <= max(wanted, present + present // 10 + 1)
    else:
        assert wanted <= reached <= present
        assert reached == wanted or wanted >= 0.9 * present
