"""One steered service: its part in each step of a tick."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import InitVar, dataclass, field

from trimtab_agents.rules.baseline import baseline
from trimtab_controller import act, undo
from trimtab_controller.approvals import Request
from trimtab_controller.board import Board
from trimtab_controller.canary.steer import given_back, steered
from trimtab_controller.canary.trial import Trial
from trimtab_controller.config import ServiceConfig
from trimtab_controller.experiments import barred
from trimtab_controller.foresight.headroom import widened
from trimtab_controller.foresight.outlook import Outlook
from trimtab_controller.foresight.restart import intended
from trimtab_controller.gate import Permit, explained, permit
from trimtab_controller.journal import Journal
from trimtab_controller.memory import (
    RUNNING_S,
    Memory,
    Outcome,
    OutcomeRecord,
    TickRecord,
    write_outcome,
)
from trimtab_controller.protocols import WRITER, Clock, Intent, Stage, StageError, StageReport
from trimtab_controller.sense import Eyes, Sight
from trimtab_controller.verify import Verifier
from trimtab_guard.guard import judge, restore
from trimtab_guard.model import Proposal, State, Verdict, Want
from trimtab_guard.modes import Mode, lower
from trimtab_guard.ration import Purse

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Service:
    """Where it lives (``stage``), how it is seen (``eyes``), its past, and who may do what.

    ``seen`` are the states before a restart that are still evidence, oldest first.
    """

    config: ServiceConfig
    stage: Stage
    eyes: Eyes
    memory: Memory
    journal: Journal
    board: Board
    clock: Clock
    seen: InitVar[Sequence[State]] = ()
    _told: str = ""
    name: str = field(init=False)
    verifier: Verifier = field(init=False)

    def __post_init__(self, seen: Sequence[State]) -> None:
        self.name = self.config.name
        cooling_until_s = self.board.mandate.cooling_until_s(self.name)
        self.verifier = Verifier(self.config.profile, cooling_until_s)
        self.verifier.recall(seen, self.memory.applied, self.config.limits)
        self.board.memories[self.name] = self.memory

    def sense(self) -> Sight:
        """What is."""
        sight = self.eyes.look()
        if self.board.foresight:
            self.board.foresight.look(self.name, sight)
        self.board.canaries.look(self.name, sight.report)
        self.board.rounds.look(self.name, sight.report)
        return sight

    @property
    def _outlooks(self) -> Sequence[Outlook]:
        """What the latest look ahead found."""
        foresight = self.board.foresight
        return foresight.outlooks.get(self.name, ()) if foresight else ()

    def settle(self, sight: Sight) -> str:
        """Close the write that an earlier tick left open; returns why it still is."""
        if self.memory.intent is None or sight.report is None:
            return ""
        now_s, stale_s = self.clock(), self.config.limits.stale_s
        try:
            self._conclude(act.settle(self.stage, self.memory.intent, sight.report, now_s, stale_s))
        except StageError as error:
            return str(error)
        return ""

    def gate(
        self, sight: Sight, proposal: Proposal | None, failure: str, purse: Purse
    ) -> TickRecord:
        """What of the proposal may be done now; what must be asked is asked."""
        if sight.report is None:
            return self.held(sight, failure)
        self.board.mandate.notice_leader(self.name, sight.report.epoch, self.clock())
        self._notice_writer(sight.report)
        tick = self.held(sight, failure)
        if self.board.mandate.aborting:
            return self._undo(tick, sight, self.memory.written(tick.time_s - RUNNING_S))
        if self._regressed(tick, sight):
            tick = self._condemn(tick)
        if condemned := self._condemned():
            undone = self._undo(tick, sight, condemned)
            if undone.outcome is not Outcome.UNCHANGED:
                return undone
            self.board.mandate.end_rollback(self.name, self.clock())
        self.board.canaries.weigh(self.name, self.clock())
        trial = self.board.canaries.trials.get(self.name)
        if trial and (returned := self._give_back(tick, sight, trial)):
            return returned
        if proposal is None or self.memory.intent:
            return tick
        if trial:
            proposal = steered(trial, proposal, sight.state)
        else:
            proposal = widened(proposal, self._outlooks)
        rule = baseline(sight.known, self.config.profile)
        verdict = self._judge(sight, proposal, rule, purse)
        intent, outcome = self._decided(tick, sight, sight.report, proposal, verdict)
        if intent is None and (restart := self._restart(tick, sight, sight.report, purse)):
            intent, outcome = restart, Outcome.APPLIED
        return tick._replace(
            proposal=proposal,
            baseline=rule,
            verdict=verdict,
            intent=intent,
            outcome=outcome,
        )

    def held(self, sight: Sight, failure: str) -> TickRecord:
        """The record of a tick that does nothing, which every other one starts from."""
        mandate, memory = self.board.mandate, self.memory
        return TickRecord(
            service=self.name,
            time_s=sight.state.time_s,
            mode=mandate.mode(self.name, self.clock()),
            outcome=Outcome.HELD,
            error=sight.error or failure or mandate.alarm(self.name),
            state=sight.state if sight.report else None,
            floors=tuple([b.floor for b in sight.report.backends]) if sight.report else (),
            intent=memory.intent,
            version=memory.version,
            decisions=memory.decisions,
            actions=memory.actions,
        )

    def act(self, tick: TickRecord) -> TickRecord:
        """Send the tick's intent, unless it was stopped or has become too old meanwhile."""
        intent, now_s = tick.intent, self.clock()
        self._keep_round(now_s)
        self.board.drills.conduct(self.board, self.name, now_s)
        if intent is None or tick.outcome is not Outcome.APPLIED:
            return tick
        if refusal := self._revoked(tick, intent, now_s):
            self._conclude(act.withdraw(intent, now_s, refusal))
            stopped = self.board.mandate.stopped
            return tick._replace(
                outcome=Outcome.STOPPED if stopped else Outcome.FAILED, error=refusal
            )
        try:
            outcome = act.send(self.stage, intent, now_s)
        except StageError as error:
            return tick._replace(outcome=Outcome.FAILED, error=str(error))
        self._conclude(outcome)
        if outcome.applied:
            return tick
        return tick._replace(outcome=Outcome.FAILED, error=outcome.error)

    def _keep_round(self, now_s: float) -> None:
        """Variants on copies of its traffic are no write to the service: they come and go here."""
        board = self.board
        if not board.rounds.idle(self.name):
            why = barred(board, self.name, now_s)
            board.rounds.keep(self.name, board.mandate.epoch, why, now_s)

    def _revoked(self, tick: TickRecord, intent: Intent, now_s: float) -> str:
        """Why the decision must not be sent any more; empty when it may."""
        deadline_s = intent.time_s + self.config.limits.stale_s
        if barred := self.board.mandate.barred(self.name, now_s, deadline_s):
            return barred
        standing = self.board.mandate.standing(self.name, now_s)
        fallen = lower(standing.mode, tick.mode) is not tick.mode
        return "; ".join(reason.why for reason in standing.reasons) if fallen else ""

    def _regressed(self, tick: TickRecord, sight: Sight) -> bool:
        """Whether too many requests missed after a write that is still for us to undo."""
        worse = self.verifier.look(sight.state, self.config.limits, self.clock())
        return worse and tick.mode is not Mode.SHADOW

    def _condemn(self, tick: TickRecord) -> TickRecord:
        """A rollback is due, once and unasked; a cool-down begins, one rung further down."""
        limits, mandate, now_s = self.config.limits, self.board.mandate, self.clock()
        why = f"misses rose after a write of {self.name}: rolled back, one rung down"
        until_s = now_s + limits.cool_s
        mandate.condemn(self.name, until_s, why, now_s)
        self.verifier.cool_down(until_s)
        self.board.approvals.void(self.name)
        self.board.give_back(self.name, why, now_s)
        return tick._replace(mode=mandate.mode(self.name, now_s), error=why)

    def _condemned(self) -> tuple[Intent, ...]:
        """The writes that a rollback has yet to undo: all under watch, for any may be the one."""
        mandate, now_s = self.board.mandate, self.clock()
        until_s = mandate.condemned_s(self.name)
        if until_s == -math.inf or mandate.barred(self.name, now_s, now_s):
            return ()
        return self.memory.written(until_s - self.config.limits.verify_s, until_s)

    def _undo(self, tick: TickRecord, sight: Sight, writes: Sequence[Intent]) -> TickRecord:
        """Undo these writes; the tick is held while that cannot be."""
        if self.memory.intent or sight.report is None or sight.report.barred:
            return tick
        before = undo.replaced(writes)
        if not before:
            return tick._replace(outcome=Outcome.UNCHANGED)
        return self._restored(tick, sight, sight.report, before)

    def _restored(
        self, tick: TickRecord, sight: Sight, report: StageReport, before: tuple[Want, ...]
    ) -> TickRecord:
        limits, history, now_s = self.config.limits, self.memory.history, self.clock()
        allowed = restore(before, sight.state, limits, history, now_s)
        if not allowed.backends:
            return tick
        epoch = self.board.mandate.epoch
        intent = undo.undoing(limits, tick.time_s, report, before, allowed, epoch)
        outcome = Outcome.APPLIED if intent else Outcome.UNCHANGED
        return tick._replace(intent=intent, outcome=outcome)

    def _give_back(self, tick: TickRecord, sight: Sight, trial: Trial) -> TickRecord | None:
        """A trial that is over with nothing for the new version: at once, and without asking."""
        back, now_s = given_back(trial, sight.state), self.clock()
        barred = tick.mode is Mode.SHADOW or self.board.mandate.barred(self.name, now_s, now_s)
        if barred or not back or self.memory.intent or sight.report is None:
            return None
        returned = self._restored(tick, sight, sight.report, back)
        return returned._replace(error=trial.why) if returned.intent else None

    def _judge(
        self, sight: Sight, proposal: Proposal, rule: tuple[Want, ...], purse: Purse
    ) -> Verdict:
        limits, history = self.config.limits, self.memory.history
        known = self.memory.known(sight.state)
        return judge(proposal, rule, sight.state, limits, history, self.clock(), purse, known)

    def _decided(
        self,
        tick: TickRecord,
        sight: Sight,
        report: StageReport,
        proposal: Proposal,
        verdict: Verdict,
    ) -> tuple[Intent | None, Outcome]:
        """What is to be written of the verdict, and what to call the tick."""
        if self.board.mandate.halted:
            return None, Outcome.STOPPED
        barred = report.barred and tick.mode is not Mode.SHADOW
        if barred or not verdict.backends:
            return None, Outcome.HELD
        fresh = sight.fresh
        idle = Outcome.UNCHANGED if fresh else Outcome.HELD
        wished = act.targets(report, verdict, proposal, fresh=fresh)
        if wished == act.fields(report):
            return None, idle
        asked = explained(proposal, verdict)
        wants, otherwise = self._permit(tick, report, asked, wished)
        epoch = self.board.mandate.epoch
        intent = act.intend(self.config.limits, tick.time_s, report, wants, epoch)
        if intent:
            return intent._replace(why=proposal.why), Outcome.APPLIED
        return None, idle if otherwise is Outcome.UNCHANGED else otherwise

    def _restart(
        self, tick: TickRecord, sight: Sight, report: StageReport, purse: Purse
    ) -> Intent | None:
        """Where nothing else is to be written: what a forecast asks for and people have granted."""
        ahead, state = self._outlooks, sight.state
        if not ahead or tick.mode is Mode.SHADOW or not sight.fresh:
            return None
        known, now_s = self.memory.known(state), self.clock()
        restart = intended(self.board, self.config, ahead, report, state, known, now_s, purse)
        if restart and self.board.foresight:
            self.board.foresight.forget(self.name)
        return restart

    def _permit(
        self, tick: TickRecord, report: StageReport, proposal: Proposal, wished: tuple[Want, ...]
    ) -> Permit:
        request = Request(
            service=self.name,
            now=act.fields(report),
            then=wished,
            terms=f"{proposal.policy}/{self.config.limits_digest}",
            why=proposal.why,
            time_s=tick.time_s,
        )
        return permit(request, tick.mode, self.board.approvals)

    def _notice_writer(self, report: StageReport) -> None:
        """Leave the service to whoever else writes to it, until a human says otherwise."""
        known = self.memory.version
        self.memory.adopt(report.version)
        if not self.memory.applied:
            self.verifier.forget()
        moved = known not in ("", report.version) and not self.memory.intent
        mandate, now_s = self.board.mandate, self.clock()
        # An older leader may go on until our first write: that ends its epoch.
        foreign = report.writer and not (report.writer == WRITER and mandate.outranks(report.epoch))
        if moved and foreign and mandate.mode(self.name, now_s) is not Mode.SHADOW:
            who = "another trimtab" if report.writer == WRITER else report.writer
            mandate.notice_writer(self.name, who, now_s)

    def _conclude(self, outcome: OutcomeRecord) -> None:
        write_outcome(self.journal, outcome)
        intent = self.memory.intent
        self.memory.after_outcome(outcome)
        if intent and outcome.applied and not intent.undoes:
            self.verifier.watch(intent)

    def log_news(self, error: str) -> None:
        """Log trouble, once: the same line every second would hide the next one."""
        if error != self._told:
            fields = {"service": self.name}
            log.warning("%s: %s", self.name, error or "in order again", extra=fields)
            self._told = error
