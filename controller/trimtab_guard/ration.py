"""What all services may do together: one budget for new replicas, and not all at once.

Each verdict is right for its own service. Ten right verdicts on the same morning can still be
one mistake: of a shared sensor, of a policy, of somebody's configuration.

A purse goes from service to service, in the order in which they are listed::

    purse = Purse.counted(limits, changes, now_s)  # every tick: what is left after the last ones
    verdict = judge(..., purse)
    purse = purse.after(change)  # when something will be done about it
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from trimtab_guard.limits import LONGEST_WINDOW_S, ClusterLimits, Limits
from trimtab_guard.model import Reason, State, Verdict, Want
from trimtab_guard.modes import SAME_SHARE
from trimtab_guard.reasons import Code

CENT = 1e-9
"""What rounding may add to a budget: a tenth three times over is not three tenths."""


class Change(NamedTuple):
    """One service that was changed, and the price of its new replicas.

    ``time_s`` is infinite while it is not known whether it was.
    """

    time_s: float
    service: str
    cost: float


def recent(changes: Iterable[Change], now_s: float) -> tuple[Change, ...]:
    """Without what is older than any window; a later clock's changes happened by now."""
    known = (change for change in changes if change.time_s >= now_s - LONGEST_WINDOW_S)
    return tuple(change._replace(time_s=min(change.time_s, now_s)) for change in known)


@dataclass(frozen=True, slots=True)
class Purse:
    """What is left of the budget, which services are changing, and how many may at once."""

    left: float = math.inf
    busy: frozenset[str] = frozenset()
    at_once: float = math.inf

    @classmethod
    def counted(cls, limits: ClusterLimits, changes: Iterable[Change], now_s: float) -> Purse:
        """What ``changes``, of all services, leave of what ``limits`` allow."""
        changes = tuple(changes)
        paid = (c.cost for c in changes if c.time_s >= now_s - limits.budget_window_s)
        busy = (c.service for c in changes if c.time_s >= now_s - limits.change_window_s)
        return cls(limits.budget - math.fsum(paid), frozenset(busy), limits.services_at_once)

    def after(self, *changes: Change) -> Purse:
        """What is left for whoever comes next."""
        paid = math.fsum(change.cost for change in changes)
        return Purse(self.left - paid, self.busy | {c.service for c in changes}, self.at_once)

    def crowd(self, service: str) -> Reason | None:
        """Why ``service`` may not begin to change now; who has begun may go on."""
        if service in self.busy or len(self.busy) < self.at_once:
            return None
        return Reason(Code.CROWD, "", len(self.busy) + 1, self.at_once)


BOTTOMLESS = Purse()
"""For one service on its own."""


def waiting(verdict: Verdict, must: Verdict, crowd: Reason) -> Verdict:
    """``must`` instead, when the verdict goes any further than what the service cannot choose."""
    differs = any(
        want.replicas != least.replicas or abs(want.weight - least.weight) >= SAME_SHARE
        for want, least in zip(verdict.backends, must.backends, strict=True)
    )
    if not differs:
        return verdict
    return verdict._replace(backends=must.backends, reasons=(*verdict.reasons, crowd))


def paid(verdict: Verdict, state: State, limits: Limits, purse: Purse) -> Verdict:
    """The verdict without the new replicas that the purse cannot pay. All else is free."""
    pairs = zip(verdict.backends, state.backends, strict=True)
    if all(want.replicas <= now.wanted for want, now in pairs):
        return verdict
    left, wants, reasons = purse.left, [], []
    prices = {backend.name: backend.price for backend in limits.backends}
    for want, now in zip(verdict.backends, state.backends, strict=True):
        bought = _bought(want.replicas - now.wanted, prices[want.name], left)
        left -= bought * prices[want.name]
        allowed = min(want.replicas, now.wanted + bought)
        if allowed != want.replicas:
            reasons.append(Reason(Code.BUDGET, want.name, want.replicas, allowed))
        wants.append(Want(want.name, allowed, want.weight))
    told = (*verdict.reasons, *reasons)
    return Verdict(verdict.service, verdict.time_s, tuple(wants), told)


def _bought(growth: int, price: float, left: float) -> int:
    """How many of so many new replicas there is money for."""
    return max(0, int(min(growth, (left + CENT) / price)))
