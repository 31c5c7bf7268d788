"""One person's calls to the daemon: each carries their token, and the daemon's gate decides."""

from __future__ import annotations

import getpass
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar

import grpc

from trimtab_guard.modes import Mode
from trimtab_proto.v1 import controller_pb2 as pb
from trimtab_proto.v1 import controller_pb2_grpc

DEADLINE_S = 5.0
# The daemon takes up to 10 s to undo, and to read its journal.
LONG_DEADLINE_S = 15.0
WHY = "by the console"

Reply = TypeVar("Reply")


class ChangedError(Exception):
    """What was read is not what is there any more."""

    def __init__(self) -> None:
        super().__init__("it has changed since you read it: read it again, and then answer")


def terms(envelope: pb.Envelope) -> tuple[str, str, int, int, float, float]:
    """What a yes to an envelope would grant."""
    return (
        envelope.id, envelope.change, envelope.min_replicas, envelope.max_replicas,
        envelope.min_weight, envelope.max_weight,
    )  # fmt: skip


class Voice:
    """Speaks for whoever has ``token``; an empty one is nobody's, for daemons that ask for none.

    Every method may raise `grpc.aio.AioRpcError`; ``who`` is only believed by such a daemon.
    """

    def __init__(self, channel: grpc.aio.Channel, token: str) -> None:
        self._stub = controller_pb2_grpc.ControllerStub(channel)
        self._proof = (("authorization", f"Bearer {token}"),) if token else ()
        self._who = getpass.getuser()

    def ticks(self) -> AsyncIterator[pb.ServiceStatus]:
        """Every tick's statuses, beginning with the last one's."""
        stream = self._stub.WatchDecisions(pb.WatchDecisionsRequest(), metadata=self._proof)
        return aiter(stream)

    async def who_am_i(self) -> pb.WhoAmIReply:
        """Whom the daemon takes this person for."""
        return await self._ask(self._stub.WhoAmI, pb.WhoAmIRequest())

    async def pending(self) -> pb.ListPendingReply:
        """What waits for an answer, and what was granted."""
        return await self._ask(self._stub.ListPending, pb.ListPendingRequest())

    async def limits(self) -> pb.GetLimitsReply:
        """How near the limits are."""
        return await self._ask(self._stub.GetLimits, pb.GetLimitsRequest())

    async def explain(self, service: str, time_s: float, *, thorough: bool) -> pb.ExplainReply:
        """Why the last decision by ``time_s`` was made."""
        request = pb.ExplainRequest(service=service, time_s=time_s, thorough=thorough)
        return await self._ask(self._stub.Explain, request, LONG_DEADLINE_S)

    async def what_changed(self, service: str) -> pb.WhatChangedReply:
        """What happened before misses rose."""
        request = pb.WhatChangedRequest(service=service)
        return await self._ask(self._stub.WhatChanged, request, LONG_DEADLINE_S)

    async def ladder(self) -> pb.Ladder:
        """Where to start, and what the evidence must still show."""
        return await self._ask(self._stub.GetLadder, pb.GetLadderRequest())

    async def canaries(self) -> pb.ListCanariesReply:
        """The new versions on trial."""
        return await self._ask(self._stub.ListCanaries, pb.ListCanariesRequest())

    async def end_canary(self, service: str) -> pb.Canary:
        """End a trial, or let the route go after one."""
        request = pb.EndCanaryRequest(service=service, who=self._who, why=WHY)
        return await self._ask(self._stub.EndCanary, request)

    async def rounds(self) -> pb.ListRoundsReply:
        """The last rounds of variants."""
        return await self._ask(self._stub.ListRounds, pb.ListRoundsRequest())

    async def end_round(self, service: str) -> pb.Round:
        """Take variants away."""
        request = pb.EndRoundRequest(service=service, who=self._who, why=WHY)
        return await self._ask(self._stub.EndRound, request)

    async def drills(self) -> pb.ListDrillsReply:
        """The last drills."""
        return await self._ask(self._stub.ListDrills, pb.ListDrillsRequest())

    async def end_drill(self, service: str) -> pb.Drill:
        """Have everything undone."""
        request = pb.EndDrillRequest(service=service, who=self._who, why=WHY)
        return await self._ask(self._stub.EndDrill, request)

    async def stop(self) -> None:
        """Stop all writes."""
        await self._ask(self._stub.Stop, pb.StopRequest(who=self._who, why=WHY))

    async def abort(self) -> pb.AbortReply:
        """Undo what is running, and stop."""
        request = pb.AbortRequest(who=self._who, why=WHY)
        return await self._ask(self._stub.Abort, request, LONG_DEADLINE_S)

    async def resume(self) -> None:
        """Undo the stop."""
        await self._ask(self._stub.Resume, pb.ResumeRequest(who=self._who))

    async def set_mode(self, service: str, mode: Mode) -> pb.SetModeReply:
        """Set how far a service is trusted to trimtab."""
        request = pb.SetModeRequest(service=service, mode=f"MODE_{mode.name}", who=self._who)
        return await self._ask(self._stub.SetMode, request)

    async def renew(self, service: str) -> None:
        """Start a service's lease anew."""
        await self._ask(self._stub.Renew, pb.RenewRequest(service=service, who=self._who))

    async def approve(self, read: pb.Envelope) -> None:
        """Grant an envelope, unless it has become another one since it was read.

        What is asked for again while it waits widens it. Raises `ChangedError`.
        """
        if terms(read) not in map(terms, (await self.pending()).pending):
            raise ChangedError
        await self._ask(self._stub.Approve, pb.ApproveRequest(id=read.id, who=self._who, why=WHY))

    async def reject(self, envelope: str) -> None:
        """Refuse an envelope."""
        await self._ask(self._stub.Reject, pb.RejectRequest(id=envelope, who=self._who, why=WHY))

    async def revoke(self, envelope: str) -> None:
        """Take a granted envelope back."""
        await self._ask(self._stub.Revoke, pb.RevokeRequest(id=envelope, who=self._who, why=WHY))

    def _ask(
        self,
        method: Callable[..., Awaitable[Reply]],
        request: object,
        deadline_s: float = DEADLINE_S,
    ) -> Awaitable[Reply]:
        return method(request, timeout=deadline_s, metadata=self._proof)
