"""What each role may call, in one table: a method that is not in it is denied."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from trimtab_proto.v1 import controller_pb2 as pb

CONTROLLER = "/trimtab.v1.Controller/"
KEDA = "/externalscaler.ExternalScaler/"
HEALTH = "/grpc.health.v1.Health/"
REFLECTION = "/grpc.reflection.v1alpha.ServerReflection/"

# What a request is about when it is about every service, listed or not.
EVERY = "*"


class Role(IntEnum):
    """What a caller may do; each role includes those before it."""

    # Looks; nothing that it does is remembered.
    VIEWER = 1
    # Reports what it measures, asks for advice, and takes authority away.
    OPERATOR = 2
    # Answers what trimtab asks, and renews what was entrusted to it.
    APPROVER = 3
    # Gives authority.
    ADMIN = 4

    def __str__(self) -> str:
        return self.name.lower()


# The service of an envelope; empty when there is none of that id.
Envelopes = Callable[[str], str]
# The service that a request is about; empty: none in particular.
Subject = Callable[[Any, Envelopes], str]
# Whether a caller's services include one.
Covers = Callable[[str], bool]


@dataclass(frozen=True, slots=True)
class Rule:
    """Who may call a method.

    ``role`` is the least one, ``None`` for anybody; ``stricter`` may ask for more once the request
    is known. ``subject`` tells which service a request is about, and ``within`` leaves of a reply
    what a caller with some of the services may see, ``None`` for nothing.
    """

    role: Role | None
    subject: Subject
    stricter: Callable[[Any], Role] = lambda _: Role.VIEWER
    within: Callable[[Any, Covers], Any] = lambda reply, _: reply


def _nothing(_request: Any, _envelopes: Envelopes) -> str:
    return ""


def _every(_request: Any, _envelopes: Envelopes) -> str:
    return EVERY


def _named(request: Any, _envelopes: Envelopes) -> str:
    return str(request.service)


def _envelope(request: Any, envelopes: Envelopes) -> str:
    # One that is not there yet might be anybody's when the call is carried out.
    return envelopes(request.id) or EVERY


def _scaled(request: Any, _envelopes: Envelopes) -> str:
    return str(request.scalerMetadata.get("service", EVERY))


def _scaled_metric(request: Any, envelopes: Envelopes) -> str:
    return _scaled(request.scaledObjectRef, envelopes)


def _to_set(request: pb.SetModeRequest) -> Role:
    """Down to shadow is taking authority away; every other mode gives some."""
    return Role.OPERATOR if request.mode == pb.MODE_SHADOW else Role.ADMIN


def _own_status(status: pb.ServiceStatus, covers: Covers) -> pb.ServiceStatus | None:
    return status if covers(status.service) else None


def _own_limits(reply: pb.GetLimitsReply, covers: Covers) -> pb.GetLimitsReply:
    own = [limits for limits in reply.services if covers(limits.service)]
    return pb.GetLimitsReply(services=own, shared=reply.shared)


def _own_envelopes(reply: pb.ListPendingReply, covers: Covers) -> pb.ListPendingReply:
    return pb.ListPendingReply(
        pending=[envelope for envelope in reply.pending if covers(envelope.service)],
        granted=[envelope for envelope in reply.granted if covers(envelope.service)],
    )


def _own_rungs(ladder: pb.Ladder, covers: Covers) -> pb.Ladder:
    return pb.Ladder(rungs=[rung for rung in ladder.rungs if covers(rung.service)])


def _own_canaries(reply: pb.ListCanariesReply, covers: Covers) -> pb.ListCanariesReply:
    return pb.ListCanariesReply(canaries=[one for one in reply.canaries if covers(one.service)])


def _own_rounds(reply: pb.ListRoundsReply, covers: Covers) -> pb.ListRoundsReply:
    return pb.ListRoundsReply(rounds=[one for one in reply.rounds if covers(one.service)])


def _own_drills(reply: pb.ListDrillsReply, covers: Covers) -> pb.ListDrillsReply:
    return pb.ListDrillsReply(drills=[one for one in reply.drills if covers(one.service)])


RULES: Mapping[str, Rule] = {
    f"{CONTROLLER}WatchDecisions": Rule(Role.VIEWER, _named, within=_own_status),
    f"{CONTROLLER}ListPending": Rule(Role.VIEWER, _nothing, within=_own_envelopes),
    f"{CONTROLLER}WhoAmI": Rule(Role.VIEWER, _nothing),
    f"{CONTROLLER}GetLimits": Rule(Role.VIEWER, _named, within=_own_limits),
    f"{CONTROLLER}Explain": Rule(Role.VIEWER, _named),
    f"{CONTROLLER}WhatChanged": Rule(Role.VIEWER, _named),
    f"{CONTROLLER}GetScorecard": Rule(Role.VIEWER, _named),
    f"{CONTROLLER}GetForecast": Rule(Role.VIEWER, _named),
    f"{CONTROLLER}GetLadder": Rule(Role.VIEWER, _nothing, within=_own_rungs),
    f"{CONTROLLER}ListCanaries": Rule(Role.VIEWER, _named, within=_own_canaries),
    f"{CONTROLLER}ListRounds": Rule(Role.VIEWER, _named, within=_own_rounds),
    f"{CONTROLLER}ListDrills": Rule(Role.VIEWER, _named, within=_own_drills),
    # Every answer is journalled and adds to a memory.
    f"{CONTROLLER}Recommend": Rule(Role.OPERATOR, _named),
    # Who lies to it about the load moves replicas.
    f"{CONTROLLER}ReportMetrics": Rule(Role.OPERATOR, _named),
    # Whoever may stop one service may stop them all: there is only one stop, and it does no harm.
    f"{CONTROLLER}Stop": Rule(Role.OPERATOR, _nothing),
    f"{CONTROLLER}Abort": Rule(Role.OPERATOR, _every),
    f"{CONTROLLER}SetMode": Rule(Role.OPERATOR, _named, stricter=_to_set),
    # The known version gets its traffic back.
    f"{CONTROLLER}EndCanary": Rule(Role.OPERATOR, _named),
    f"{CONTROLLER}StartCanary": Rule(Role.ADMIN, _named),
    # Nothing that was live ends with it.
    f"{CONTROLLER}EndRound": Rule(Role.OPERATOR, _named),
    f"{CONTROLLER}StartRound": Rule(Role.ADMIN, _named),
    # Everything is whole again.
    f"{CONTROLLER}EndDrill": Rule(Role.OPERATOR, _named),
    f"{CONTROLLER}StartDrill": Rule(Role.ADMIN, _named),
    f"{CONTROLLER}Reject": Rule(Role.OPERATOR, _envelope),
    f"{CONTROLLER}Revoke": Rule(Role.OPERATOR, _envelope),
    f"{CONTROLLER}Approve": Rule(Role.APPROVER, _envelope),
    f"{CONTROLLER}Renew": Rule(Role.APPROVER, _named),
    f"{CONTROLLER}Resume": Rule(Role.ADMIN, _every),
    f"{KEDA}IsActive": Rule(Role.VIEWER, _scaled),
    f"{KEDA}StreamIsActive": Rule(Role.VIEWER, _scaled),
    f"{KEDA}GetMetricSpec": Rule(Role.VIEWER, _scaled),
    f"{KEDA}StreamMetricSpec": Rule(Role.VIEWER, _scaled),
    f"{KEDA}GetMetrics": Rule(Role.VIEWER, _scaled_metric),
    # Load balancers ask without credentials; the answer says nothing but that the daemon serves.
    f"{HEALTH}Check": Rule(None, _nothing),
    f"{HEALTH}List": Rule(Role.VIEWER, _nothing),
    f"{HEALTH}Watch": Rule(Role.VIEWER, _nothing),
    f"{REFLECTION}ServerReflectionInfo": Rule(Role.VIEWER, _nothing),
}
