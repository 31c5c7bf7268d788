"""The bound is the optimum of its own program, and no policy in the simulator beats it."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trimtab_agents.bench.cells import TICK_S, Cell
from trimtab_agents.bench.play import Batch, play, play_bound
from trimtab_agents.bound import lower_bound
from trimtab_agents.rules.hpa import HpaRule
from trimtab_agents.rules.target import TargetRule
from trimtab_sim.profile import BackendProfile, Floats, Profile, Profiles
from trimtab_sim.signals import Sensed, Wanted


def optimum(requests: list[float], profile: Profile, miss_price: float, initial: int) -> float:
    """Least cost in replica-seconds, by trying every number kept, started, and landing time."""
    backend = profile.backends[0]
    replica_rps = backend.concurrency / backend.service_time_s
    serves = replica_rps * (TICK_S + profile.slo_latency_s)

    @cache
    def cost(tick: int, ready: int) -> float:
        if tick == len(requests):
            return 0.0
        return min(
            kept_and_landed(tick, kept, landed)
            for kept in range(ready + 1)
            for landed in range(backend.max_replicas - kept + 1)
            if kept + landed >= backend.min_replicas
        )

    def kept_and_landed(tick: int, kept: int, landed: int) -> float:
        # The cost is convex in the time for which the landed are ready: its kink or an end.
        kink = np.clip(requests[tick] / serves - kept, 0, landed)
        busy = min(work(tick, kept + part) for part in (0.0, landed, float(kink)))
        return landed * backend.startup_mean_s + busy + cost(tick + 1, kept + landed)

    def work(tick: int, replicas: float) -> float:
        misses = max(requests[tick] - serves * replicas, 0.0)
        return TICK_S * replicas + miss_price / replica_rps * misses

    return cost(0, initial)


@settings(max_examples=200)
@given(
    requests=st.lists(st.floats(0, 1500), min_size=1, max_size=7),
    startup_s=st.sampled_from([0.0, 1.0, 5.0, 12.0, 60.0]),
    miss_price=st.sampled_from([0.0, 0.5, 2.0, 10.0, 250.0]),
    initial=st.integers(0, 3),
    most=st.integers(1, 4),
)
def test_bound_is_the_optimum_of_the_relaxed_program(
    requests: list[float], startup_s: float, miss_price: float, initial: int, most: int
) -> None:
    initial = min(initial, most)
    backend = BackendProfile("b", startup_mean_s=startup_s, min_replicas=0, max_replicas=most)
    profile = Profile("service", (backend,))
    bound = lower_bound(
        np.array(requests)[:, None],
        Profiles.stack([profile]),
        np.array([miss_price]),
        np.array([float(initial)]),
        TICK_S,
    )
    cost = bound.billed_s + miss_price / 80.0 * bound.misses.sum(0)
    assert cost == pytest.approx(optimum(requests, profile, miss_price, initial))


def test_bound_is_for_one_backend() -> None:
    two = Profile("service", (BackendProfile("a"), BackendProfile("b")))
    with pytest.raises(ValueError, match="one backend"):
        lower_bound(np.ones((3, 1)), Profiles.stack([two]), np.ones(1), np.ones(1), TICK_S)


def test_minimum_is_billed_and_serves() -> None:
    backend = BackendProfile("b", min_replicas=2)
    profiles = Profiles.stack([Profile("service", (backend,))])
    arrived = np.array([[848.0], [0.0], [848.0]])
    bound = lower_bound(arrived, profiles, np.array([10.0]), np.array([2.0]), TICK_S)
    assert (bound.replicas == 2.0).all()
    assert bound.billed_s == 2 * 3 * TICK_S
    assert bound.misses.sum() == 0.0


class Clairvoyant:
    """Starts what the bound's plan needs just early enough: the hardest opponent at hand."""

    name = "clairvoyant"

    def __init__(self, plan: Floats, startup_s: float, headroom: float) -> None:
        ahead = round(startup_s / TICK_S) + 1
        padded = np.concatenate([plan, np.repeat(plan[-1:], ahead, axis=0)])
        windows = np.lib.stride_tricks.sliding_window_view(padded, ahead, axis=0)
        self._wanted = np.ceil(headroom * windows.max(-1))
        self._tick = -1

    def reset(self, *_: object) -> None:
        self._tick = -1

    def act(self, sensed: Sensed) -> Wanted:
        self._tick = min(self._tick + 1, len(self._wanted) - 1)
        return Wanted(self._wanted[self._tick][:, None], sensed.weight, sensed.rate_rps)


class Erratic:
    """Wants another number of replicas at every tick."""

    name = "erratic"

    def __init__(self, seed: int) -> None:
        self._rng = np.random.default_rng(seed)

    def reset(self, *_: object) -> None:
        """Nothing to forget."""

    def act(self, sensed: Sensed) -> Wanted:
        noise = self._rng.integers(-3, 4, sensed.wanted.shape)
        return Wanted(sensed.wanted + noise, sensed.weight, sensed.rate_rps)


@pytest.mark.parametrize("startup_s", [2.0, 10.0, 120.0])
def test_no_policy_beats_the_bound(startup_s: float) -> None:
    """Calm and wild loads, cheap and dear misses; also against a policy that knows the plan."""
    rng = np.random.default_rng(round(startup_s))
    prices, shapes, ticks = (1.0, 10.0, 250.0), (0.0, 0.3, 1.5), 480
    cell = Cell("load", 0, 0.0, startup_s, 10.0, 0.0, 0.0, seed=1)
    cells = tuple(replace(cell, miss_price=price) for price in prices for _ in shapes)
    steps = rng.lognormal(0.0, shapes * len(prices), (ticks // 12, len(cells)))
    rate_rps = 400.0 * steps.repeat(12, axis=0)
    batch = Batch(cells, Profiles.stack([c.profile for c in cells]), rate_rps)
    first = play(batch, HpaRule(0.7))
    bound = play_bound(batch, first.requests)
    policies = [
        Erratic(0),
        TargetRule(0, 1.1, 0.0),
        TargetRule(1, 1.3, 60.0),
        *(Clairvoyant(bound.replicas, startup_s, headroom) for headroom in (0.9, 1.0, 1.2, 1.4)),
    ]
    outcomes = [first, *(play(batch, policy) for policy in policies)]
    best = np.min([outcome.score() for outcome in outcomes], axis=0)
    assert (bound.score() < best).all()
    assert (best < 1.3 * bound.score()).any(), "the opponents must be good enough to mean anything"
