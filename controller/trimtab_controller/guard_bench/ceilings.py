"""What SAFETY.md promises of budgets, modes and rollbacks, checked without the guard's code."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from trimtab_guard.limits import ClusterLimits, Limits
from trimtab_guard.model import Verdict, Want

RUNGS = ("shadow", "approve", "assist", "guarded")


class Means(NamedTuple):
    """What other services leave to one: money for new replicas, and whether it has to wait."""

    left: float
    waits: bool


@dataclass(slots=True)
class Ledger:
    """Every change that was really made: (time_s, service, price of the new replicas)."""

    entries: list[tuple[float, str, float]] = field(default_factory=list)

    def set_clock(self, now_s: float) -> None:
        """What seems to lie ahead happened now."""
        if any(time_s > now_s for time_s, _, _ in self.entries):
            self.entries = [(min(t, now_s), service, cost) for t, service, cost in self.entries]

    def means(self, service: str, limits: ClusterLimits, now_s: float) -> Means:
        """By what was changed less than a window ago."""
        spent = sum(c for t, _, c in self.entries if t >= now_s - limits.budget_window_s)
        busy = {name for t, name, _ in self.entries if t >= now_s - limits.change_window_s}
        waits = service not in busy and len(busy) >= limits.services_at_once
        return Means(max(0.0, limits.budget - spent), waits)


def price(limits: Limits, present: Sequence[Want], wants: Sequence[Want]) -> float:
    """Of the replicas that are added."""
    prices = {backend.name: backend.price for backend in limits.backends}
    rows = zip(wants, present, strict=True)
    return sum(max(0, want.replicas - now.replicas) * prices[want.name] for want, now in rows)


def ceiling(facts: Any, is_open: bool, now_s: float) -> str:
    """The highest mode that the facts leave."""
    if (
        facts.stopped
        or facts.foreign_writer
        or facts.not_leading
        or (facts.newest_epoch != facts.epoch and facts.newest_epoch[0] >= facts.epoch[0])
        or not 0 <= now_s <= min(facts.deadline_s, 2.5e11)
    ):
        return "shadow"
    leased = facts.lease.from_s - 1 <= now_s < facts.lease.until_s
    return "guarded" if leased and is_open and now_s >= facts.cooling_until_s else "approve"


def broken_by_mode(mode: str, highest: str, standing: str) -> Iterator[str]:
    """``standing`` is the mode that holds of the one that was set."""
    if standing != min(mode, highest, key=RUNGS.index):
        yield "the lowest ceiling holds"


def broken_by_acting(
    present: Sequence[Want], verdict: Verdict, mode: str, act: Sequence[Want]
) -> Iterator[str]:
    """``act`` is what is written without asking anybody."""
    now = {want.name: want for want in present}
    allowed = {want.name: want for want in verdict.backends}
    for want in act:
        was, may = now[want.name], allowed[want.name]
        if mode in ("shadow", "approve"):
            yield "shadow and approve write nothing"
        if mode == "assist" and (want.replicas < was.replicas or want.weight != was.weight):
            yield "assist only adds"
        if want.replicas not in (was.replicas, may.replicas) or want.weight not in (
            was.weight,
            may.weight,
        ):
            yield "nothing beyond the verdict"


@dataclass(slots=True)
class Watched:
    """Own writes, (time_s, what they replaced), and what came after them.

    ``harmless``: no more was missed than allowed since the oldest; ``ruined``: how many samples
    came after the newest, unless one was ``spared`` from missing everything.
    """

    actions: list[tuple[float, tuple[Want, ...]]] = field(default_factory=list)
    sampled_s: float = 0.0
    harmless: bool = True
    ruined: int = 0
    spared: bool = False

    def set_clock(self, now_s: float, limits: Limits) -> None:
        """Forget what has been watched for long enough."""
        self.sampled_s = min(self.sampled_s, now_s)
        recent = [(min(t, now_s), was) for t, was in self.actions if now_s - t <= limits.verify_s]
        self.actions = recent
        self.harmless |= not recent

    def write(self, now_s: float, before: tuple[Want, ...]) -> None:
        """Something was written in the place of ``before``."""
        self.actions.append((now_s, before))
        self.ruined, self.spared = 0, False

    def sample(self, now_s: float, requests: int, misses: int, allowed: float) -> None:
        """``misses`` of ``requests`` that just ended; up to the share ``allowed`` is no harm."""
        is_news = now_s > self.sampled_s
        self.sampled_s = max(self.sampled_s, now_s)
        if not is_news or not self.actions:
            return
        self.harmless &= misses <= allowed * requests
        if now_s > self.actions[-1][0]:
            self.ruined += 1
            self.spared |= misses < requests

    def broken(self, found: Any) -> Iterator[str]:
        """``found`` is the regression that the guard sees, if any."""
        if found is None:
            if self.actions and self.ruined >= 3 and not self.spared:
                yield "a regression is found"
            return
        if (found.time_s, found.before) not in self.actions:
            yield "only a recent action is taken back"
        if self.harmless:
            yield "a harmless action stays"
