"""The policy over the simulator as the daemon would run it: same codec, same bundle, same guard.

What it wants, it gets: no human is asked, and no autoscaler is underneath.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from trimtab_agents.bundle import PpoPolicy
from trimtab_agents.proposer import Proposer
from trimtab_agents.rules.baseline import baseline
from trimtab_controller.config import ServiceConfig
from trimtab_guard.guard import judge
from trimtab_guard.history import History
from trimtab_guard.model import BackendState, Proposal, Reading, State, Verdict, Want
from trimtab_sim.profile import Floats, Profiles
from trimtab_sim.signals import Sensed, Wanted


class Steered:
    """``worlds`` copies of a service, each with a guard's memory of its own.

    The policy knows the service by its configured profile, whatever profile it plays in.
    ``start_s`` is the time of the first tick.
    """

    def __init__(
        self,
        service: ServiceConfig,
        bundle: PpoPolicy,
        worlds: int,
        start_s: float,
        tick_s: float,
        speed: float,
    ) -> None:
        self.name = bundle.name
        self._service = service
        self._limits = replace(service.limits, interval_s=tick_s)
        self._start_s = start_s
        self._judged_ticks = self._changed_ticks = 0
        self._histories = [History.empty(0.0)] * worlds
        prices = [service.spec.miss_price] * worlds
        profiles = [service.profile] * worlds
        self._proposer = Proposer(bundle.fresh(), profiles, prices, tick_s, speed)

    def reset(self, profiles: Profiles, miss_price: Floats, tick_s: float) -> None:
        """Made for its worlds already."""

    def act(self, sensed: Sensed) -> Wanted:
        """What the guard allows of what the policy proposes, in every world."""
        states = [self._state(sensed, row) for row in range(len(self._histories))]
        wants = [
            self._judged(row, state, proposal)
            for row, (state, proposal) in enumerate(
                zip(states, self._proposer.propose(states), strict=True)
            )
        ]
        return Wanted(
            replicas=np.array([[float(want.replicas) for want in row] for row in wants]),
            weight=np.array([[want.weight for want in row] for row in wants]),
            demand_rps=sensed.rate_rps,
        )

    @property
    def interventions(self) -> float:
        """Share of the proposals that the guard changed, in the first world."""
        return self._changed_ticks / max(self._judged_ticks, 1)

    def _judged(self, row: int, state: State, proposal: Proposal) -> Sequence[Want]:
        history = self._histories[row]
        known = history.with_state(state)
        self._histories[row] = known.with_proposal(proposal)
        rule = baseline(state, self._service.profile)
        verdict: Verdict = judge(
            proposal, rule, state, self._limits, history, state.time_s, known=known
        )
        if row == 0:
            self._judged_ticks += 1
            self._changed_ticks += bool(verdict.reasons)
        return verdict.backends or [Want(b.name, b.wanted, b.weight) for b in state.backends]

    def _state(self, sensed: Sensed, row: int) -> State:
        now_s = self._start_s + float(sensed.time_s[row])
        read_s = now_s - float(sensed.age_s[row])

        def reading(values: Floats, place: int) -> Reading:
            return Reading(float(values[row, place]), read_s)

        backends = tuple(
            BackendState(
                name=name,
                wanted=int(sensed.wanted[row, k]),
                starting=int(sensed.starting[row, k]),
                ready=int(sensed.ready[row, k]),
                draining=int(sensed.draining[row, k]),
                weight=float(sensed.weight[row, k]),
                rate_rps=reading(sensed.rate_rps, k),
                in_flight=reading(sensed.in_flight, k),
            )
            for k, name in enumerate(self._service.backends)
        )
        unread = Reading(float("nan"), read_s)
        miss_share = Reading(float(sensed.miss_share[row]), read_s)
        return State(self._service.name, now_s, now_s, backends, unread, unread, miss_share)
