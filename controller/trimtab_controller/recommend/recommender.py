"""Recommends to one caller for one service, with one memory."""

from __future__ import annotations

import threading
from typing import NamedTuple

from trimtab_agents.rules.baseline import baseline
from trimtab_controller import messages
from trimtab_controller.protocols import Clock, Policy
from trimtab_controller.recommend.caution import Caution
from trimtab_controller.recommend.ledger import Ledger
from trimtab_controller.recommend.report import Report
from trimtab_controller.recommend.subject import Subject
from trimtab_controller.records import pack
from trimtab_guard.guard import judge
from trimtab_guard.history import History
from trimtab_guard.model import Proposal, Verdict
from trimtab_proto.v1 import controller_pb2 as pb


class Answer(NamedTuple):
    """A reply, and when nobody should be given it any more."""

    reply: pb.RecommendReply
    stale_s: float


class Recommender:
    """One memory, of a ``caller``. Calls of several threads take turns.

    What comes within the same tick, again or late, has that tick's answer and teaches nothing.
    """

    def __init__(self, caller: str, policy: Policy, ledger: Ledger, clock: Clock) -> None:
        self._caller = caller
        self._policy = policy
        self._ledger = ledger
        self._clock = clock
        self._history = History.empty(clock())
        self._answer: Answer | None = None
        self._turn = threading.Lock()

    def standing(self, time_s: float) -> pb.RecommendReply | None:
        """The answer to a report of that time, if it needs no thought."""
        answer = self._answer
        if answer is None or self._clock() >= answer.stale_s:
            return None
        return answer.reply if time_s < answer.reply.next_s else None

    def recommend(self, report: Report, subject: Subject) -> pb.RecommendReply:
        """Decide for what is reported; raises `PolicyError` or `JournalError`."""
        with self._turn:
            reply = self.standing(report.state.time_s)
            if reply is None:
                reply = self._decide(report, subject)
                self._answer = Answer(reply, reply.next_s + subject.limits.stale_s)
            return reply

    def _decide(self, report: Report, subject: Subject) -> pb.RecommendReply:
        state, limits, now_s = report.state, subject.limits, self._clock()
        (proposal,) = self._policy.propose([state])
        rule = baseline(state, subject.profile)
        verdict = judge(proposal, rule, state, limits, self._history, now_s)
        self._history = self._history.with_state(state)
        caution = Caution.about(report, self._history, limits, now_s)
        self._history = self._history.with_proposal(proposal)
        self._note(report, proposal, verdict)
        tick = state.time_s // limits.interval_s
        return _reply(proposal, verdict, caution, next_s=(tick + 1.0) * limits.interval_s)

    def _note(self, report: Report, proposal: Proposal, verdict: Verdict) -> None:
        self._ledger.note(
            {
                "caller": self._caller,
                "state": pack(report.state),
                "proposal": pack(proposal),
                "verdict": pack(verdict),
            }
        )


def _reply(
    proposal: Proposal, verdict: Verdict, caution: Caution, next_s: float
) -> pb.RecommendReply:
    report, decision = caution.report, caution.applied(verdict)
    return pb.RecommendReply(
        service=report.state.service,
        policy=proposal.policy,
        decision=messages.wants(decision.backends),
        proposal=messages.wants(proposal.backends),
        reasons=messages.reasons(decision),
        why="; ".join((proposal.why, *caution.told())),
        time_s=report.state.time_s,
        missing=report.missing,
        estimated=report.estimated,
        trust=caution.trust(verdict),
        memory_s=caution.memory_s,
        window_s=caution.window_s,
        next_s=next_s,
    )
