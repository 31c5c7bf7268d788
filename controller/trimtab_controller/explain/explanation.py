"""Explain: everything about one decision, as a reply."""

from __future__ import annotations

import threading
from collections.abc import Mapping

from trimtab_agents.bundle import PpoPolicy
from trimtab_controller import messages
from trimtab_controller.explain.decisions import Decision, between, by, latest, numbered
from trimtab_controller.explain.hindsight import Hindsight, hindsight, watched_until_s
from trimtab_controller.explain.relive import Relived, relive
from trimtab_controller.explain.sentence import sentence
from trimtab_controller.journal import Journal
from trimtab_controller.recommend.subject import Subject
from trimtab_controller.refusals import FullError
from trimtab_controller.up.words import reason as in_words
from trimtab_proto.v1 import controller_pb2 as pb


class Explainer:
    """Answers from the journal alone, so that it is the same after a restart."""

    def __init__(
        self, journal: Journal, subjects: Mapping[str, Subject], policy: PpoPolicy
    ) -> None:
        self._journal = journal
        self._subjects = subjects
        self._policy = policy
        self._reliving = threading.Lock()

    def explain(self, request: pb.ExplainRequest) -> pb.ExplainReply:
        """Explain the decision that is asked for; `UnknownError`, `JournalError`, `FullError`."""
        decision = self._found(request)
        message = reply(decision, self._hindsight(decision))
        if request.thorough:
            _add(message, self._relived(decision))
        return message

    def _relived(self, decision: Decision) -> Relived:
        # One at a time: it is work for a whole core, beside the loop.
        if not self._reliving.acquire(blocking=False):
            raise FullError(
                "somebody else's past is being lived again: try again when that is done"
            )
        try:
            subject = self._subjects[decision.tick.service]
            return relive(decision, self._journal, self._policy, subject)
        finally:
            self._reliving.release()

    def _found(self, request: pb.ExplainRequest) -> Decision:
        service = request.service
        if request.record:
            return numbered(self._journal, service, request.record)
        if request.time_s:
            return by(self._journal, service, request.time_s)
        return latest(self._journal, service)

    def _hindsight(self, decision: Decision) -> Hindsight:
        tick = decision.tick
        later = between(self._journal, tick.service, tick.time_s, watched_until_s(tick))
        profile = self._subjects[tick.service].profile
        return hindsight(tick, [other.tick for other in later], profile)


def reply(decision: Decision, seen: Hindsight) -> pb.ExplainReply:
    """What the record tells, and what came of it."""
    tick = decision.tick
    message = pb.ExplainReply(
        service=tick.service,
        record=decision.record,
        time_s=tick.time_s,
        sentence=sentence(tick),
        mode=messages.mode_name(tick.mode),
        outcome=tick.outcome,
        hindsight=_hindsight(seen),
    )
    if tick.proposal:
        message.policy = tick.proposal.policy
        message.proposal.extend(messages.wants(tick.proposal.backends))
    if tick.verdict:
        message.decision.extend(messages.wants(tick.verdict.backends))
        for reason in messages.reasons(tick.verdict):
            message.guard.add(reason=reason, words=in_words(reason))
    return message


def _add(message: pb.ExplainReply, relived: Relived) -> None:
    """What inputs and rules would have made of it; a rule needs no more than the proposal."""
    message.doubt = relived.doubt
    proposed = sum(want.replicas for want in message.proposal)
    for field, others in ((message.inputs, relived.inputs), (message.rules, relived.rules)):
        for other in others:
            wanted = messages.wants(other.wants)
            field.add(name=other.name, wanted=wanted, more=other.replicas - proposed)


def _hindsight(seen: Hindsight) -> pb.Hindsight:
    return pb.Hindsight(
        judgement=seen.judgement,
        words=seen.words,
        since_s=seen.since_s,
        until_s=seen.until_s,
        peak_rps=seen.peak_rps,
        miss_share=seen.miss_share,
    )
