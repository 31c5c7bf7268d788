"""`trimtab.v1.Controller` over a real channel: what it does, and the status codes that it means."""

from __future__ import annotations

import math
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor_pool import DescriptorPool
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)
from grpc_status import rpc_status

from trimtab_controller import reader
from trimtab_controller.security.addresses import AddressError, check_address
from trimtab_controller.security.spec import SecuritySpec
from trimtab_controller.server import SERVICE
from trimtab_guard.modes import Mode
from trimtab_proto.v1 import controller_pb2 as pb
from trimtab_proto.v1 import controller_pb2_grpc

World = Any  # the class in conftest.py, which cannot be imported from here

Code = grpc.StatusCode


class Client:
    """One daemon's API and the world behind it."""

    def __init__(self, world: World, address: str) -> None:
        self.world = world
        self.served = world.serve(address)
        self.channel = grpc.insecure_channel(address)
        self.stub = controller_pb2_grpc.ControllerStub(self.channel)

    def call(self, method: str, request: Any) -> Any:
        return getattr(self.stub, method)(request, timeout=5.0)

    def close(self) -> None:
        self.channel.close()
        self.served.close()


@pytest.fixture
def client(new_world: Callable[..., World], tmp_path: Path) -> Iterator[Client]:
    client = Client(new_world(Mode.APPROVE), f"unix:{tmp_path}/api.sock")
    yield client
    client.close()


def report(**changes: Any) -> pb.RecommendRequest:
    backends = [
        pb.BackendReport(name=name, wanted=2, ready=2, weight=0.5, rate_rps=50.0, in_flight=2.0)
        for name in "ab"
    ]
    request = pb.RecommendRequest(service="web", backends=backends)
    for path, value in changes.items():
        target: Any = request.backends[1] if path.startswith("b_") else request
        setattr(target, path.removeprefix("b_"), value)
    return request


def test_recommend_decides_and_changes_nothing(client: Client) -> None:
    client.world.want(a=9, b=1)
    reply = client.call("Recommend", report(caller="hpa"))
    assert [d.replicas for d in reply.proposal] == [9, 1]
    assert [d.replicas for d in reply.decision] == [6, 2]
    assert {reason.code for reason in reply.reasons} == {"RATE_UP", "NO_HISTORY"}
    assert reply.why.startswith("because; no scale-down before a full window has been reported")
    assert (reply.trust, reply.service, reply.policy) == (pb.TRUST_UP, "web", "fixed")
    assert client.world.stage.calls == 0
    client.served.ledger.close()
    (answer,) = client.world.journal.last("recommend").body["answers"]
    assert answer.keys() == {"caller", "state", "proposal", "verdict"}


@pytest.mark.parametrize(
    ("request_", "code", "message"),
    [
        (report(service=""), Code.INVALID_ARGUMENT, "service: is missing"),
        (report(service="api"), Code.NOT_FOUND, "'api': the configuration has web"),
        (report(b_name="c"), Code.INVALID_ARGUMENT, "backends: must name each of a, b once"),
        (report(b_name="a"), Code.INVALID_ARGUMENT, "backends: must name each of a, b once"),
        (report(b_rate_rps=-1.0), Code.INVALID_ARGUMENT, "backends[b].rate_rps: -1 must be"),
        (report(b_rate_rps=math.nan), Code.INVALID_ARGUMENT, "backends[b].rate_rps: nan must be"),
        (report(b_in_flight=math.inf), Code.INVALID_ARGUMENT, "backends[b].in_flight: inf must"),
        (report(b_weight=1.5), Code.INVALID_ARGUMENT, "weight: 1.5 must be a number, between 0"),
        (report(miss_share=2.0), Code.INVALID_ARGUMENT, "miss_share: 2 must be a number, between"),
        (report(p95_ms=-1.0), Code.INVALID_ARGUMENT, "p95_ms: -1 must be a number, 0 or more"),
        (report(time_s=4e9), Code.INVALID_ARGUMENT, "time_s: 4e+09 must be"),
    ],
)
def test_what_recommend_refuses(
    client: Client, request_: pb.RecommendRequest, code: Code, message: str
) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        client.call("Recommend", request_)
    assert refused.value.code() is code
    assert message in refused.value.details()


def test_a_refusal_names_its_field_for_programs(client: Client) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        client.call("Recommend", report(b_rate_rps=-1.0))
    info, bad = rpc_status.from_call(refused.value).details
    assert info.Is(error_details_pb2.ErrorInfo.DESCRIPTOR)
    bad.Unpack(request := error_details_pb2.BadRequest())
    assert [violation.field for violation in request.field_violations] == ["backends[b].rate_rps"]


