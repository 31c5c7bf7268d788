"""Undo: what recent writes replaced, and the write that brings it back."""

from __future__ import annotations

from collections.abc import Iterable

from trimtab_controller.act import intend, targets
from trimtab_controller.protocols import Intent, StageReport
from trimtab_guard.authority import Epoch
from trimtab_guard.limits import Limits
from trimtab_guard.model import Proposal, Verdict, Want


def replaced(changes: Iterable[Intent]) -> tuple[Want, ...]:
    """The fields before ``changes``, oldest first: the most replicas before any, the first shares.

    Nothing when there are none.
    """
    first, *later = [intent.before for intent in changes] or [()]
    for before in later:
        first = tuple(map(_higher, first, before))
    return first


def undoing(
    limits: Limits,
    now_s: float,
    report: StageReport,
    before: tuple[Want, ...],
    allowed: Verdict,
    epoch: Epoch,
) -> Intent | None:
    """The write that brings ``before`` back as far as ``allowed``, or ``None`` when all is so."""
    wish = Proposal(limits.service, "undo", now_s, before)
    wants = targets(report, allowed, wish, fresh=True)
    intent = intend(limits, now_s, report, wants, epoch)
    return intent._replace(undoes=True) if intent else None


def _higher(first: Want, later: Want) -> Want:
    return first._replace(replicas=max(first.replicas, later.replicas))
