"""Scenarios in which routing decides, and who does how well in them.

The routing rules stand on the strongest scaling there is: for every scenario and lambda the
best setting of a grid, in hindsight, on the very load that is scored. The policy knows nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np

from trimtab_agents.bench.cells import TICK_S
from trimtab_agents.bench.contest import Player
from trimtab_agents.bench.verdict import LEARNER
from trimtab_agents.bench.work import Arrays, fingerprint
from trimtab_agents.policy import Policy
from trimtab_agents.rules.routing import ROUTES, RoutedRule
from trimtab_agents.training.config import TRAIN_TRACES
from trimtab_envs.memory import ESTIMATES
from trimtab_sim.profile import BackendProfile, Floats, Profile, Profiles
from trimtab_sim.signals import Sensed
from trimtab_sim.simulator import Simulator
from trimtab_sim.traces import Trace

MISS_PRICES = (10.0, 50.0, 250.0)
HOURS, SIZE, LAG_S = 2.0, 10.0, 15.0
MOST_TRACES = 4
OPENING_TICKS = 12
ESTIMATES_TRIED = ESTIMATES.index("noise"), ESTIMATES.index("surge95")
HEADROOMS, HOLDS_S, FULL = (0.95, 1.2, 1.5, 2.0, 3.0), (60.0, 600.0), (0.45, 0.6, 0.8)

PLAIN = BackendProfile("plain", startup_mean_s=45.0)


@dataclass(frozen=True, slots=True)
class Scenario:
    """Backends, and how many times slower each serves in the middle third of the time."""

    backends: tuple[BackendProfile, ...]
    slower: tuple[float, ...] = ()


SCENARIOS: Mapping[str, Scenario] = {
    "one_slower": Scenario((PLAIN, replace(PLAIN, service_time_s=0.1))),
    "one_dearer": Scenario((PLAIN, replace(PLAIN, price=2.0))),
    "one_small": Scenario((replace(PLAIN, price=0.5, max_replicas=5), PLAIN)),
    "three_zones": Scenario((PLAIN, replace(PLAIN, price=0.7, max_replicas=8), PLAIN)),
    "brown_out": Scenario((PLAIN, PLAIN), slower=(3.0, 1.0)),
    "bad_version": Scenario((PLAIN, PLAIN), slower=(12.0, 1.0)),
}


@dataclass(frozen=True, slots=True)
class Crossing:
    """One player on all scenarios and traces at once."""

    player: str
    loads: Floats  # [T, traces]
    learner: Player

    @property
    def identity(self) -> str:
        """Loads and player."""
        who = self.learner.identity([]) if self.player == LEARNER else self.player
        return f"routing {who} {fingerprint(self.loads)}"

    @property
    def weight(self) -> float:
        """In ticks of the benchmark's own cells."""
        return 2.0 * len(self.loads)

    def run(self) -> Arrays:
        """Mean J over traces and lambdas of every scenario, at the best setting for each."""
        if self.player == LEARNER:
            return {"score": self._learner()}
        return {"score": self._rule()}

    def _learner(self) -> Floats:
        """The policy is told lambda, so each is a row of its own."""
        prices = np.array(MISS_PRICES)
        cells = list(product(SCENARIOS.values(), range(self.loads.shape[1]), prices))
        policy = self.learner.policy([])
        fleet, miss = _played(policy, cells, self.loads)
        score = fleet + np.array([price for _, _, price in cells]) * miss
        return np.asarray(score.reshape(len(SCENARIOS), -1).mean(1))

    def _rule(self) -> Floats:
        traces = self.loads.shape[1]
        cells = list(product(SCENARIOS.values(), range(traces), [0.0]))
        full = FULL if self.player == "waterfall" else FULL[:1]  # others never look at it
        settings = np.array(list(product(ESTIMATES_TRIED, HEADROOMS, HOLDS_S, full)))
        rows = [cell for cell in cells for _ in settings]
        policy = RoutedRule(self.player, *np.tile(settings, (len(cells), 1)).T)
        fleet, miss = _played(policy, rows, self.loads)
        shape = len(SCENARIOS), traces, len(settings)
        scores = [fleet.reshape(shape) + price * miss.reshape(shape) for price in MISS_PRICES]
        # Over traces first: one setting has to serve them all.
        return np.asarray(np.mean([score.mean(1).min(1) for score in scores], axis=0))


