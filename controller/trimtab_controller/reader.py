"""What of `trimtab.v1.Controller` only looks: the leader serves it, and so does who stands by."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from itertools import islice
from typing import Any

import grpc

from trimtab_controller import messages
from trimtab_controller.board import Board
from trimtab_controller.broadcast import Broadcast
from trimtab_controller.canary import messages as canary
from trimtab_controller.drills import messages as drills
from trimtab_controller.explain.changes import Changes
from trimtab_controller.explain.explanation import Explainer
from trimtab_controller.mandate import UnknownError
from trimtab_controller.protocols import Clock
from trimtab_controller.recommend.recommenders import NAMES_SHOWN
from trimtab_controller.recommend.subject import Subject
from trimtab_controller.refusals import FullError, InvalidRequest
from trimtab_controller.security.callers import calling
from trimtab_controller.security.roles import Role
from trimtab_controller.variants import messages as variants
from trimtab_proto.v1 import controller_pb2 as pb
from trimtab_proto.v1 import controller_pb2_grpc

# More at once are a mistake somewhere, and would keep the event loop from those who command.
WATCHERS = 1000


class Reader(controller_pb2_grpc.ControllerServicer):  # type: ignore[misc]  # untyped stubs
    """Answers from the board and the journal; changes nothing."""

    def __init__(
        self,
        board: Board,
        subjects: Mapping[str, Subject],
        explainer: Explainer,
        changes: Changes,
        clock: Clock,
    ) -> None:
        """``subjects`` are the services of the configuration."""
        self._board = board
        self._subjects = subjects
        self._explainer = explainer
        self._changes = changes
        self._clock = clock
        self._broadcast = Broadcast(board)

    async def WatchDecisions(
        self, request: pb.WatchDecisionsRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> AsyncIterator[pb.ServiceStatus]:
        """Stream the latest tick at once, and then every one, unless one is enough."""
        service = self._listed(request.service) if request.service else ""
        if self._broadcast.watching >= WATCHERS:
            raise FullError(f"{WATCHERS} watch already: end one of them")
        async with aclosing(self._broadcast.statuses(service)) as ticks:
            async for statuses in ticks:
                for status in statuses:
                    yield status
                if request.once and statuses:
                    return

    def ListPending(
        self,
        request: pb.ListPendingRequest,
        context: grpc.ServicerContext,
    ) -> pb.ListPendingReply:
        """List the envelopes that wait for a human, and those that were granted."""
        with self._board.lock:
            pending = self._board.approvals.pending(self._clock())
            granted = self._board.approvals.standing(self._clock())
        return pb.ListPendingReply(
            pending=map(messages.envelope, pending), granted=map(messages.envelope, granted)
        )

    def WhoAmI(self, request: pb.WhoAmIRequest, context: grpc.ServicerContext) -> pb.WhoAmIReply:
        """Say who calls; where nobody has to tell, anybody may do everything."""
        caller = calling.get()
        if caller is None:
            return pb.WhoAmIReply(role=str(Role.ADMIN))
        return pb.WhoAmIReply(name=caller.name, role=str(caller.role), services=caller.services)

    def Explain(self, request: pb.ExplainRequest, context: grpc.ServicerContext) -> pb.ExplainReply:
        """Tell why one decision was made, and whether it was right."""
        self._listed(request.service)
        return self._explainer.explain(request)

    def WhatChanged(
        self, request: pb.WhatChangedRequest, context: grpc.ServicerContext
    ) -> pb.WhatChangedReply:
        """Tell what changed before misses rose, or that they have not."""
        self._listed(request.service)
        return self._changes.what_changed(request)

    def ListCanaries(
        self, request: pb.ListCanariesRequest, context: grpc.ServicerContext
    ) -> pb.ListCanariesReply:
        """Show the trials that run or hold a route."""
        wanted = self._listed(request.service) if request.service else ""
        with self._board.lock:
            canaries = self._board.canaries
            names = [name for name in canaries.trials if wanted in ("", name)]
            return pb.ListCanariesReply(canaries=[canary.message(canaries, name) for name in names])

    def ListRounds(
        self, request: pb.ListRoundsRequest, context: grpc.ServicerContext
    ) -> pb.ListRoundsReply:
        """Show the last round of variants of each service."""
        wanted = self._listed(request.service) if request.service else ""
        with self._board.lock:
            rounds, configs = self._board.rounds, self._board.configs
            names = [n for n in rounds.rounds if wanted in ("", n) and n in configs]
            shown = [variants.message(rounds, name, configs[name].profile) for name in names]
        return pb.ListRoundsReply(rounds=shown)

    def ListDrills(
        self, request: pb.ListDrillsRequest, context: grpc.ServicerContext
    ) -> pb.ListDrillsReply:
        """Show the last drill of each service, and what happened in it."""
        wanted = self._listed(request.service) if request.service else ""
        with self._board.lock:
            found = [c for name, c in self._board.drills.courses.items() if wanted in ("", name)]
        told = self._board.drills.page if request.page else lambda _: ""
        return pb.ListDrillsReply(drills=[drills.described(one, told(one)) for one in found])

    def _listed(self, service: str) -> str:
        if not service:
            raise InvalidRequest("service", "is missing")
        known = self._subjects
        if service not in known:
            names = ", ".join(islice(known, NAMES_SHOWN))
            raise UnknownError("service", service, f"the configuration has {names}")
        return service
