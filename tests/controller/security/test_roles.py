"""Who may call what: every method of every service, each role, and each service of its own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)

from trimtab_controller.security import roles
from trimtab_controller.security.roles import RULES, Role
from trimtab_controller.security.spec import ClientSpec
from trimtab_guard.modes import Mode
from trimtab_proto.v1 import controller_pb2 as pb
from trimtab_proto.v1 import externalscaler_pb2 as keda

House = Any  # the class in conftest.py, which cannot be imported from here
Code = grpc.StatusCode
# What is said to those whom the gate lets in is not its concern.
SHUT = {Code.PERMISSION_DENIED, Code.UNAUTHENTICATED}
LEAST = {
    "Recommend": Role.OPERATOR,
    "WatchDecisions": Role.VIEWER,
    "ListPending": Role.VIEWER,
    "WhoAmI": Role.VIEWER,
    "GetLimits": Role.VIEWER,
    "Explain": Role.VIEWER,
    "WhatChanged": Role.VIEWER,
    "GetScorecard": Role.VIEWER,
    "GetForecast": Role.VIEWER,
    "GetLadder": Role.VIEWER,
    "ListCanaries": Role.VIEWER,
    "EndCanary": Role.OPERATOR,
    "StartCanary": Role.ADMIN,
    "ListRounds": Role.VIEWER,
    "EndRound": Role.OPERATOR,
    "StartRound": Role.ADMIN,
    "ListDrills": Role.VIEWER,
    "EndDrill": Role.OPERATOR,
    "StartDrill": Role.ADMIN,
    "Stop": Role.OPERATOR,
    "Abort": Role.OPERATOR,
    "Reject": Role.OPERATOR,
    "Revoke": Role.OPERATOR,
    "SetMode": Role.ADMIN,
    "Approve": Role.APPROVER,
    "Renew": Role.APPROVER,
    "Resume": Role.ADMIN,
    "ReportMetrics": Role.OPERATOR,
    "IsActive": Role.VIEWER,
    "StreamIsActive": Role.VIEWER,
    "GetMetricSpec": Role.VIEWER,
    "StreamMetricSpec": Role.VIEWER,
    "GetMetrics": Role.VIEWER,
    "Check": None,
    "List": Role.VIEWER,
    "Watch": Role.VIEWER,
    "ServerReflectionInfo": Role.VIEWER,
}

# They are about no service, or show of each what the caller may see.
ANY_SERVICE = {
    "Stop",
    "ListPending",
    "GetLadder",
    "WhoAmI",
    "Check",
    "List",
    "Watch",
    "ServerReflectionInfo",
}


@pytest.fixture
def answered(house: House) -> House:
    """A house where an abort is over at once: there is no loop to carry it out."""
    house.world.mandate.stop("test", "", house.world.clock())
    return house


def status(channel: grpc.Channel, method: str, request: bytes = b"") -> Code:
    """What the first answer to a method is, as seen by someone who knows no schema."""
    call = channel.stream_stream(method)(iter([request]), timeout=2.0)
    try:
        next(call, None)
    except grpc.RpcError:
        return call.code()
    call.cancel()
    return Code.OK


def name(method: str) -> str:
    return method.rpartition("/")[2]


def served(channel: grpc.Channel) -> Iterator[str]:
    """Every method of every service, as the daemon itself lists them."""
    database = ProtoReflectionDescriptorDatabase(channel)
    pool = DescriptorPool(database)
    for service in database.get_services():
        for method in pool.FindServiceByName(service).methods:
            yield f"/{service}/{method.name}"


def test_every_method_that_is_served_has_a_rule(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    registered: set[str] = set()
    kind = grpc.aio._server.Server  # what `grpc.aio.server` makes
    register = kind.add_generic_rpc_handlers

    def recording(server: Any, handlers: Any) -> None:
        registered.update(name for handler in handlers for name in handler._method_handlers)
        register(server, handlers)

    monkeypatch.setattr(kind, "add_generic_rpc_handlers", recording)
    token = house.token("ann", Role.VIEWER)
    house.serve()
    # What reflection lists, and what it might have forgotten.
    assert set(served(house.channel(token))) == registered == set(RULES)


def test_each_role_may_do_what_the_table_says_and_no_more(answered: House) -> None:
    tokens = {role: answered.token(role.name, role) for role in Role}
    answered.serve()
    strangers = answered.channel()
    open_to_all = {m for m in RULES if status(strangers, m) not in SHUT}
    assert {name(method) for method in open_to_all} == {"Check"}
    found = dict.fromkeys(map(name, open_to_all))
    for role in reversed(Role):
        channel = answered.channel(tokens[role])
        for method in RULES.keys() - open_to_all:
            if status(channel, method) not in SHUT:
                found[name(method)] = role
    assert found == LEAST


def test_a_method_without_a_rule_is_denied_to_everybody(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    method = "/trimtab.v1.Controller/ListPending"
    monkeypatch.delitem(roles.RULES, method)  # type: ignore[arg-type]
    token = house.token("ann", Role.ADMIN)
    house.serve()
    assert status(house.channel(token), method) is Code.PERMISSION_DENIED
    assert house.denials()[0]["reason"].startswith("nobody may call this")


def test_what_is_not_served_is_not_implemented(house: House) -> None:
    house.serve()
    assert status(house.channel(), "/trimtab.v1.Controller/Fly") is Code.UNIMPLEMENTED


def test_down_to_shadow_is_an_operator_s_to_command(house: House) -> None:
    stub_token = house.token("ann", Role.OPERATOR)
    house.serve()
    stub = house.stub(stub_token)
    reply = stub.SetMode(pb.SetModeRequest(service="web", mode=pb.MODE_SHADOW), timeout=5.0)
    assert reply.mode == pb.MODE_SHADOW
    with pytest.raises(grpc.RpcError) as refused:
        stub.SetMode(pb.SetModeRequest(service="web", mode=pb.MODE_APPROVE), timeout=5.0)
    assert refused.value.details() == "ann is operator, and this needs admin"


def asked(house: House) -> str:
    """An envelope that waits for an answer."""
    house.world.want(a=3)
    house.world.tick()
    return str(house.world.approvals.pending(house.world.clock())[0].id)


def about(service: str, envelope: str) -> dict[str, Any]:
    """A request of every kind that concerns one service, or by an envelope of it."""
    return {
        "Recommend": pb.RecommendRequest(service=service),
        "SetMode": pb.SetModeRequest(service=service, mode=pb.MODE_SHADOW),
        "StartCanary": pb.StartCanaryRequest(service=service, old="a", new="b", who="ann"),
        "EndCanary": pb.EndCanaryRequest(service=service, who="ann"),
        "ListCanaries": pb.ListCanariesRequest(service=service),
        "StartRound": pb.StartRoundRequest(
            service=service,
            backend="a",
            variants=[pb.Variant(name="v", replicas=1)],
            rate_rps=1.0,
            safe_to_mirror=True,
            who="ann",
        ),
        "EndRound": pb.EndRoundRequest(service=service, who="ann"),
        "StartDrill": pb.StartDrillRequest(service=service, who="ann"),
        "EndDrill": pb.EndDrillRequest(service=service, who="ann"),
        "ListDrills": pb.ListDrillsRequest(service=service),
        "GetForecast": pb.GetForecastRequest(service=service),
        "ListRounds": pb.ListRoundsRequest(service=service),
        "Renew": pb.RenewRequest(service=service),
        "Approve": pb.ApproveRequest(id=envelope),
        "Reject": pb.RejectRequest(id=envelope),
        "Revoke": pb.RevokeRequest(id=envelope),
        "Abort": pb.AbortRequest(),
        "Resume": pb.ResumeRequest(),
        "WatchDecisions": pb.WatchDecisionsRequest(service=service),
        "GetLimits": pb.GetLimitsRequest(service=service),
        "Explain": pb.ExplainRequest(service=service),
        "WhatChanged": pb.WhatChangedRequest(service=service),
        "GetScorecard": pb.GetScorecardRequest(service=service),
        "ReportMetrics": pb.MetricsReport(service=service),
        "IsActive": keda.ScaledObjectRef(scalerMetadata={"service": service}),
        "StreamIsActive": keda.ScaledObjectRef(scalerMetadata={"service": service}),
        "GetMetricSpec": keda.ScaledObjectRef(scalerMetadata={"service": service}),
        "StreamMetricSpec": keda.ScaledObjectRef(),
        "GetMetrics": keda.GetMetricsRequest(
            scaledObjectRef=keda.ScaledObjectRef(scalerMetadata={"service": service})
        ),
    }


def test_who_has_one_service_has_nothing_to_do_with_another(house: House) -> None:
    envelope = asked(house)
    token = house.token("ann", Role.ADMIN, "api")
    house.serve()
    channel, requests = house.channel(token), about("web", envelope)
    of_services = {m for m in RULES if name(m) not in ANY_SERVICE}
    assert {name(method) for method in of_services} == set(requests)
    for method in of_services:
        code = status(channel, method, requests[name(method)].SerializeToString())
        assert code is Code.PERMISSION_DENIED, method
    assert sorted(body["method"] for body in house.denials()) == sorted(of_services)
    reasons = {body["reason"] for body in house.denials()}
    assert reasons == {"ann may only have to do with api"}
    assert house.world.approvals.pending(house.world.clock())[0].id == envelope


def test_an_envelope_that_is_not_there_yet_is_nobody_s_service(house: House) -> None:
    token = house.token("ann", Role.ADMIN, "web")
    house.serve()
    channel, requests = house.channel(token), about("web", "7")
    for method in ("Approve", "Reject", "Revoke"):
        request = requests[method].SerializeToString()
        code = status(channel, f"/trimtab.v1.Controller/{method}", request)
        assert code is Code.PERMISSION_DENIED, method


def test_others_services_are_not_shown(house: House) -> None:
    asked(house)
    tokens = {name: house.token(name, Role.VIEWER, name) for name in ("web", "api")}
    house.serve()
    seen = {name: house.stub(token) for name, token in tokens.items()}
    listed = {name: stub.ListPending(pb.ListPendingRequest()) for name, stub in seen.items()}
    assert [len(listed[name].pending) for name in ("web", "api")] == [1, 0]
    watch = seen["web"].WatchDecisions(pb.WatchDecisionsRequest(), timeout=5.0)
    assert next(watch).service == "web"
    watch.cancel()
    with pytest.raises(grpc.RpcError) as silent:
        next(seen["api"].WatchDecisions(pb.WatchDecisionsRequest(), timeout=1.0))
    assert silent.value.code() is Code.DEADLINE_EXCEEDED


def test_stop_is_open_to_every_operator_whatever_their_services(house: House) -> None:
    token = house.token("ann", Role.OPERATOR, "api")
    house.serve()
    house.stub(token).Stop(pb.StopRequest(who="eve", why="smoke"), timeout=5.0)
    # The journal has who it was, and not who they said they were.
    assert house.world.journal.last("stop").body == {"who": "ann", "why": "smoke"}


def test_an_approval_is_signed_by_whoever_was_authenticated(house: House) -> None:
    envelope = asked(house)
    pair = house.authority.pair("ann@example.org")
    house.serve(house.mutual(ClientSpec("ann@example.org", Role.APPROVER)))
    house.stub(pair=pair).Approve(pb.ApproveRequest(id=envelope, who="bob"), timeout=5.0)
    (granted,) = house.world.approvals.standing(house.world.clock())
    assert granted.who == "ann@example.org"


def test_nobody_is_given_the_memory_of_another(house: House) -> None:
    """Whatever name a request has for its caller, it is one below whoever proved theirs."""
    tokens = [house.token(name, Role.OPERATOR) for name in ("ann", "bob")]
    house.serve()
    backends = [pb.BackendReport(name=name, wanted=2, ready=2, weight=0.5) for name in "ab"]
    request = pb.RecommendRequest(service="web", caller="keda", backends=backends)
    for token in tokens:
        house.stub(token).Recommend(request, timeout=5.0)
    known = house.served.recommenders._known
    assert {(key.identity, key.caller) for key in known} == {("ann", "keda"), ("bob", "keda")}


def test_on_this_machine_alone_nothing_is_asked_unless_it_is_configured(house: House) -> None:
    house.serve(type(house.mutual())(), f"unix:{house.folder}/d.sock")
    with grpc.insecure_channel(house.address) as channel:
        call = channel.unary_unary(
            "/trimtab.v1.Controller/SetMode", pb.SetModeRequest.SerializeToString
        )
        call(pb.SetModeRequest(service="web", mode=pb.MODE_ASSIST, who="ann"), timeout=5.0)
    assert house.world.mandate.mode("web", house.world.clock()) is Mode.ASSIST


def test_tokens_count_on_a_socket_too_once_they_are_configured(house: House) -> None:
    house.token("ann", Role.ADMIN)
    spec = house.mutual()
    house.serve(type(spec)(tokens=str(house.tokens)), f"unix:{house.folder}/d.sock")
    with grpc.insecure_channel(house.address) as channel:
        assert status(channel, "/trimtab.v1.Controller/Stop") is Code.UNAUTHENTICATED


def test_each_token_and_certificate_belong_to_one_caller(house: House) -> None:
    """Where both are shown, the token says who it is: it may be a human behind a proxy."""
    token = house.token("ann", Role.OPERATOR)
    spec = house.mutual(ClientSpec("proxy", Role.VIEWER))
    house.serve(type(spec)(spec.tls, str(house.tokens), spec.clients))
    pair = house.authority.pair("proxy")
    house.stub(token, pair).Stop(pb.StopRequest(), timeout=5.0)
    assert house.world.journal.last("stop").body["who"] == "ann"
    with pytest.raises(grpc.RpcError) as refused:
        house.stub(pair=pair).Stop(pb.StopRequest(), timeout=5.0)
    assert refused.value.details() == "proxy is viewer, and this needs operator"
    with pytest.raises(grpc.RpcError) as refused:
        house.stub("nonsense", pair).Stop(pb.StopRequest(), timeout=5.0)
    assert refused.value.code() is Code.UNAUTHENTICATED