def test_recommend_without_a_policy(client: Client) -> None:
    client.world.policy.think = lambda: 1 / 0
    with pytest.raises(grpc.RpcError) as refused:
        client.call("Recommend", report())
    assert refused.value.code() is Code.UNAVAILABLE


def mode(number: int, **changes: Any) -> pb.SetModeRequest:
    return pb.SetModeRequest(**{"service": "web", "mode": number, "who": "ann"} | changes)


def test_modes_stop_and_resume(client: Client) -> None:
    client.world.want(a=4)
    assert client.call("SetMode", mode(pb.MODE_GUARDED)).mode == pb.MODE_GUARDED
    client.call("Stop", pb.StopRequest(who="ann", why="enough"))
    assert client.world.journal.last("stop").body == {"who": "ann", "why": "enough"}
    assert client.world.tick().tick.outcome == "stopped"
    with pytest.raises(grpc.RpcError) as refused:
        client.call("SetMode", mode(pb.MODE_SHADOW))
    assert refused.value.code() is Code.FAILED_PRECONDITION
    client.call("Resume", pb.ResumeRequest(who="ann"))
    status = client.world.tick()
    assert (status.tick.mode, client.world.stage.calls) == (Mode.SHADOW, 0)
    kinds = [entry.kind for entry in client.world.journal.entries(kinds=("mode", "stop", "resume"))]
    assert kinds == ["mode", "mode", "stop", "resume"]  # the first from the command line


@pytest.mark.parametrize(
    ("method", "request_", "code", "message"),
    [
        ("SetMode", mode(pb.MODE_GUARDED, who=""), Code.INVALID_ARGUMENT, "who: is missing"),
        (
            "SetMode",
            mode(pb.MODE_ASSIST, who="trimtab"),
            Code.INVALID_ARGUMENT,
            "give another name",
        ),
        ("SetMode", mode(pb.MODE_UNSPECIFIED), Code.INVALID_ARGUMENT, "mode: must be MODE_SHADOW"),
        ("SetMode", mode(99), Code.INVALID_ARGUMENT, "mode: must be MODE_SHADOW"),
        ("SetMode", mode(pb.MODE_SHADOW, service="api"), Code.NOT_FOUND, "has web"),
        ("SetMode", mode(pb.MODE_SHADOW, service=""), Code.INVALID_ARGUMENT, "service: is missing"),
        ("Renew", pb.RenewRequest(service="web"), Code.INVALID_ARGUMENT, "who: is missing"),
        ("Renew", pb.RenewRequest(service="api", who="ann"), Code.NOT_FOUND, "has web"),
        ("Resume", pb.ResumeRequest(), Code.INVALID_ARGUMENT, "who: is missing"),
        ("Approve", pb.ApproveRequest(id="1"), Code.INVALID_ARGUMENT, "who: is missing"),
        ("Approve", pb.ApproveRequest(id="9", who="ann"), Code.NOT_FOUND, "no envelope '9'"),
        ("Abort", pb.AbortRequest(), Code.INVALID_ARGUMENT, "who: is missing"),
        ("Revoke", pb.RevokeRequest(id="1"), Code.INVALID_ARGUMENT, "who: is missing"),
        ("Revoke", pb.RevokeRequest(id="9", who="ann"), Code.NOT_FOUND, "no envelope '9'"),
        ("Reject", pb.RejectRequest(id="", who="ann"), Code.NOT_FOUND, "no envelope ''"),
    ],
)
def test_what_commands_refuse(
    client: Client, method: str, request_: Any, code: Code, message: str
) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        client.call(method, request_)
    assert refused.value.code() is code
    assert message in refused.value.details()


def test_no_mode_above_the_ceiling(client: Client) -> None:
    client.world.reload("ceiling: guarded", "ceiling: assist")
    with pytest.raises(grpc.RpcError) as refused:
        client.call("SetMode", mode(pb.MODE_GUARDED))
    assert refused.value.code() is Code.FAILED_PRECONDITION
    assert "above the ceiling" in refused.value.details()


