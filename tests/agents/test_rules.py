"""The batched HPA equals the scalar one; the baseline only ever adds."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from trimtab_agents.hpa import Hpa, HpaConfig, Pod, ScalingPolicy, Unit
from trimtab_agents.rules.baseline import baseline
from trimtab_agents.rules.hpa import HpaRule
from trimtab_guard.model import BackendState, Reading, State, Want
from trimtab_sim.profile import BackendProfile, Profile, Profiles
from trimtab_sim.simulator import Simulator

TICK_S = 5.0


class PodList:
    """One service's pods, newest last; the newest leave first."""

    def __init__(self) -> None:
        self._ready_s: list[float] = []

    def seen(
        self, now_s: float, ready: int, starting: int, usage: float | None, lag_s: float
    ) -> list[Pod]:
        del self._ready_s[ready:]
        self._ready_s += [now_s if now_s else -math.inf] * (ready - len(self._ready_s))
        pods = [
            Pod(ready_s - 60, True, ready_changed_s=ready_s, usage=usage, sample_s=now_s - lag_s)
            for ready_s in self._ready_s
        ]
        return pods + [Pod(now_s, False, now_s, pending=True)] * starting


SLOW = HpaConfig(
    target=1.0,
    up_stabilization_s=40.0,
    down_stabilization_s=100.0,
    up=(ScalingPolicy(Unit.PERCENT, 30, 50.0), ScalingPolicy(Unit.PODS, 2, 15.0)),
    down=(ScalingPolicy(Unit.PERCENT, 10, 60.0), ScalingPolicy(Unit.PODS, 1, 45.0)),
)


@pytest.mark.parametrize("config", [HpaConfig(1.0), SLOW], ids=["defaults", "slow"])
@pytest.mark.parametrize("lag_s", [0.0, 15.0])
def test_batched_hpa_agrees_with_the_scalar_one(lag_s: float, config: HpaConfig) -> None:
    services, ticks, slots = 6, 300, 4
    backend = BackendProfile("pods", startup_mean_s=40.0, max_replicas=60)
    profiles = Profiles.stack([Profile("service", (backend,), metric_lag_s=lag_s)] * services)
    targets = np.linspace(0.3, 0.9, services)
    rng = np.random.default_rng(7)
    simulator = Simulator(profiles, TICK_S, rng)
    sensed = simulator.reset(np.full((services, 1), 5.0), np.ones((services, 1)))
    rule = HpaRule(targets, config.down_stabilization_s, config=config)
    rule.reset(profiles, np.full(services, 10.0), TICK_S)
    scalars = [Hpa(replace(config, target=float(target), max_replicas=60)) for target in targets]
    pods = [PodList() for _ in targets]
    ready: list[np.ndarray] = []
    load_rps = 400.0 * rng.lognormal(0.0, 0.8, (ticks // 20, services)).repeat(20, axis=0)
    for tick in range(ticks):
        ready.append(sensed.ready[:, 0])
        then = ready[max(tick - round(lag_s / TICK_S), 0)]
        usage = np.minimum(sensed.in_flight[:, 0] / (slots * then), 1.0)
        wanted = rule.act(sensed)
        for i, scalar in enumerate(scalars):
            counts = int(sensed.ready[i, 0]), int(sensed.starting[i, 0])
            sample = float(usage[i]) if np.isfinite(usage[i]) else None
            seen = pods[i].seen(tick * TICK_S, *counts, sample, lag_s)
            expected = scalar.decide(tick * TICK_S, seen, int(sensed.wanted[i, 0]))
            assert wanted.replicas[i, 0] == expected, (tick, i)
        sensed = simulator.step(load_rps[tick], wanted.replicas, wanted.weight).sensed
    assert len(np.unique(np.array(ready))) > 10, "the stream must exercise scaling"


def test_batched_hpa_agrees_on_states_that_another_hand_keeps() -> None:
    """Counts that do not add up, held until the scale-down window has passed."""
    services, slots, target, ticks = 400, 4, 0.6, 64
    profiles = Profiles.stack([Profile("service", (BackendProfile("pods"),))] * services)
    rng = np.random.default_rng(3)
    ready = rng.integers(1, 12, (services, 1))
    sensed = Simulator(profiles, TICK_S, rng).reset(ready.astype(float), np.ones((services, 1)))
    sensed.wanted[:] = rng.integers(1, 16, ready.shape)
    sensed.starting[:] = rng.integers(0, 6, ready.shape)
    sensed.in_flight[:] = rng.uniform(0.0, 1.2 * slots, ready.shape) * ready
    rule = HpaRule(target)
    rule.reset(profiles, np.full(services, 10.0), TICK_S)
    decided = np.array([rule.act(sensed).replicas[:, 0] for _ in range(ticks)])
    for i, column in enumerate(decided.T):
        usage = min(float(sensed.in_flight[i, 0]) / (slots * int(ready[i, 0])), 1.0)
        pods = PodList().seen(0.0, int(ready[i, 0]), int(sensed.starting[i, 0]), usage, 0.0)
        scalar, wanted = Hpa(HpaConfig(target)), int(sensed.wanted[i, 0])
        expected = [scalar.decide(tick * TICK_S, pods, wanted) for tick in range(ticks)]
        assert column.tolist() == expected, (usage, ready[i], sensed.starting[i], wanted)


def test_batched_hpa_holds_without_a_sample() -> None:
    profiles = Profiles.stack([Profile("service", (BackendProfile("pods"),))])
    sensed = Simulator(profiles, TICK_S, np.random.default_rng(0)).reset(
        np.full((1, 1), 5.0), np.ones((1, 1))
    )
    sensed.in_flight[:] = np.nan
    rule = HpaRule(0.5)
    rule.reset(profiles, np.full(1, 10.0), TICK_S)
    assert rule.act(sensed).replicas == 5.0


PROFILE = Profile("api", (BackendProfile("spot", startup_mean_s=10.0, max_replicas=50),))


def state(rate_rps: float, in_flight: float = 0.0, wanted: int = 2, ready: int = 2) -> State:
    backend = BackendState(
        "spot", wanted, 0, ready, 0, 0.4, Reading(rate_rps, 0.0), Reading(in_flight, 0.0)
    )
    return State("api", 0.0, 0.0, (backend,), *[Reading(0.0, 0.0)] * 3)


@pytest.mark.parametrize(
    ("now", "replicas"),
    [
        pytest.param(state(rate_rps=480.0), 10, id="rate-over-target"),
        pytest.param(state(rate_rps=480.1), 11, id="rounds-up"),
        pytest.param(state(rate_rps=10.0), 2, id="never-below-wanted"),
        pytest.param(state(rate_rps=10.0, wanted=90), 90, id="not-even-above-the-maximum"),
        pytest.param(state(rate_rps=9e9), 50, id="up-to-the-maximum"),
        pytest.param(state(rate_rps=384.0, in_flight=8 + 960), 10, id="backlog-within-a-start-up"),
        pytest.param(state(rate_rps=480.0, in_flight=8), 10, id="busy-slots-are-no-backlog"),
        pytest.param(state(rate_rps=math.nan), 2, id="nan-rate-holds"),
        pytest.param(state(rate_rps=1.0, in_flight=math.inf), 2, id="infinite-backlog-holds"),
    ],
)
def test_baseline(now: State, replicas: int) -> None:
    assert baseline(now, PROFILE) == (Want("spot", replicas, 0.4),)


def test_baseline_refuses_a_backend_that_the_profile_lacks() -> None:
    with pytest.raises(KeyError, match="spot"):
        baseline(state(1.0), Profile("api", (BackendProfile("other"),)))
