"""What a kubelet's probe is told."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from trimtab_controller import health
from trimtab_controller.health import Health
from trimtab_controller.security.addresses import AddressError

Status = health_pb2.HealthCheckResponse


@pytest.fixture
def address() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


@pytest.fixture
def now_s(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now_s = [1000.0]
    monkeypatch.setattr(health.time, "monotonic", lambda: now_s[0])
    return now_s


@pytest.fixture
def check(address: str, now_s: list[float]) -> Iterator[Any]:
    told = Health(address, tick_s=15.0)
    with grpc.insecure_channel(address) as channel:
        stub = health_pb2_grpc.HealthStub(channel)

        def check(service: str = "") -> Any:
            request = health_pb2.HealthCheckRequest(service=service)
            return stub.Check(request, timeout=10.0, wait_for_ready=True).status

        yield told, check
    told.close()


def test_a_loop_that_does_not_come_round_is_told(check: Any, now_s: list[float]) -> None:
    told, ask = check
    assert ask() == Status.SERVING
    now_s[0] += 150.0
    assert ask() == Status.SERVING
    now_s[0] += 0.1
    assert ask() == Status.NOT_SERVING
    told.beating(lambda: None)()
    assert ask() == Status.SERVING


def test_single_services_are_not_known(check: Any) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        check[1]("trimtab.v1.Controller")
    assert refused.value.code() is grpc.StatusCode.NOT_FOUND


def test_a_port_that_is_taken_is_named(check: Any, address: str) -> None:
    with pytest.raises(AddressError, match=f"{address}: is it in use"):
        Health(address, tick_s=1.0)


def test_without_an_address_nothing_listens() -> None:
    told = Health(None, tick_s=1.0)
    told.beat()
    told.close()