def test_approvals(client: Client) -> None:
    client.world.want(a=3, share_a=0.45)
    client.world.tick()
    pending = client.call("ListPending", pb.ListPendingRequest()).pending
    assert [(e.backend, e.change) for e in pending] == [
        ("a", "scale-up"), ("a", "route"), ("b", "route"),
    ]  # fmt: skip
    scale, route = pending[0], pending[1]
    assert (scale.min_replicas, scale.max_replicas, scale.min_weight) == (1, 3, 0.5)
    assert (route.min_replicas, route.max_replicas, route.min_weight) == (1, 1, 0.45)
    granted = client.call("Approve", pb.ApproveRequest(id=scale.id, who="ann")).envelope
    assert granted.expires_s > scale.expires_s
    client.call("Reject", pb.RejectRequest(id=route.id, who="ann"))
    with pytest.raises(grpc.RpcError) as refused:
        client.call("Reject", pb.RejectRequest(id=scale.id, who="bob"))
    assert refused.value.code() is Code.FAILED_PRECONDITION
    client.world.tick()
    assert client.world.floors == (3, 1)


def test_of_many_who_answer_at_once_exactly_one_wins(client: Client) -> None:
    client.world.want(a=3)
    client.world.tick()
    calls = [client.stub.Approve, client.stub.Reject] * 6
    requests = [
        (pb.ApproveRequest if call is client.stub.Approve else pb.RejectRequest)(
            id="1", who=f"p{n}"
        )
        for n, call in enumerate(calls)
    ]
    together = threading.Barrier(len(calls))
    codes: list[Code] = []

    def say(call: Any, request: Any) -> None:
        together.wait(5.0)
        answer = call.future(request, timeout=5.0)
        codes.append(answer.code())

    people = [threading.Thread(target=say, args=pair) for pair in zip(calls, requests, strict=True)]
    for person in people:
        person.start()
    for person in people:
        person.join()
    assert sorted(map(str, codes)) == sorted(
        map(str, [Code.OK] + [Code.FAILED_PRECONDITION] * (len(calls) - 1))
    )
    kept = [entry.body["envelope"] for entry in client.world.journal.entries(kinds=("envelope",))]
    assert len(kept) == 2  # asked, and answered once


def test_revoke(client: Client) -> None:
    client.world.want(a=3)
    client.world.tick()
    client.call("Approve", pb.ApproveRequest(id="1", who="ann"))
    listed = client.call("ListPending", pb.ListPendingRequest())
    assert ([e.id for e in listed.granted], len(listed.pending)) == (["1"], 0)
    client.call("Revoke", pb.RevokeRequest(id="1", who="bob"))
    assert len(client.call("ListPending", pb.ListPendingRequest()).granted) == 0
    client.world.tick()
    assert client.world.floors == (1, 1)


def test_abort_answers_when_it_has_stopped(client: Client) -> None:
    client.call("SetMode", mode(pb.MODE_GUARDED))
    client.world.want(a=1, b=1, share_a=0.45)
    client.world.tick()
    assert client.world.stage.spec.weights["a"] == 0.45
    aborting = client.stub.Abort.future(pb.AbortRequest(who="ann", why="it smells"), timeout=5.0)
    while not client.world.mandate.aborting:
        pass
    client.world.tick()
    assert aborting.result() == pb.AbortReply(stopped=True)
    assert client.world.stage.spec.weights["a"] == 0.5
    assert client.world.journal.last("abort").body == {"who": "ann", "why": "it smells"}


def test_a_stop_does_not_wait_for_an_abort(client: Client) -> None:
    aborting = client.stub.Abort.future(pb.AbortRequest(who="ann"), timeout=5.0)
    while not client.world.mandate.aborting:
        pass
    client.call("Stop", pb.StopRequest(who="bob"))
    client.world.tick()
    reply = aborting.result()
    assert (reply.stopped, reply.not_undone) == (True, "stopped before anything was undone")


def test_watching_starts_at_once_and_follows(client: Client) -> None:
    stream = client.stub.WatchDecisions(pb.WatchDecisionsRequest(service="web"), timeout=5.0)
    first = next(stream)
    assert (first.service, first.mode, first.outcome) == ("web", pb.MODE_APPROVE, "unchanged")
    assert [(b.name, b.ready, b.rate_rps) for b in first.backends] == [("a", 1, 50.0), ("b", 1, 50)]
    client.world.want(a=3)
    client.world.tick()
    second = next(stream)
    assert (second.outcome, second.pending, second.why) == ("asked", 1, "because")
    assert [d.replicas for d in second.decision] == [3, 1]
    assert second.decisions == first.decisions + 1
    client.world.stage.down = True
    client.world.tick()
    third = next(stream)
    assert (third.outcome, len(third.backends)) == ("held", 0)
    assert "UNAVAILABLE" in third.error
    stream.cancel()


