"""What all services may do together: one budget for new replicas, and not all at once.

Each verdict is right for its own service. Ten right verdicts on the same morning can still be
one mistake: of a shared sensor, of a policy, of somebody's configuration.

Once per tick, after all services were judged::

    spending = spending.at(now_s)
    verdicts = ration(plans, limits, spending, now_s)
    spending = spending.with_change(now_s, "web", cost)  # per service really changed
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from trimtab_guard.limits import LONGEST_WINDOW_S, ClusterLimits
from trimtab_guard.model import Reason, Verdict, Want
from trimtab_guard.modes import SAME_SHARE
from trimtab_guard.reasons import Code

CENT = 1e-9
"""What rounding may add to a budget: a tenth three times over is not three tenths."""


class Plan(NamedTuple):
    """What one service was allowed, what it has now, and what a replica of a backend costs."""

    verdict: Verdict
    present: tuple[Want, ...]
    prices: Mapping[str, float]


class Change(NamedTuple):
    """One service that was changed, and the price of its new replicas."""

    time_s: float
    service: str
    cost: float


@dataclass(frozen=True, slots=True)
class Spending:
    """The changes of the past hour, over all services; JSON like `History`."""

    changes: tuple[Change, ...] = ()

    def at(self, now_s: float) -> Spending:
        """Without what is older than any window; a later clock's changes happened by now."""
        recent = (c for c in self.changes if c.time_s >= now_s - LONGEST_WINDOW_S)
        return Spending(tuple(c._replace(time_s=min(c.time_s, now_s)) for c in recent))

    def with_change(self, now_s: float, service: str, cost: float) -> Spending:
        """Remember a change that was really made."""
        return Spending((*self.changes, Change(now_s, service, cost)))

    def cost(self, since_s: float) -> float:
        """What was spent at or after ``since_s``."""
        return math.fsum(change.cost for change in self.changes if change.time_s >= since_s)

    def services(self, since_s: float) -> frozenset[str]:
        """Who was changed at or after ``since_s``."""
        return frozenset(change.service for change in self.changes if change.time_s >= since_s)

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers, lists and dicts: what ``json.dumps`` takes."""
        return {"changes": [list(change) for change in self.changes]}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Spending:
        """The inverse of ``to_dict``; ``ValueError`` when ``data`` is something else."""
        try:
            rows = ((float(at), str(name), float(cost)) for at, name, cost in data["changes"])
            return cls(tuple(Change(*row) for row in rows))
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"not a spending ({error!r}); start with an empty one") from error


def cost(plan: Plan) -> float:
    """The price of the replicas that the plan adds."""
    return math.fsum(
        max(0, want.replicas - now.replicas) * plan.prices[want.name] for want, now in _pairs(plan)
    )


def ration(
    plans: Iterable[Plan], limits: ClusterLimits, spending: Spending, now_s: float
) -> tuple[Verdict, ...]:
    """The verdicts of ``plans``, cut to what all may do together; first listed, first served.

    Only growth costs. A service that may not change now keeps what it has, and one that has
    changed within the window may go on.
    """
    left = limits.budget - spending.cost(now_s - limits.budget_window_s)
    busy = spending.services(now_s - limits.change_window_s)
    verdicts = []
    for plan in plans:
        paid = _paid(plan, left)
        service = paid.verdict.service
        if _changes(paid) and service not in busy and len(busy) >= limits.services_at_once:
            paid = _held(paid, Reason(Code.CROWD, "", len(busy) + 1, limits.services_at_once))
        if _changes(paid):
            busy |= {service}
            left -= cost(paid)
        verdicts.append(paid.verdict)
    return tuple(verdicts)


def _paid(plan: Plan, left: float) -> Plan:
    wants, reasons = [], []
    for want, now in _pairs(plan):
        price = plan.prices[want.name]
        affordable = max(0, math.floor((left + CENT) / price))
        allowed = min(want.replicas, now.replicas + affordable)
        if allowed != want.replicas:
            reasons.append(Reason(Code.BUDGET, want.name, want.replicas, allowed))
        left -= max(0, allowed - now.replicas) * price
        wants.append(replace(want, replicas=allowed))
    return _with(plan, tuple(wants), reasons)


def _held(plan: Plan, reason: Reason) -> Plan:
    return _with(plan, tuple(now for _, now in _pairs(plan)), [reason])


def _with(plan: Plan, wants: tuple[Want, ...], reasons: list[Reason]) -> Plan:
    verdict = plan.verdict
    told = (*verdict.reasons, *reasons)
    return plan._replace(verdict=replace(verdict, backends=wants, reasons=told))


def _changes(plan: Plan) -> bool:
    return any(
        want.replicas != now.replicas or abs(want.weight - now.weight) >= SAME_SHARE
        for want, now in _pairs(plan)
    )


def _pairs(plan: Plan) -> tuple[tuple[Want, Want], ...]:
    """Each want of the verdict, and what is there now."""
    present = {now.name: now for now in plan.present}
    return tuple((want, present[want.name]) for want in plan.verdict.backends)
