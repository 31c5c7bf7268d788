"""The blast radius of a drill: what may be broken on purpose now, and what ends it at once.

Once before each fault `refusal`, and once per tick, before anything else, `breach`. What cannot
be seen counts as missed, unless it is the drill itself that stopped the proxy.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from trimtab_guard.limits import DrillLimits


class Edge(StrEnum):
    """What a drill has run into."""

    STANDING = "STANDING"
    TIME = "TIME"
    BUDGET = "BUDGET"
    UNSEEN = "UNSEEN"
    RADIUS = "RADIUS"
    TOO_FEW = "TOO_FEW"
    PROXY = "PROXY"


class Breach(NamedTuple):
    """Why a fault may not be, or may not stay; ``why`` has the numbers."""

    edge: Edge
    why: str


class Strike(NamedTuple):
    """A fault about to be: of so many replicas, or of the proxy itself, for so long."""

    backend: str = ""
    replicas: int = 0
    lasts_s: float = 0.0
    proxy: bool = False


class Group(NamedTuple):
    """A backend as it is: its ready replicas, how many of them a fault is on, and its share."""

    name: str
    ready: int
    hit: int
    weight: float

    @property
    def untouched(self) -> int:
        """Ready ones that nothing was done to."""
        return self.ready - self.hit


@dataclass(frozen=True, slots=True)
class Blast:
    """A drill as far as it went.

    Its first fault was at ``begun_s``, when ``ready`` replicas were; since then ``killed`` were
    ended, and requests missed for ``missed_s`` seconds of a full outage. They were last seen, or
    hidden by the drill itself, at ``seen_s``. ``barred`` is why trimtab may not act by itself now.
    """

    begun_s: float
    seen_s: float
    ready: int
    groups: tuple[Group, ...]
    killed: int = 0
    missed_s: float = 0.0
    barred: str = ""


def narrower(asked: DrillLimits, allowed: DrillLimits) -> DrillLimits:
    """Of two radiuses the smaller, limit by limit."""
    return DrillLimits(
        replicas_share=min(asked.replicas_share, allowed.replicas_share),
        replicas_left=max(asked.replicas_left, allowed.replicas_left),
        lasts_s=min(asked.lasts_s, allowed.lasts_s),
        error_budget_s=min(asked.error_budget_s, allowed.error_budget_s),
        proxy_s=min(asked.proxy_s, allowed.proxy_s),
    )


def missed(share: float, span_s: float) -> float:
    """Seconds of a full outage in ``span_s``; all of it where no share of misses was seen."""
    return span_s * (share if 0.0 <= share <= 1.0 else 1.0)


def refusal(limits: DrillLimits, strike: Strike, blast: Blast, now_s: float) -> Breach | None:
    """Why this fault may not be now; ``None`` when it may."""
    end_s, most_s = now_s + strike.lasts_s - blast.begun_s, limits.lasts_s
    if not end_s <= most_s:
        return Breach(Edge.TIME, f"it would end after {end_s:.0f} s, the most is {most_s:g} s")
    if strike.proxy and not strike.lasts_s <= limits.proxy_s:
        asked = f"the proxy would be stopped for {strike.lasts_s:g} s"
        return Breach(Edge.PROXY, f"{asked}, the most is {limits.proxy_s:g} s")
    return _too_wide(limits, strike, blast) if strike.replicas else None


def breach(limits: DrillLimits, blast: Blast, stale_s: float, now_s: float) -> Breach | None:
    """What ends a drill at once, with everything undone; ``None`` while it may go on."""
    if blast.barred:
        return Breach(Edge.STANDING, blast.barred)
    if not 0.0 <= (lasted_s := now_s - blast.begun_s) <= limits.lasts_s:
        why = f"faults since {lasted_s:.0f} s, the most is {limits.lasts_s:g} s"
        return Breach(Edge.TIME, why)
    return overspent(limits, blast) or _unsafe(limits, blast, stale_s, now_s)


def overspent(limits: DrillLimits, blast: Blast) -> Breach | None:
    """Whether more requests missed than the drill may cost."""
    if blast.missed_s <= limits.error_budget_s:
        return None
    spent = f"misses worth {blast.missed_s:.1f} s of a full outage"
    return Breach(Edge.BUDGET, f"{spent}, the most is {limits.error_budget_s:g} s")


def _unsafe(limits: DrillLimits, blast: Blast, stale_s: float, now_s: float) -> Breach | None:
    unseen_s = now_s - blast.seen_s
    if not unseen_s <= stale_s:
        return Breach(Edge.UNSEEN, f"nobody has seen how requests fare for {unseen_s:.1f} s")
    for group in blast.groups:
        if group.weight > 0.0 and group.untouched < limits.replicas_left:
            return _too_few(limits, group.name, group.untouched)
    return None


def _too_wide(limits: DrillLimits, strike: Strike, blast: Blast) -> Breach | None:
    hit = blast.killed + sum(group.hit for group in blast.groups) + strike.replicas
    # Seven tenths of ten are seven, also in binary.
    most = math.floor(limits.replicas_share * blast.ready + 1e-9)
    if hit > most:
        part = f"{limits.replicas_share:.0%} of the {blast.ready} that were ready"
        return Breach(Edge.RADIUS, f"{hit} replicas would be hit, the most is {most}, {part}")
    untouched = {group.name: group.untouched for group in blast.groups}
    left = untouched.get(strike.backend, 0) - strike.replicas
    if left < limits.replicas_left:
        return _too_few(limits, strike.backend, left)
    return None


def _too_few(limits: DrillLimits, backend: str, left: int) -> Breach:
    why = f"{max(left, 0)} ready replicas of {backend} left untouched"
    return Breach(Edge.TOO_FEW, f"{why}, the least is {limits.replicas_left}")
