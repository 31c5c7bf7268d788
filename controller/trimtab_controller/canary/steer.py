"""What a trial makes of a proposal: shares by its plan, and the replicas that carry them."""

from __future__ import annotations

import math

from trimtab_controller.canary.trial import UNEQUAL, Phase, Trial
from trimtab_guard.model import Proposal, State, Want
from trimtab_guard.modes import SAME_SHARE


def steered(trial: Trial, proposal: Proposal, state: State) -> Proposal:
    """``proposal`` with the trial's shares of what it gives both versions together.

    Each gets its part of the replicas as well, and the new version's share waits for them: one
    that is short of replicas would lose for that. A proposal that lacks one of the two is left to
    the guard.
    """
    wants = {want.name: want for want in proposal.backends}
    old, new = wants.get(trial.plan.old), wants.get(trial.plan.new)
    if old is None or new is None:
        return proposal
    weight, replicas = old.weight + new.weight, old.replicas + new.replicas
    share = _carried(trial, state)
    wants[old.name] = Want(
        old.name, math.ceil(replicas * (1.0 - trial.share)), weight * (1.0 - share)
    )
    wants[new.name] = Want(new.name, math.ceil(replicas * trial.share), weight * share)
    return proposal._replace(backends=tuple(wants.values()), why=f"{trial}; {proposal.why}")


def _carried(trial: Trial, state: State) -> float:
    """The trial's share, or less while its ready replicas would have more to do than may be."""
    ready = {backend.name: backend.ready for backend in state.backends}
    old, new = ready.get(trial.plan.old, 0), ready.get(trial.plan.new, 0)
    if not (trial.runs and old):
        return trial.share
    most = (1.0 + UNEQUAL) * new / old
    return min(trial.share, most / (1.0 + most))


def given_back(trial: Trial, state: State) -> tuple[Want, ...]:
    """What is, but with all of the new version's share at the old one; nothing when it is so."""
    shares = {backend.name: backend.weight for backend in state.backends}
    old, new = trial.plan.old, trial.plan.new
    if trial.phase is not Phase.GIVEN_BACK or old not in shares or shares.get(new, 0) < SAME_SHARE:
        return ()
    shares[old], shares[new] = shares[old] + shares[new], 0.0
    return tuple(Want(b.name, b.wanted, shares[b.name]) for b in state.backends)
