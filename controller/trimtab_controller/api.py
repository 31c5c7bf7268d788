"""`trimtab.v1.Controller` over gRPC, for humans, scripts and other autoscalers."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from typing import Any

import grpc

from trimtab_controller import messages
from trimtab_controller.approvals import Answer
from trimtab_controller.board import Board
from trimtab_controller.canary import messages as canary
from trimtab_controller.drills import messages as drills
from trimtab_controller.evidence import messages as evidence
from trimtab_controller.evidence.ladder import ladder
from trimtab_controller.evidence.office import Office
from trimtab_controller.explain.changes import Changes
from trimtab_controller.explain.explanation import Explainer
from trimtab_controller.foresight.messages import message as foretold
from trimtab_controller.headroom import limits_reply
from trimtab_controller.mandate import ABORT_S, OURSELVES, Refusal
from trimtab_controller.protocols import Clock
from trimtab_controller.reader import Reader
from trimtab_controller.recommend.recommenders import Recommenders
from trimtab_controller.refusals import InvalidRequest
from trimtab_controller.security.callers import calling
from trimtab_controller.sensors.pushed import PushedSensor, event_time_s, measured
from trimtab_controller.variants import messages as variants
from trimtab_proto.v1 import controller_pb2 as pb


class Controller(Reader):
    """Answers from the board. A command that has returned is obeyed by every later write.

    Streams are coroutines of the server's event loop and must never wait there; all else runs in
    its threads. What is raised becomes a status at the gate (`refusals`).
    """

    def __init__(
        self,
        board: Board,
        recommenders: Recommenders,
        pushed: Mapping[str, PushedSensor],
        explainer: Explainer,
        changes: Changes,
        office: Office,
        clock: Clock,
    ) -> None:
        """``recommenders`` know the services of the configuration; some of them are ``pushed``."""
        super().__init__(board, recommenders.subjects, explainer, changes, clock)
        self._pushed = pushed
        self._recommenders = recommenders
        self._office = office

    async def Recommend(
        self, request: pb.RecommendRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> pb.RecommendReply:
        """Decide for a reported state; changes nothing."""
        caller = calling.get()
        question = self._recommenders.question(request, caller.name if caller else "")
        reply = self._recommenders.standing(question)
        if reply is None:
            reply = await asyncio.to_thread(self._recommenders.answer, question)
        return reply

    async def ReportMetrics(
        self,
        request_iterator: AsyncIterator[pb.MetricsReport],
        context: grpc.aio.ServicerContext[Any, Any],
    ) -> pb.ReportMetricsReply:
        """Take in what is pushed, at the caller's pace."""
        service, taken = "", Counter[bool]()
        async for report in request_iterator:
            service = self._same(service, report.service)
            values = measured(report, self._recommenders.subjects[service].backends)
            time_s = event_time_s(report, self._clock())
            taken[self._pushed[service].push(values, time_s)] += 1
        return pb.ReportMetricsReply(taken=taken[True], ignored=taken[False])

    def SetMode(self, request: pb.SetModeRequest, context: grpc.ServicerContext) -> pb.SetModeReply:
        """Set a service's mode, never above its ceiling."""
        with self._board.lock:
            service, mode = self._listed(request.service), messages.mode_of(request.mode)
            mandate, now_s = self._board.mandate, self._clock()
            mandate.set_mode(service, mode, _named(request.who), now_s)
            return pb.SetModeReply(
                mode=messages.mode_name(mandate.mode(service, now_s)),
                lease_until_s=mandate.lease(service).until_s,
            )

    def Renew(self, request: pb.RenewRequest, context: grpc.ServicerContext) -> pb.RenewReply:
        """Start a service's lease anew, before it has ended."""
        with self._board.lock:
            service, mandate = self._listed(request.service), self._board.mandate
            mandate.renew(service, _named(request.who), self._clock())
            return pb.RenewReply(lease_until_s=mandate.lease(service).until_s)

    def Stop(self, request: pb.StopRequest, context: grpc.ServicerContext) -> pb.StopReply:
        """Stop all writes; even a caller without a name may."""
        self._board.mandate.halt(request.who, request.why)
        with self._board.lock:
            self._board.mandate.stop(request.who, request.why, self._clock())
            self._board.drills.end_all(f"stopped by {request.who or 'somebody'}", self._clock())
            return pb.StopReply()

    def Abort(self, request: pb.AbortRequest, context: grpc.ServicerContext) -> pb.AbortReply:
        """Undo what is running, and stop; answers when it has."""
        mandate = self._board.mandate
        with self._board.lock:
            mandate.abort(_named(request.who), request.why, self._clock())
            self._board.drills.end_all(f"aborted by {request.who}", self._clock())
            self._board.lock.wait_for(lambda: mandate.stopped, _patience_s(context))
            return pb.AbortReply(stopped=mandate.stopped, not_undone=mandate.not_undone)

    def Resume(self, request: pb.ResumeRequest, context: grpc.ServicerContext) -> pb.ResumeReply:
        """Undo the stop; services come back in shadow."""
        with self._board.lock:
            self._board.mandate.resume(_named(request.who), self._clock())
            return pb.ResumeReply()

    def Approve(self, request: pb.ApproveRequest, context: grpc.ServicerContext) -> pb.ApproveReply:
        """Grant an envelope."""
        envelope = self._answer(request, Answer.GRANTED, context)
        return pb.ApproveReply(envelope=envelope)

    def Reject(self, request: pb.RejectRequest, context: grpc.ServicerContext) -> pb.RejectReply:
        """Refuse an envelope."""
        self._answer(request, Answer.REJECTED, context)
        return pb.RejectReply()

    def Revoke(self, request: pb.RevokeRequest, context: grpc.ServicerContext) -> pb.RevokeReply:
        """Take a grant back."""
        with self._board.lock:
            who, now_s = _named(request.who), self._clock()
            self._board.approvals.revoke(request.id, who, request.why, now_s)
            return pb.RevokeReply()

    def GetLimits(
        self, request: pb.GetLimitsRequest, context: grpc.ServicerContext
    ) -> pb.GetLimitsReply:
        """Show how near the limits are."""
        names = [self._listed(request.service)] if request.service else self._board.configs
        with self._board.lock:
            return limits_reply(self._board, names, self._clock())

    def _answer(
        self,
        request: pb.ApproveRequest | pb.RejectRequest,
        answer: Answer,
        context: grpc.ServicerContext,
    ) -> pb.Envelope:
        with self._board.lock:
            who = _named(request.who)
            envelope = self._board.approvals.answer(
                request.id, answer, who, request.why, self._clock()
            )
            return messages.envelope(envelope)

    def _same(self, service: str, named: str) -> str:
        """The service that a stream reports of: what its first report named."""
        if service and named in ("", service):
            return service
        if service:
            raise InvalidRequest("service", f"{named!r} must be {service!r}: use another stream")
        if self._listed(named) not in self._pushed:
            raise Refusal(f"{named} is sensed otherwise: write `sensor: pushed` into trimtab.yaml")
        return named

    def GetScorecard(
        self, request: pb.GetScorecardRequest, context: grpc.ServicerContext
    ) -> pb.Scorecard:
        """The latest scorecard of a service; a newer one is asked for where there may be one."""
        return evidence.scorecard(self._office.filed(self._listed(request.service)))

    def GetForecast(
        self, request: pb.GetForecastRequest, context: grpc.ServicerContext
    ) -> pb.Forecast:
        """When limits of a service's health will be met; changes nothing."""
        config = self._board.configs[self._listed(request.service)]
        if self._board.foresight is None:
            raise Refusal(f"nobody looks ahead for {config.name} here")
        return foretold(config, self._board.foresight.foresee(config, judge=True))

    def GetLadder(self, request: pb.GetLadderRequest, context: grpc.ServicerContext) -> pb.Ladder:
        """Where to start, and what is missing; changes nothing."""
        configs, now_s = self._board.configs, self._clock()
        filed = {name: self._office.filed(name) for name in configs}
        with self._board.lock:
            modes = {name: self._board.mandate.mode(name, now_s) for name in configs}
        rows = ((config, modes[name], filed[name].card) for name, config in configs.items())
        rungs = ladder(rows, self._office.gates)
        return pb.Ladder(rungs=[evidence.rung(one, filed[one.service]) for one in rungs])

    def StartCanary(
        self, request: pb.StartCanaryRequest, context: grpc.ServicerContext
    ) -> pb.Canary:
        """Put a backend on trial beside another one."""
        service = self._listed(request.service)
        plan = canary.plan(request, _named(request.who), self._board.configs[service].backends)
        with self._board.lock:
            now_s = self._clock()
            canary.check(self._board, plan, now_s)
            self._board.canaries.begin(plan, now_s)
            return canary.message(self._board.canaries, service)

    def EndCanary(self, request: pb.EndCanaryRequest, context: grpc.ServicerContext) -> pb.Canary:
        """Give the new version's traffic back, or let the route go after a trial."""
        service, who = self._listed(request.service), _named(request.who)
        with self._board.lock:
            ended = self._board.canaries.end(service, who, request.why, self._clock())
        return canary.described(ended)

    def StartRound(self, request: pb.StartRoundRequest, context: grpc.ServicerContext) -> pb.Round:
        """Run variants of a backend on copies of the traffic."""
        service = self._listed(request.service)
        profile = self._board.configs[service].profile
        names = self._board.configs[service].backends
        plan = variants.plan(request, _named(request.who), names)
        with self._board.lock:
            now_s = self._clock()
            most = variants.check(self._board, plan, now_s)
            self._board.rounds.begin(plan, profile.slo_latency_s, most, now_s)
            return variants.message(self._board.rounds, service, profile)

    def EndRound(self, request: pb.EndRoundRequest, context: grpc.ServicerContext) -> pb.Round:
        """Take a round away, or some of its variants."""
        service, who = self._listed(request.service), _named(request.who)
        with self._board.lock:
            rounds, now_s = self._board.rounds, self._clock()
            rounds.end(service, who, request.why, now_s, request.variants)
            return variants.message(rounds, service, self._board.configs[service].profile)

    def StartDrill(self, request: pb.StartDrillRequest, context: grpc.ServicerContext) -> pb.Drill:
        """Break things on purpose, once all is well."""
        service, who = self._listed(request.service), _named(request.who)
        plan = drills.plan(request, self._board.configs[service].backends)
        with self._board.lock:
            begun = self._board.drills.begin(self._board, plan, who, self._clock())
        return drills.described(begun)

    def EndDrill(self, request: pb.EndDrillRequest, context: grpc.ServicerContext) -> pb.Drill:
        """Undo everything, and end it."""
        service, who = self._listed(request.service), _named(request.who)
        with self._board.lock:
            ended = self._board.drills.end(service, who, request.why, self._clock())
        return drills.described(ended)


def _named(who: str) -> str:
    if not who:
        raise InvalidRequest("who", "is missing; every act of a human is journalled under a name")
    if who == OURSELVES:
        raise InvalidRequest("who", f"{who!r} is what trimtab itself acts under: give another name")
    return who


def _patience_s(context: grpc.ServicerContext) -> float:
    """As long as an abort may take, unless its caller gives up earlier."""
    left_s = context.time_remaining()
    return ABORT_S if left_s is None else min(ABORT_S, left_s)
