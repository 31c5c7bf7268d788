"""How far a drill is: frozen, so that the journal can keep it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import NamedTuple

from trimtab_controller.drills.plan import Fault, Injection, Plan
from trimtab_guard.blast import Blast, Breach, Edge, Group, breach, missed, overspent
from trimtab_guard.limits import DrillLimits

# In the journal: a drill as it is and what has just happened, and one tick's look at it.
KIND, LOOK = "drill", "drill-look"
# How many times the steady state may fail to hold for as long as it must before the drill begins.
TRIES = 6.0


class Phase(StrEnum):
    """Before its faults, amid them, after them; or over, and with what end."""

    BEFORE = "before"
    FAULTS = "faults"
    AFTER = "after"
    STEADY = "steady"
    UNSTEADY = "unsteady"
    NOT_BEGUN = "not begun"
    ABORTED = "aborted"


RUNNING = (Phase.BEFORE, Phase.FAULTS, Phase.AFTER)


class Look(NamedTuple):
    """What really was at a tick; NaN where nobody saw it."""

    time_s: float
    rate_rps: float
    miss_share: float
    p95_ms: float
    backends: tuple[Seen, ...]


class Seen(NamedTuple):
    """One backend: replicas as the stage has them, and its share of the route."""

    name: str
    ready: int
    starting: int
    wanted: int
    weight: float


class Struck(NamedTuple):
    """A fault that was begun, by its number in the plan, and the replicas that it is on."""

    number: int
    until_s: float
    replicas: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Course:
    """``limits`` are the narrower of the plan's and the service's.

    The first fault was at ``first_s``, the last one had ended at ``last_s``; the steady state holds
    since ``steady_s``, requests were last seen at ``seen_s``, and all of it at ``looked_s``.
    ``ready`` replicas there were at the first fault, and ``begun`` says how many faults were.
    """

    plan: Plan
    limits: DrillLimits
    who: str
    began_s: float
    phase: Phase = Phase.BEFORE
    why: str = "waiting until the steady state has held long enough"
    first_s: float = math.nan
    last_s: float = math.nan
    ended_s: float = math.nan
    steady_s: float = math.nan
    seen_s: float = math.nan
    looked_s: float = math.nan
    missed_s: float = 0.0
    ready: int = 0
    killed: int = 0
    begun: int = 0
    struck: tuple[Struck, ...] = ()

    @property
    def runs(self) -> bool:
        """Whether it is not over."""
        return self.phase in RUNNING

    @property
    def id(self) -> str:
        """Tells it from every other one of its service."""
        return f"{self.plan.drill}-{self.began_s:.3f}"

    @property
    def order(self) -> list[int]:
        """The numbers of the plan's faults as they come due."""
        faults = self.plan.faults
        return sorted(range(len(faults)), key=lambda number: faults[number].at_s)

    def due(self, now_s: float) -> int | None:
        """The number of the next fault, if its time has come."""
        if self.begun == len(self.plan.faults):
            return None
        number = self.order[self.begun]
        return number if now_s - self.first_s >= self.plan.faults[number].at_s else None

    def name_of(self, number: int) -> str:
        """What a fault is called, among those of all drills."""
        return f"{self.id}-{number}"

    @property
    def named(self) -> dict[str, Injection]:
        """What is broken now, by name."""
        numbers = [each.number for each in self.struck]
        return {self.name_of(number): self.plan.faults[number] for number in numbers}

    @property
    def in_force(self) -> tuple[Injection, ...]:
        """What is broken now."""
        return tuple(self.plan.faults[each.number] for each in self.struck)

    @property
    def back_s(self) -> float:
        """Seconds from the end of the last fault until the steady state held for good."""
        return max(0.0, self.steady_s - self.last_s)

    def looked(self, look: Look) -> Course:
        """One tick later."""
        steady, before_s = self.plan.steady, self.looked_s
        span_s = 0.0 if math.isnan(before_s) else max(0.0, look.time_s - before_s)
        holds = look.miss_share <= steady.miss_share and look.p95_ms <= steady.p95_ms
        since_s = look.time_s if math.isnan(self.steady_s) else self.steady_s
        hidden = any(fault.fault is Fault.STOP_PROXY for fault in self.in_force)
        sees = hidden or math.isfinite(look.miss_share)
        lost_s = 0.0 if self.phase is Phase.BEFORE else missed(look.miss_share, span_s)
        return replace(
            self,
            looked_s=look.time_s,
            steady_s=since_s if holds else math.nan,
            seen_s=look.time_s if sees else self.seen_s,
            missed_s=self.missed_s + lost_s,
        )

    def steady_for(self, now_s: float) -> bool:
        """Whether the steady state has held for long enough, and since the last fault."""
        since_s = self.steady_s if math.isnan(self.last_s) else max(self.steady_s, self.last_s)
        return now_s - since_s >= self.plan.steady.for_s

    def out_of_time(self, now_s: float) -> bool:
        """Whether the steady state was waited for in vain."""
        if self.phase is Phase.BEFORE:
            return not 0.0 <= now_s - self.began_s <= TRIES * self.plan.steady.for_s
        # What has come back by then may still show that it stays.
        back_s = now_s if math.isnan(self.steady_s) else self.steady_s
        return now_s < self.last_s or back_s - self.last_s > self.plan.recover_s

    def breach(self, backends: Sequence[Seen], barred: str, stale_s: float) -> Breach | None:
        """What ends it at once."""
        if barred:
            return Breach(Edge.STANDING, barred)
        if self.phase is Phase.FAULTS:
            return breach(self.limits, self.blast(backends), stale_s, self.looked_s)
        return overspent(self.limits, self.blast(backends))

    def blast(self, backends: Sequence[Seen]) -> Blast:
        """It as the guard judges it."""
        hit = {backend.name: 0 for backend in backends}
        for fault, struck in zip(self.in_force, self.struck, strict=True):
            if fault.backend in hit:
                hit[fault.backend] += len(struck.replicas)
        groups = (Group(b.name, b.ready, hit[b.name], b.weight) for b in backends)
        return Blast(
            self.first_s, self.seen_s, self.ready, tuple(groups), self.killed, self.missed_s
        )

    def over(self, phase: Phase, why: str, now_s: float) -> Course:
        """It has ended so; nothing is broken any more."""
        return replace(self, phase=phase, why=why, ended_s=now_s, struck=())

    def __str__(self) -> str:
        return f"{self.plan} ({self.phase})"
