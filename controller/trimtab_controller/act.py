"""Act: turns what is allowed into one write, sends it once, and settles what stayed open."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import fsum

from trimtab_controller.memory import OutcomeRecord
from trimtab_controller.protocols import (
    Ask,
    BackendReport,
    Intent,
    Stage,
    StageError,
    StageRefusedError,
    StageReport,
)
from trimtab_guard.authority import Epoch
from trimtab_guard.limits import Limits
from trimtab_guard.model import Proposal, Verdict, Want
from trimtab_guard.modes import SAME_SHARE

# A write that got no answer may still arrive for this long; until then nothing else is written.
SETTLE_S = 3.0


def fields(report: StageReport) -> tuple[Want, ...]:
    """The fields that trimtab owns, as they are: floors and shares."""
    return tuple([Want(b.name, b.floor, b.weight) for b in report.backends])


def targets(
    report: StageReport, verdict: Verdict, proposal: Proposal, *, fresh: bool
) -> tuple[Want, ...]:
    """The fields as ``verdict`` would have them; ``fresh``: it was made on fresh readings."""
    decided = {want.name: want for want in verdict.backends}
    proposed = {want.name: want.replicas for want in proposal.backends} if fresh else {}
    return tuple(
        [
            Want(b.name, _floor(b, decided[b.name].replicas, proposed), decided[b.name].weight)
            for b in report.backends
        ]
    )


def _floor(backend: BackendReport, decided: int, proposed: Mapping[str, int]) -> int:
    """The floor that makes ``decided`` replicas out of what the autoscaler underneath holds.

    Up to what is wanted already, a floor only keeps what the policy needs from going. What the
    guard alone wants to keep, because it slows a scale-down, is left to the autoscaler.
    """
    if decided > backend.wanted:
        return decided
    needed = max(proposed.get(backend.name, 0), backend.floor)
    # A proposal may hold anything; what comes out lies between the floor and what was decided.
    return int(min(decided, needed))


def intend(
    limits: Limits, now_s: float, report: StageReport, wants: Iterable[Want], epoch: Epoch
) -> Intent | None:
    """The write that brings the stage's fields to ``wants``, or ``None`` when nothing differs."""
    wanted = {want.name: want for want in wants}
    # Shares only make sense together: when one moves, all are written.
    routes = any(abs(wanted[b.name].weight - b.weight) >= SAME_SHARE for b in report.backends)
    asks = tuple(
        Ask(
            backend=b.name,
            wanted=b.wanted,
            floor=floor if (floor := wanted[b.name].replicas) != b.floor else None,
            weight=wanted[b.name].weight if routes else None,
        )
        for b in report.backends
    )
    asks = tuple(ask for ask in asks if ask.floor is not None or ask.weight is not None)
    return _intent(limits, now_s, report, asks, epoch) if asks else None


def restart(
    limits: Limits, now_s: float, report: StageReport, name: str, why: str, epoch: Epoch
) -> Intent:
    """The write that has the replicas of the backend ``name`` replaced, one after the other."""
    asks = tuple(
        Ask(b.name, b.wanted, floor=None, weight=None, restart=True)
        for b in report.backends
        if b.name == name
    )
    return _intent(limits, now_s, report, asks, epoch, why)


def _intent(
    limits: Limits,
    now_s: float,
    report: StageReport,
    asks: tuple[Ask, ...],
    epoch: Epoch,
    why: str = "",
) -> Intent:
    return Intent(
        # One decision per leader, version and moment: this names the action, also after a restart.
        f"{limits.service}@{report.version}@{now_s!r} by {epoch.leader}",
        limits.service,
        now_s,
        report.version,
        asks,
        before=fields(report),
        epoch=epoch,
        cost=_cost(asks, limits),
        why=why,
    )


def _cost(asks: Iterable[Ask], limits: Limits) -> float:
    """What the new replicas take of the budget; up to what is wanted, there are none."""
    prices = {backend.name: backend.price for backend in limits.backends}
    floors = ((prices[ask.backend], ask.floor or 0, ask.wanted) for ask in asks)
    return fsum(price * max(0, floor - wanted) for price, floor, wanted in floors)


def send(stage: Stage, intent: Intent, now_s: float) -> OutcomeRecord:
    """Send a journalled intent; raises `StageError` when it stays open whether it arrived."""
    try:
        version = stage.apply(intent)
    except StageRefusedError as error:
        return _outcome(intent, now_s, applied=False, version=intent.version, error=str(error))
    return _outcome(intent, now_s, applied=True, version=version)


def settle(
    stage: Stage, intent: Intent, report: StageReport, now_s: float, stale_s: float
) -> OutcomeRecord:
    """Find out what became of an intent without ever acting on it anew; raises `StageError`.

    While the version is still the intent's, nothing has arrived. Once it has moved on, asking
    again with the same request_id can only be answered from the stage's own memory.
    """
    if report.version != intent.version:
        return send(stage, intent, now_s)
    # It may have been sent up to ``stale_s`` after it was decided, by a daemon that then died.
    if abs(now_s - intent.time_s) < stale_s + SETTLE_S:
        raise StageError("waiting for a write that was not answered")
    return withdraw(intent, now_s, "the stage never had it")


def withdraw(intent: Intent, now_s: float, why: str) -> OutcomeRecord:
    """The outcome of an intent that was not sent, or never arrived."""
    return _outcome(intent, now_s, applied=False, version=intent.version, error=why)


def _outcome(
    intent: Intent, now_s: float, *, applied: bool, version: str, error: str = ""
) -> OutcomeRecord:
    return OutcomeRecord(intent.service, now_s, intent.request_id, applied, version, error)