def test_what_is_shown_is_what_holds_now(client: Client) -> None:
    def now() -> tuple[int, bool, int]:
        stream = client.stub.WatchDecisions(pb.WatchDecisionsRequest(), timeout=5.0)
        status = next(stream)
        stream.cancel()
        return status.mode, status.stopped, status.pending

    client.world.want(a=3)
    client.world.tick()
    assert now() == (pb.MODE_APPROVE, False, 1)
    client.call("Approve", pb.ApproveRequest(id="1", who="ann"))
    client.call("SetMode", mode(pb.MODE_ASSIST))
    assert now() == (pb.MODE_ASSIST, False, 0)
    client.call("Stop", pb.StopRequest(who="ann"))
    assert now() == (pb.MODE_SHADOW, True, 0)
    client.call("Resume", pb.ResumeRequest(who="ann"))
    assert now() == (pb.MODE_SHADOW, False, 0)


def test_too_many_watchers_and_an_unknown_service(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "WATCHERS", 20)
    watch = client.stub.WatchDecisions
    streams = [watch(pb.WatchDecisionsRequest(), timeout=5.0) for _ in range(reader.WATCHERS)]
    assert all(next(stream).service == "web" for stream in streams)
    for request, code in (
        (pb.WatchDecisionsRequest(), Code.RESOURCE_EXHAUSTED),
        (pb.WatchDecisionsRequest(service="api"), Code.NOT_FOUND),
    ):
        with pytest.raises(grpc.RpcError) as refused:
            next(watch(request, timeout=5.0))
        assert refused.value.code() is code
    client.call("Stop", pb.StopRequest())  # watchers never keep anybody from stopping
    for stream in streams:
        stream.cancel()


def test_a_stop_waits_for_no_longer_than_the_write_under_way(client: Client) -> None:
    world = client.world
    writing, go_on = threading.Event(), threading.Event()

    def slow() -> None:
        writing.set()
        go_on.wait(5.0)

    client.call("SetMode", mode(pb.MODE_GUARDED))
    world.want(a=3)
    world.stage.before = slow
    ticking = threading.Thread(target=world.tick)
    ticking.start()
    assert writing.wait(5.0)
    stopping = client.stub.Stop.future(pb.StopRequest(), timeout=5.0)
    while not world.mandate.stopped:
        pass
    go_on.set()
    stopping.result()
    ticking.join()
    world.want(a=5)
    assert world.tick(3).tick.outcome == "stopped"
    assert world.floors == (3, 1)


def test_health_and_reflection(client: Client) -> None:
    health = health_pb2_grpc.HealthStub(client.channel)
    for name in ("", SERVICE):
        reply = health.Check(health_pb2.HealthCheckRequest(service=name), timeout=5.0)
        assert reply.status == health_pb2.HealthCheckResponse.SERVING
    database = ProtoReflectionDescriptorDatabase(client.channel)
    assert SERVICE in database.get_services()
    described = DescriptorPool(database).FindServiceByName(SERVICE)
    assert set(described.methods_by_name) == set(
        pb.DESCRIPTOR.services_by_name["Controller"].methods_by_name
    )


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("0.0.0.0:7070", "needs TLS and authentication"),
        ("192.168.1.1:7070", "needs TLS and authentication"),
        ("[::]:7070", "needs TLS and authentication"),
        ("example.org:7070", "needs TLS and authentication"),
        (":7070", "needs TLS and authentication"),
        ("127.0.0.1", "is no address"),
        ("127.0.0.1:http", "is no address"),
        ("127.0.0.1:70000", "is no address"),
        ("unix:", "1 to 107 bytes"),
        ("unix:/tmp/" + "x" * 120, "1 to 107 bytes"),
        ("unix:/no/such/folder/api.sock", "its folder does not exist"),
    ],
)
def test_addresses_that_are_refused(address: str, message: str) -> None:
    with pytest.raises(AddressError, match=message):
        check_address(address, SecuritySpec())


def test_an_address_in_use(client: Client, tmp_path: Path) -> None:
    with pytest.raises(AddressError, match="in use"):
        check_address(f"unix:{tmp_path}/api.sock", SecuritySpec())
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(AddressError, match="Choose another with --listen"):
            Client(client.world, f"127.0.0.1:{port}")


def test_a_socket_left_behind_is_taken_over(client: Client, tmp_path: Path) -> None:
    path = tmp_path / "left.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    second = Client(client.world, f"unix:{path}")
    assert second.call("ListPending", pb.ListPendingRequest()) == pb.ListPendingReply()
    assert path.stat().st_mode & 0o077 == 0
    second.close()
