"""One tick in one sentence: what the policy wanted, what the guard left of it, what came of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from trimtab_controller import messages
from trimtab_controller.memory import Outcome, TickRecord
from trimtab_controller.up.words import reasons
from trimtab_guard.model import Proposal, State, Verdict, Want

OUTCOMES = {
    Outcome.APPLIED: "applied",
    Outcome.UNCHANGED: "there is nothing to change",
    Outcome.SHADOW: "in shadow, so nothing is written",
    Outcome.ASKED: "a human is asked",
    Outcome.STOPPED: "not written: trimtab is stopped",
    Outcome.HELD: "held as it is",
    Outcome.FAILED: "not written",
}


def sentence(tick: TickRecord) -> str:
    """Made of the tick's own numbers and of nothing else."""
    return "; ".join(_clauses(tick))


def _clauses(tick: TickRecord) -> Iterator[str]:
    if tick.proposal and tick.state and tick.verdict:
        yield tick.proposal.why
        if tick.verdict.reasons:
            yield held(tick.state, tick.proposal, tick.verdict)
    yield OUTCOMES[tick.outcome]
    if tick.error:
        yield tick.error


def held(state: State, proposal: Proposal, verdict: Verdict) -> str:
    """What the guard changed: ``held to +2: no faster up (spot 12→11)``."""
    words = reasons(messages.reasons(verdict))
    if not verdict.backends:
        return f"the guard lets nothing be touched: {words}"
    allowed = _replicas(verdict.backends)
    if allowed == _replicas(proposal.backends):
        return f"guard: {words}"
    return f"held to {allowed - sum(b.wanted for b in state.backends):+d}: {words}"


def _replicas(wants: Iterable[Want]) -> int:
    return sum(want.replicas for want in wants)
