"""No caller can take all: calls per second, streams at once, and the size of what is sent."""

from __future__ import annotations

import math
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2 as details
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_status import rpc_status
from hypothesis import given
from hypothesis import strategies as st

from trimtab_controller.security.quotas import BURST_S, CALLERS, STREAMS, Quotas, TooMany
from trimtab_controller.security.roles import Role
from trimtab_controller.security.spec import SecuritySpec
from trimtab_proto.v1 import controller_pb2 as pb

House = Any  # the class in conftest.py, which cannot be imported from here
Code = grpc.StatusCode
PENDING = pb.ListPendingRequest()


def allowed(quotas: Quotas, caller: str = "ann") -> bool:
    try:
        quotas.spend(caller)
    except TooMany:
        return False
    return True


@given(
    rate_rps=st.floats(1.0, 1000.0),
    waits_s=st.lists(st.floats(0.0, 5.0), min_size=1, max_size=200),
)
def test_never_more_than_the_rate_and_a_burst(rate_rps: float, waits_s: list[float]) -> None:
    now_s = 0.0
    quotas = Quotas(rate_rps, lambda: now_s)
    times_s = []
    for wait_s in waits_s:
        now_s += wait_s
        if allowed(quotas):
            times_s.append(now_s)
    for first, first_s in enumerate(times_s):
        for last, last_s in enumerate(times_s[first:], first):
            most = rate_rps * (last_s - first_s + BURST_S)
            assert last - first + 1 <= most + 1e-6 * (1.0 + most)


def test_a_second_later_there_is_room_again() -> None:
    now_s = 0.0
    quotas = Quotas(1.0, lambda: now_s)
    assert [allowed(quotas) for _ in range(3)] == [True, True, False]
    assert allowed(quotas, "bob")
    now_s = 1.0
    assert allowed(quotas)


def test_those_who_are_unknown_and_many_take_no_memory() -> None:
    quotas = Quotas(1.0, lambda: 0.0)
    for number in range(2 * CALLERS):
        quotas.spend(f"ipv6:{number}")
    assert len(quotas._buckets) == CALLERS


def refused(call: Any, request: Any) -> grpc.RpcError:
    with pytest.raises(grpc.RpcError) as error:
        call(request, timeout=5.0)
    return error.value


def test_who_calls_too_often_is_told_when_to_come_again(house: House) -> None:
    ann, bob = (house.token(name, Role.VIEWER) for name in ("ann", "bob"))
    house.serve(SecuritySpec(house.tls, str(house.tokens), rate_rps=1.0))
    stub = house.stub(ann)
    for _ in range(math.floor(BURST_S)):
        stub.ListPending(PENDING, timeout=5.0)
    error = refused(stub.ListPending, PENDING)
    assert error.code() is Code.RESOURCE_EXHAUSTED  # type: ignore[attr-defined]
    found = {detail.TypeName(): detail for detail in rpc_status.from_call(error).details}
    retry = details.RetryInfo()
    assert found["google.rpc.RetryInfo"].Unpack(retry)
    assert retry.retry_delay.ToSeconds() == 1
    house.stub(bob).ListPending(PENDING, timeout=5.0)
    assert [body["caller"] for body in house.denials()] == ["ann"]


def test_strangers_have_quotas_by_address(house: House) -> None:
    house.serve(SecuritySpec(house.tls, str(house.tokens), rate_rps=1.0))
    health = health_pb2_grpc.HealthStub(house.channel())
    for _ in range(math.floor(BURST_S)):
        health.Check(health_pb2.HealthCheckRequest(), timeout=5.0)
    error = refused(health.Check, health_pb2.HealthCheckRequest())
    assert error.code() is Code.RESOURCE_EXHAUSTED  # type: ignore[attr-defined]


def test_streams_are_counted_and_given_back(house: House) -> None:
    token = house.token("ann", Role.VIEWER)
    house.serve()
    watch = house.stub(token).WatchDecisions
    streams = [watch(pb.WatchDecisionsRequest(), timeout=30.0) for _ in range(STREAMS)]
    assert all(next(stream).service == "web" for stream in streams)
    with pytest.raises(grpc.RpcError) as error:
        next(watch(pb.WatchDecisionsRequest(), timeout=5.0))
    assert error.value.code() is Code.RESOURCE_EXHAUSTED
    house.stub(token).ListPending(PENDING, timeout=5.0)
    for stream in streams:
        stream.cancel()
    while house.served.entrance.gate.quotas._streams:
        pass
    assert next(watch(pb.WatchDecisionsRequest(), timeout=5.0)).service == "web"


@pytest.mark.parametrize(
    ("size", "code"),
    [pytest.param(2**20 - 100, Code.PERMISSION_DENIED, id="fits"),
     pytest.param(2**20 + 1, Code.RESOURCE_EXHAUSTED, id="too long")],
)  # fmt: skip
def test_a_message_has_at_most_a_mebibyte(house: House, size: int, code: Code) -> None:
    token = house.token("ann", Role.VIEWER)
    house.serve()
    error = refused(house.stub(token).Stop, pb.StopRequest(why="x" * size))
    assert error.code() is code  # type: ignore[attr-defined]


def test_headers_have_at_most_16_kibibytes(house: House) -> None:
    token = house.token("ann", Role.VIEWER)
    house.serve()
    stub = house.stub(token)
    with pytest.raises(grpc.RpcError) as error:
        stub.ListPending(PENDING, metadata=[("x", "y" * 2**15)], timeout=5.0)
    assert error.value.code() is Code.RESOURCE_EXHAUSTED
    stub.ListPending(PENDING, timeout=5.0)
