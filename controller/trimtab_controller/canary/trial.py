"""A trial from its beginning to what it led to; frozen, so that a journal can keep it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from trimtab_agents.canary import Call, Comparison, Rules, Side, Tolerance, Verdict
from trimtab_controller.canary.plan import Plan
from trimtab_controller.up.words import effect_words

# How unequal the load of a replica may be on both sides: a share of it.
UNEQUAL = 0.1
# At each share, however many requests a look has: so many are enough to see what is quite broken.
LEAST_LOOKS = 10
# At the last one, before it is given up: a busy service has many requests in a look.
LAST_LOOKS = 40
# A trial that learns nothing for so long is over.
PATIENCE_S = 900.0


class Phase(StrEnum):
    """It runs; or it is over, and the new version gets the whole route, or nothing of it."""

    TRIAL = "trial"
    ADOPTED = "adopted"
    GIVEN_BACK = "given back"


@dataclass(frozen=True, slots=True)
class Trial:
    """``step`` is the share it is at, ``comparison`` what was seen there; ``why`` its phase.

    ``heard_s`` is when it last learnt something.
    """

    plan: Plan
    began_s: float
    heard_s: float
    comparison: Comparison
    step: int = 0
    phase: Phase = Phase.TRIAL
    why: str = "waiting for the first answers"

    @classmethod
    def begin(cls, plan: Plan, now_s: float) -> Trial:
        """Nothing was seen yet."""
        return cls(plan, now_s, now_s, Comparison.begin(rules(plan, 0)))

    @property
    def runs(self) -> bool:
        """Whether it is not over."""
        return self.phase is Phase.TRIAL

    @property
    def is_last(self) -> bool:
        """Whether there is no larger share: only there both are compared for good."""
        return self.step == len(self.plan.shares) - 1

    @property
    def share(self) -> float:
        """What the new version should have of what both have."""
        if self.runs:
            return self.plan.shares[self.step]
        return 1.0 if self.phase is Phase.ADOPTED else 0.0

    def after(self, old: Side | None, new: Side | None, now_s: float) -> Trial:
        """One look later; ``None`` for what could not be measured."""
        comparison, plan = self.comparison.after(old, new), self.plan
        verdict = comparison.verdict()
        heard_s = now_s if comparison.looks > self.comparison.looks else self.heard_s
        seen = replace(self, comparison=comparison, why=str(verdict.reason), heard_s=heard_s)
        if verdict.call is Call.BAD:
            worst = max(verdict.effects, key=lambda effect: effect.bad)
            told = effect_words(worst.metric, worst.value, worst.low, worst.high)
            return seen.over(Phase.GIVEN_BACK, f"{plan.new} is worse: {told}")
        if self.is_last and verdict.call is Call.GOOD:
            return seen.over(Phase.ADOPTED, f"{plan.new} is no worse than may be in anything")
        if self.is_last and _had(verdict, plan.most_requests, LAST_LOOKS):
            why = f"no verdict after {verdict.new_answers} answers of {plan.new}"
            return seen.over(Phase.GIVEN_BACK, f"{why}: {verdict.reason}")
        if not self.is_last and _had(verdict, plan.requests, LEAST_LOOKS):
            step = self.step + 1
            return replace(seen, comparison=comparison.afresh(rules(plan, step)), step=step)
        return seen

    def out_of_patience(self, now_s: float) -> bool:
        """Whether nothing was learnt for too long, by a clock that may have been set back."""
        return abs(now_s - self.heard_s) > PATIENCE_S

    def over(self, phase: Phase, why: str) -> Trial:
        """It has led to this."""
        return replace(self, phase=phase, why=why)

    def __str__(self) -> str:
        plan = self.plan
        what = f"on trial beside {plan.old}" if self.runs else f"{self.phase} after a trial"
        return f"{plan.new} {what}, {self.share:.0%} of the route of both"


def _had(verdict: Verdict, answers: int, looks: int) -> bool:
    return verdict.new_answers >= answers and verdict.looks >= looks


def rules(plan: Plan, step: int) -> Rules:
    """What the plan asks of the comparison at one of its shares."""
    usual = Rules()
    worse = replace(usual.worse, latency=plan.margin)
    fine = Tolerance(
        latency=max(usual.fine.latency, 2 * plan.margin),
        errors=usual.fine.errors,
        saturation=usual.fine.saturation,
    )
    return replace(usual, worse=worse, fine=fine).at(step, len(plan.shares))
