"""Gate and ask: which part of what the guard allows, mode and approvals let through."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import NamedTuple

from trimtab_controller.approvals import Approvals, Request
from trimtab_controller.memory import Outcome
from trimtab_guard.model import Proposal, Verdict, Want
from trimtab_guard.modes import Mode, split
from trimtab_guard.reasons import Code


class Permit(NamedTuple):
    """What may be, and what to call the tick when that differs in nothing from what is."""

    wants: tuple[Want, ...]
    otherwise: Outcome


def permit(request: Request, mode: Mode, approvals: Approvals) -> Permit:
    """What ``mode`` may do of the request by itself, and what a human has granted of the rest."""
    if request.then == request.now:
        return Permit(request.now, Outcome.UNCHANGED)
    gate = split(request.now, Verdict(request.service, request.time_s, request.then), mode)
    granted = approvals.granted(replace(request, then=gate.ask))
    if not set(gate.ask) <= set(granted):
        otherwise = Outcome.ASKED
    else:
        otherwise = Outcome.SHADOW if gate.shadow else Outcome.UNCHANGED
    parts = (*gate.act, *granted)
    return Permit(tuple(_joined(want, parts) for want in request.now), otherwise)


def explained(proposal: Proposal, verdict: Verdict) -> Proposal:
    """The proposal, its reason with what a human must know besides: the budget of all services."""
    short = [
        f"all services' budget allows {reason.after:g} of {reason.before:g} {reason.backend}"
        for reason in verdict.reasons
        if reason.code == Code.BUDGET
    ]
    return proposal._replace(why="; ".join((proposal.why, *short))) if short else proposal


def _joined(now: Want, parts: Iterable[Want]) -> Want:
    """``now`` with every change that one of the parts makes to it."""
    replicas, weight = now.replicas, now.weight
    for part in parts:
        if part.name == now.name:
            replicas = part.replicas if part.replicas != now.replicas else replicas
            weight = part.weight if part.weight != now.weight else weight
    return Want(now.name, replicas, weight)
