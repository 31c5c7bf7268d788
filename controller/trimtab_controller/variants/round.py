"""A round from its beginning to its results; frozen, so that a journal can keep it."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from enum import StrEnum

from trimtab_controller.variants.plan import Plan, Variant

# What the backend itself is called among the results.
LIVE = "live"


class Step(StrEnum):
    """How far one variant is."""

    STARTING = "starting"
    SETTLING = "settling"
    MEASURING = "measuring"
    MEASURED = "measured"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class Result:
    """What ``requests`` met in ``seconds``; ``misses`` were late, failed, or are still inside."""

    name: str
    step: Step = Step.STARTING
    requests: int = 0
    misses: int = 0
    errors: int = 0
    seconds: float = 0.0
    replicas: float = 0.0
    p50_ms: float = math.nan
    p95_ms: float = math.nan
    crashed: int = 0

    @property
    def miss_share(self) -> float:
        """0 to 1; NaN before the first request."""
        return self.misses / self.requests if self.requests else math.nan


@dataclass(frozen=True, slots=True)
class Round:
    """``number`` tells it from every other one; ``ended`` variants run no more; ``why`` it is over.

    ``results``, of what is live and of each variant, are those of a round that is over; ``again``:
    the service needed its replicas itself, and the same round may be run once it does not.
    """

    plan: Plan
    number: int
    began_s: float
    ended: tuple[str, ...] = ()
    over: bool = False
    why: str = "its variants start"
    results: tuple[Result, ...] = ()
    again: bool = False

    @property
    def running(self) -> tuple[Variant, ...]:
        """The variants that should run now."""
        if self.over:
            return ()
        return tuple(each for each in self.plan.variants if each.name not in self.ended)

    def known_as(self, variant: Variant) -> str:
        """What the stage calls a variant: never as in a round before."""
        return f"r{self.number % 1000}-{self.plan.variants.index(variant)}"

    def without(self, names: tuple[str, ...]) -> Round:
        """Some variants ended, as losers do."""
        return replace(self, ended=tuple(dict.fromkeys((*self.ended, *names))))

    def ends(self, why: str, results: tuple[Result, ...], *, again: bool = False) -> Round:
        """It is over."""
        return replace(self, over=True, why=why, results=results, again=again)

    def __str__(self) -> str:
        plan = self.plan
        if self.over:
            return f"a round of {plan.experiment} is over: {self.why}"
        what = f"{len(self.running)} of {len(plan.variants)} variants of {plan.backend} on copies"
        return f"a round of {plan.experiment} runs, {what} of the traffic"
