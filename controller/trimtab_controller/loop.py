"""The loop: sense, decide, gate, ask, act, remember. `Loop.tick` is the whole story.

It runs in one thread. Whatever fails (stage, sensor, policy, journal) holds the tick and is
shown; nothing is written then, and the autoscaler underneath carries on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from trimtab_agents.rules.baseline import baseline
from trimtab_controller import act
from trimtab_controller.approvals import Request
from trimtab_controller.board import Board, Status
from trimtab_controller.config import ServiceConfig
from trimtab_controller.gate import permit
from trimtab_controller.journal import Journal, JournalError
from trimtab_controller.memory import (
    Memory,
    Outcome,
    OutcomeRecord,
    TickRecord,
    write_outcome,
    write_ticks,
)
from trimtab_controller.protocols import Clock, Policy, PolicyError, Stage, StageError, StageReport
from trimtab_controller.sense import Eyes, Sight
from trimtab_guard.guard import judge
from trimtab_guard.model import Proposal, Verdict


@dataclass(slots=True)
class Service:
    """One steered service: its configuration, where it lives, how it is seen, its past."""

    config: ServiceConfig
    stage: Stage
    eyes: Eyes
    memory: Memory

    @property
    def name(self) -> str:
        """As configured."""
        return self.config.name


class Loop:
    """Steers all services; ``policy`` proposes for them in this order."""

    def __init__(
        self,
        services: Sequence[Service],
        policy: Policy,
        journal: Journal,
        board: Board,
        clock: Clock,
    ) -> None:
        self._services = services
        self._policy = policy
        self._journal = journal
        self._board = board
        self._clock = clock

    def tick(self) -> None:
        """One tick of every service. Nothing is written before the journal has it."""
        sights = [service.eyes.look() for service in self._services]
        proposals, failure = self._decide(sights)
        with self._board.lock:
            try:
                ticks = self._steer(sights, proposals, failure)
            except JournalError as error:
                pairs = zip(self._services, sights, strict=True)
                ticks = [self._held(service, sight, str(error)) for service, sight in pairs]
            self._publish(ticks)

    def _steer(
        self, sights: Sequence[Sight], proposals: Sequence[Proposal | None], failure: str
    ) -> list[TickRecord]:
        """Gate, ask, remember, act; raises `JournalError` before anything that it cannot record."""
        now_s = self._clock()
        self._board.mandate.keep(now_s)
        self._board.approvals.expire(now_s)
        rows = zip(self._services, sights, proposals, strict=True)
        gated = [self._gate(service, sight, wish, failure) for service, sight, wish in rows]
        write_ticks(self._journal, gated, now_s)
        pairs = list(zip(self._services, gated, strict=True))
        for service, tick in pairs:
            service.memory.after_tick(tick)
        return [self._act(service, tick) for service, tick in pairs]

    def _decide(self, sights: Sequence[Sight]) -> tuple[Sequence[Proposal | None], str]:
        try:
            return self._policy.propose([sight.state for sight in sights]), ""
        except PolicyError as error:
            return [None] * len(sights), str(error)

    def _gate(
        self, service: Service, sight: Sight, proposal: Proposal | None, failure: str
    ) -> TickRecord:
        """What of the proposal may be done now; what must be asked is asked."""
        now_s = self._clock()
        if sight.report is None:
            return self._held(service, sight, failure)
        failure = self._settle(service, sight.report) or failure
        self._notice_writer(service, sight.report)
        tick = self._held(service, sight, failure)
        if proposal is None or service.memory.intent:
            return tick
        verdict = self._judge(service, sight, proposal)
        tick = replace(tick, proposal=proposal, verdict=verdict)
        if self._board.mandate.stopped:
            return replace(tick, outcome=Outcome.STOPPED)
        if not verdict.backends:
            return tick
        wished = act.targets(sight.report, verdict, proposal, fresh=sight.fresh)
        terms = f"{proposal.policy}/{service.config.limits_digest}"
        request = Request(
            service.name, act.fields(sight.report), wished, terms, proposal.why, now_s
        )
        wants, otherwise = permit(request, tick.mode, self._board.approvals)
        intent = act.intend(service.name, now_s, sight.report, wants)
        return replace(tick, intent=intent, outcome=Outcome.APPLIED if intent else otherwise)

    def _judge(self, service: Service, sight: Sight, proposal: Proposal) -> Verdict:
        rule = baseline(sight.known, service.config.profile)
        limits, history = service.config.limits, service.memory.history
        return judge(proposal, rule, sight.state, limits, history, self._clock())

    def _settle(self, service: Service, report: StageReport) -> str:
        """Close the write that an earlier tick left open; returns why it still is."""
        if service.memory.intent:
            try:
                outcome = act.settle(service.stage, service.memory.intent, report, self._clock())
            except StageError as error:
                return str(error)
            self._conclude(service, outcome)
        return ""

    def _notice_writer(self, service: Service, report: StageReport) -> None:
        """Leave the service to whoever else writes to it, until a human says otherwise."""
        known, service.memory.version = service.memory.version, report.version
        moved = known not in ("", report.version) and not service.memory.intent
        if moved and report.writer:
            why = f"{report.writer} changed {service.name}: in shadow until a human sets a mode"
            self._board.mandate.demote(service.name, why, self._clock())

    def _held(self, service: Service, sight: Sight, failure: str) -> TickRecord:
        """The record of a tick that does nothing, which every other one starts from."""
        mandate, memory = self._board.mandate, service.memory
        return TickRecord(
            service=service.name,
            time_s=sight.state.time_s,
            mode=mandate.mode(service.name),
            outcome=Outcome.HELD,
            error=sight.error or failure or mandate.alarm(service.name),
            state=sight.state if sight.report else None,
            intent=memory.intent,
            version=memory.version,
            decisions=memory.decisions,
            actions=memory.actions,
        )

    def _act(self, service: Service, tick: TickRecord) -> TickRecord:
        """Send the tick's intent, unless it was stopped or took too long meanwhile."""
        intent, now_s = tick.intent, self._clock()
        if intent is None or tick.outcome is not Outcome.APPLIED:
            return tick
        if self._board.mandate.stopped:
            self._conclude(service, act.withdraw(intent, now_s, "stopped"))
            return replace(tick, outcome=Outcome.STOPPED)
        if now_s > tick.time_s + service.config.limits.stale_s:
            outcome = act.withdraw(intent, now_s, "decided too late")
        else:
            try:
                outcome = act.send(service.stage, intent, now_s)
            except StageError as error:
                return replace(tick, outcome=Outcome.FAILED, error=str(error))
        self._conclude(service, outcome)
        if outcome.applied:
            return tick
        return replace(tick, outcome=Outcome.FAILED, error=outcome.error)

    def _conclude(self, service: Service, outcome: OutcomeRecord) -> None:
        write_outcome(self._journal, outcome)
        service.memory.after_outcome(outcome)

    def _publish(self, ticks: Sequence[TickRecord]) -> None:
        self._board.publish([self._status(*row) for row in zip(self._services, ticks, strict=True)])

    def _status(self, service: Service, tick: TickRecord) -> Status:
        memory, pending = service.memory, self._board.approvals.pending(self._clock())
        return Status(
            tick=replace(tick, decisions=memory.decisions, actions=memory.actions),
            policy=self._policy.name,
            stopped=self._board.mandate.stopped,
            pending=sum(envelope.service == service.name for envelope in pending),
        )
