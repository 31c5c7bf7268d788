"""Recommends to one caller for one service, with one memory."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from trimtab_agents.rules.baseline import baseline
from trimtab_controller.protocols import Clock, Policy
from trimtab_controller.recommend.report import Report
from trimtab_controller.recommend.subject import Subject
from trimtab_guard.guard import judge
from trimtab_guard.history import History
from trimtab_guard.limits import Limits
from trimtab_guard.model import Proposal, Reason, State, Verdict, Want
from trimtab_guard.reasons import Code
from trimtab_guard.senses import doubts

NO_HISTORY = "no scale-down before a full window has been reported"
# The one reason that is not the guard's.
ESTIMATED = "ESTIMATED"
UPWARD = {Code.MISMATCH, Code.BAD_VALUE, Code.OUT_OF_ORDER, Code.EXPIRED, Code.ENVELOPE}


class Trust(Enum):
    """How far an answer may be followed, the least first."""

    NONE = "none"
    HOLD = "hold"
    UP = "up"
    FULL = "full"


@dataclass(frozen=True, slots=True)
class Recommendation:
    """What the policy proposes for a report, what the guard makes of it, and how sure that is.

    ``memory_s`` of the ``window_s`` that a scale-down takes are remembered; until ``next_s``
    every report is answered alike, unless that is at ``stale_s`` or later.
    """

    report: Report
    proposal: Proposal
    verdict: Verdict
    trust: Trust
    why: str
    memory_s: float
    window_s: float
    next_s: float
    stale_s: float


class Recommender:
    """One memory. Calls of several threads take turns.

    What comes within the same tick, again or late, has that tick's answer and teaches nothing.
    """

    def __init__(self, policy: Policy, clock: Clock) -> None:
        self._policy = policy
        self._clock = clock
        self._history = History.empty(clock())
        self._made: Recommendation | None = None
        self._turn = threading.Lock()

    def standing(self, time_s: float) -> Recommendation | None:
        """The answer that holds for a report of that time; none when it begins a new tick."""
        made = self._made
        if made is None or time_s >= made.next_s or self._clock() >= made.stale_s:
            return None
        return made

    def recommend(self, report: Report, subject: Subject) -> Recommendation:
        """Decide for what is reported; raises `PolicyError`."""
        with self._turn:
            made = self.standing(report.state.time_s) or self._decide(report, subject)
            self._made = made
            return made

    def _decide(self, report: Report, subject: Subject) -> Recommendation:
        state, limits, now_s = report.state, subject.limits, self._clock()
        (proposal,) = self._policy.propose([state])
        rule = baseline(state, subject.profile)
        verdict = judge(proposal, rule, state, limits, self._history, now_s)
        self._history = self._history.with_state(state)
        in_doubt = [doubt.signal for doubt in doubts(state, self._history.senses, limits, now_s)]
        memory_s = remembered_s(self._history, limits, now_s)
        trust = _trust(report, verdict, in_doubt, memory_s >= limits.hold_s)
        self._history = self._history.with_proposal(proposal)
        next_s = (state.time_s // limits.interval_s + 1.0) * limits.interval_s
        return Recommendation(
            report=report,
            proposal=proposal,
            verdict=_upward(verdict, state) if report.estimated else verdict,
            trust=trust,
            why="; ".join((proposal.why, *_doubts(report, in_doubt, memory_s, limits))),
            memory_s=memory_s,
            window_s=limits.hold_s,
            next_s=next_s,
            stale_s=next_s + limits.stale_s,
        )


def remembered_s(history: History, limits: Limits, now_s: float) -> float:
    """For how long all has been reported without a hole, at most the guard's hold window."""
    dark = (time_s for time_s, dark_s in history.dark_s.points if dark_s > limits.memory_gap_s)
    return min(now_s - max(dark, default=0.0), limits.hold_s)


def _trust(report: Report, verdict: Verdict, in_doubt: list[str], remembered: bool) -> Trust:
    if not verdict.backends:
        return Trust.NONE
    if in_doubt:
        return Trust.HOLD
    broken = any(reason.code in UPWARD for reason in verdict.reasons)
    return Trust.UP if report.estimated or broken or not remembered else Trust.FULL


def _doubts(report: Report, in_doubt: list[str], memory_s: float, limits: Limits) -> Iterator[str]:
    if in_doubt:
        yield f"held, not to be believed or too old: {', '.join(in_doubt)}"
    if report.estimated:
        yield f"estimated, so nothing is taken away: {', '.join(report.estimated)}"
    if memory_s < limits.hold_s:
        yield f"{NO_HISTORY}: {memory_s:.0f} of {limits.hold_s:g} s"


def _upward(verdict: Verdict, state: State) -> Verdict:
    """The verdict without what takes replicas away or moves the route."""
    wants = tuple(
        Want(want.name, max(want.replicas, backend.wanted), backend.weight)
        for want, backend in zip(verdict.backends, state.backends, strict=False)
    )
    reasons = tuple(
        Reason(ESTIMATED, want.name, want.replicas, kept.replicas)
        for want, kept in zip(verdict.backends, wants, strict=True)
        if want.replicas != kept.replicas
    )
    return Verdict(verdict.service, verdict.time_s, wants, (*verdict.reasons, *reasons))
