"""Replicas against a latency that creeps up: more than the policy wants for the load alone."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil

from trimtab_controller.foresight.outlook import Outlook, Remedy
from trimtab_controller.foresight.words import told
from trimtab_guard.model import Proposal, Want
from trimtab_guard.senses import countable

# Of what the policy wants, so much in all: a quarter less work for each replica.
SHARE = 1.25


def widened(proposal: Proposal, outlooks: Sequence[Outlook]) -> Proposal:
    """``proposal`` with more replicas while the latency is to meet its SLO."""
    creeping = next((outlook for outlook in outlooks if outlook.remedy is Remedy.ADD), None)
    if creeping is None:
        return proposal
    wants = tuple(Want(want.name, _more(want.replicas), want.weight) for want in proposal.backends)
    return proposal._replace(backends=wants, why=f"{told(creeping)}; {proposal.why}")


def _more(replicas: int) -> int:
    # A proposal may hold anything: what is no count is left to the guard.
    return ceil(replicas * SHARE) if countable(replicas) else replicas