def _played(
    policy: Policy, rows: Sequence[tuple[Scenario, int, float]], loads: Floats
) -> tuple[Floats, Floats]:
    """Fleet and miss share of every (scenario, trace, lambda), each ``[B]``."""
    known = Profiles.stack([Profile("route", s.backends, metric_lag_s=LAG_S) for s, _, _ in rows])
    slower = _slower(known, [scenario for scenario, _, _ in rows])
    rate_rps = loads[:, [trace for _, trace, _ in rows]] * (SIZE * 80.0)
    simulator = Simulator(known, TICK_S, np.random.default_rng(0))
    sensed = _opened(simulator, known, rate_rps[0])
    policy.reset(known, np.array([price for _, _, price in rows]), TICK_S)
    billed, misses, requests = np.zeros((3, len(rows)))
    for tick, rates in enumerate(rate_rps):
        if tick in (len(rate_rps) // 3, 2 * len(rate_rps) // 3):
            simulator.adopt(slower if tick < len(rate_rps) / 2 else known)
        wanted = policy.act(sensed)
        seen = simulator.step(rates, wanted.replicas, wanted.weight)
        sensed = seen.sensed
        billed += (seen.billed_s * known.price).sum(1)
        misses += seen.misses
        requests += seen.requests
    least = np.where(known.present, known.price / known.replica_rps, np.inf).min(1)
    return billed / (requests * least), misses / requests


def _opened(simulator: Simulator, known: Profiles, rate_rps: Floats) -> Sensed:
    """What is seen after a minute of the first load, on capacity to spare."""
    share = known.present / known.present.sum(1, keepdims=True)
    replicas = np.ceil(1.4 * rate_rps[:, None] * share / known.replica_rps)
    replicas = replicas.clip(known.min_replicas, known.max_replicas)
    sensed = simulator.reset(replicas, share)
    for _ in range(OPENING_TICKS):
        sensed = simulator.step(rate_rps, replicas, share).sensed
    return sensed


def _slower(known: Profiles, scenarios: Sequence[Scenario]) -> Profiles:
    """What the services are like while their backends are slower than anybody was told."""
    factor = np.ones(known.shape)
    for row, scenario in enumerate(scenarios):
        factor[row, : len(scenario.slower)] = scenario.slower
    return replace(known, service_time_s=known.service_time_s * factor)


def crossings(traces: Mapping[str, Trace], learner: Player | None) -> list[Crossing]:
    """Everyone on the busiest hours of some traces that are long enough, at mean load 1.

    Those held back, where there are any.
    """
    ticks = round(HOURS * 3600.0 / TICK_S)
    held_back = [traces[name] for name in traces if name not in TRAIN_TRACES]
    rates = [trace.rates(TICK_S) for trace in held_back or traces.values()]
    long = [_busiest(rate, ticks) for rate in rates if len(rate) >= ticks][:MOST_TRACES]
    if not long:
        return []
    loads = np.stack(long, axis=1)
    names = [*ROUTES, *([LEARNER] if learner else [])]
    return [Crossing(name, loads, learner or Player(LEARNER)) for name in names]


def _busiest(rates: Floats, ticks: int) -> Floats:
    totals = np.convolve(rates, np.ones(ticks), "valid")
    piece = rates[int(totals.argmax()) :][:ticks]
    return np.asarray(piece / piece.mean())


def scenario_scores(
    crossings: Sequence[Crossing], found: Sequence[Arrays]
) -> dict[str, dict[str, float]]:
    """J by scenario and policy."""
    return {
        name: {
            crossing.player: float(arrays["score"][index])
            for crossing, arrays in zip(crossings, found, strict=True)
        }
        for index, name in enumerate(SCENARIOS if crossings else ())
    }
