"""One service of a life, with what the guard and the checker remember of it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

from trimtab_controller.guard_bench.ceilings import Watched
from trimtab_controller.guard_bench.copies import Guard
from trimtab_controller.guard_bench.hostile import LEADERS, Policy, disguised
from trimtab_controller.guard_bench.past import Past
from trimtab_controller.guard_bench.world import Service
from trimtab_guard.limits import Limits
from trimtab_guard.model import Proposal, State, Want


@dataclass(slots=True)
class Steered:
    """A service, both memories of it, and for how many ticks yet its policy stays.

    ``history`` and ``verification`` are the guard's, ``past`` and ``watched`` the checker's;
    ``ruin_ticks``: for how long yet everything misses.
    """

    service: Service
    history: Any
    past: Past
    verification: Any
    watched: Watched = field(default_factory=Watched)
    leader: Policy = LEADERS[0]
    proposal: Proposal | None = None
    stays_ticks: int = 0
    in_envelope: bool = True
    ruin_ticks: int = 0

    @classmethod
    def begin(cls, guard: Guard, service: Service, now_s: float) -> Steered:
        """Without any memory."""
        history = guard.history.History.empty(now_s)
        return cls(service, history, Past(now_s), guard.verification.Verification())

    def restart(self, guard: Guard) -> None:
        """The guard's memory goes through the journal and back."""
        self.history = guard.history.History.from_dict(_stored(self.history))
        self.verification = guard.verification.Verification.from_dict(_stored(self.verification))

    def in_force(self, rng: Random, truth: State, turn: int) -> Proposal:
        """A policy stays for a while; a decision holds for a few ticks."""
        if not self.stays_ticks:
            self.leader, self.stays_ticks = rng.choice(LEADERS), rng.choice((3, 20, 60))
            self.in_envelope = rng.random() < 0.95
        self.stays_ticks -= 1
        if self.proposal is None or rng.random() < 0.5:
            fresh = proposed(rng, self.leader, truth, self.service.limits, turn)
            self.proposal = fresh._replace(in_envelope=self.in_envelope)
        return self.proposal

    def write(self, now_s: float, wants: Sequence[Want]) -> None:
        """What is wanted is there, and both memories know it."""
        for pool, want in zip(self.service.pools, wants, strict=True):
            if want.replicas != pool.wanted:
                change = now_s, pool.name, pool.wanted, want.replicas
                self.past.change(*change)
                self.history = self.history.with_change(*change)
            pool.wanted, pool.weight = want.replicas, want.weight


def proposed(rng: Random, policy: Policy, truth: State, limits: Limits, turn: int) -> Proposal:
    """What a policy wants now; at times there is something wrong with it."""
    wants = policy(rng, truth, limits, turn)
    proposal = Proposal(truth.service, policy.__name__, truth.time_s, wants)
    return disguised(rng, proposal) if rng.random() < 0.15 else proposal


def _stored(value: Any) -> Any:
    return json.loads(json.dumps(value.to_dict()))
