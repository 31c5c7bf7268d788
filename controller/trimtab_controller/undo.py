"""Undo: the fields as recent changes found them, without taking any capacity away."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from trimtab_controller.act import fields
from trimtab_controller.protocols import Intent, StageReport
from trimtab_guard.model import Want


def undone(report: StageReport, changes: Iterable[Intent]) -> tuple[Want, ...]:
    """The fields without ``changes``, oldest first.

    Replicas come back to the most there were before any of them, or stay; shares come back to
    what the first found, unless one would go to a backend that cannot serve now.
    """
    now, befores = fields(report), [intent.before for intent in changes]
    for before in befores:
        now = tuple(map(_higher, now, before))
    ready = {backend.name: backend.ready > 0 for backend in report.backends}
    shares = befores[0] if befores else ()
    if not all(ready[want.name] for want in shares if want.weight > 0):
        return now
    return tuple(
        replace(want, weight=before.weight) for want, before in zip(now, shares or now, strict=True)
    )


def _higher(now: Want, before: Want) -> Want:
    return replace(now, replicas=max(now.replicas, before.replicas))
