"""Services of which the truth is known: many days of them under an autoscaler, as recorded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from trimtab_agents.evidence.past import Past
from trimtab_agents.evidence.replay import Books
from trimtab_agents.policy import Policy
from trimtab_sim.profile import BackendProfile, Floats, Profile, Profiles
from trimtab_sim.simulator import Simulator

TICK_S = 15.0
DAY_TICKS = round(86_400.0 / TICK_S)
# What the incumbent's HPA holds, and the policy's, which so saves a tenth.
TARGET, THRIFTY = 0.6, 0.68
BURSTS_PER_DAY = 4.0
_RECORDED = ("wanted", "starting", "ready", "draining", "weight", "rate_rps", "in_flight")


@dataclass(frozen=True, slots=True)
class Kind:
    """A sort of service, and its mean load in replicas at full utilisation."""

    profile: Profile
    replicas: float


def _kind(pool: BackendProfile, replicas: float) -> Kind:
    slo_s = 6.0 * pool.service_time_s
    return Kind(Profile(pool.name, (pool,), slo_s, metric_lag_s=TICK_S), replicas)


KINDS = (
    _kind(BackendProfile("web"), 12.0),
    _kind(BackendProfile("slow", startup_mean_s=120.0, service_scv=2.0), 8.0),
    _kind(BackendProfile("inference", 1, 0.15, startup_mean_s=150.0), 20.0),
    _kind(BackendProfile("quick", 8, 0.03, startup_mean_s=30.0), 6.0),
)


def kinds(runs: int) -> list[Kind]:
    """One of each run, all equally often."""
    return [KINDS[run % len(KINDS)] for run in range(runs)]


def loads(rng: np.random.Generator, chosen: Sequence[Kind], days: int, day_ticks: int) -> Floats:
    """Requests per second, ``[T, B]``: a cycle, days unlike each other, waves and bursts."""
    ticks, batch = days * day_ticks, len(chosen)
    turn = 2.0 * np.pi * (np.arange(ticks)[:, None] / day_ticks + rng.random(batch))
    level = np.repeat(np.exp(rng.normal(0.0, 0.1, (days, batch))), day_ticks, axis=0)
    load = np.exp(0.5 * np.sin(turn)) * level * _waves(rng, ticks, batch)
    for row in range(batch):
        for start in rng.integers(0, ticks, rng.poisson(BURSTS_PER_DAY * days)):
            _burst(rng, load[start:, row])
    profiles = Profiles.stack([kind.profile for kind in chosen])
    mean_rps = np.array([kind.replicas for kind in chosen]) * profiles.replica_rps[:, 0]
    return np.asarray(load / load.mean(0) * mean_rps)


def _waves(rng: np.random.Generator, ticks: int, batch: int) -> Floats:
    """Noise that remembers ten minutes, 8 % high."""
    keep = np.exp(-TICK_S / 600.0)
    noise = rng.normal(0.0, 0.08 * np.sqrt(1.0 - keep**2), (ticks, batch))
    for tick in range(1, ticks):
        noise[tick] += keep * noise[tick - 1]
    return np.asarray(np.exp(noise))


def _burst(rng: np.random.Generator, load: Floats) -> None:
    """Within two minutes up to 1.3 to 2.2 times the load, and down again after minutes."""
    rise, hold = int(rng.integers(2, 8)), int(rng.integers(12, 60))
    length = 2 * rise + hold
    shape = np.interp(np.arange(length), [0, rise, rise + hold, length], [0.0, 1.0, 1.0, 0.0])[
        : len(load)
    ]
    load[: len(shape)] *= 1.0 + rng.uniform(0.3, 1.2) * shape


def live(
    real: Sequence[Profile],
    told_lag_s: float,
    load: Floats,
    day_ticks: int,
    policy: Policy,
    seed: int,
) -> tuple[Past, Books]:
    """Days of B ``real`` services under ``policy``: what is recorded, and what is true.

    ``told_lag_s`` is how late metrics are said to be, whatever they are.
    """
    profiles = Profiles.stack(real)
    simulator = Simulator(profiles, TICK_S, np.random.default_rng(seed))
    policy.reset(profiles, np.ones(len(real)), TICK_S)
    whole = np.ones(profiles.shape)
    sensed = simulator.reset(np.ceil(load[0, :, None] / (TARGET * profiles.replica_rps)), whole)
    recorded = np.zeros((len(_RECORDED), *load.shape, 1), dtype=np.float32)
    miss_share = np.zeros(load.shape, dtype=np.float32)
    books = np.zeros((6, -(-len(load) // day_ticks), len(real)))
    for tick, rate_rps in enumerate(load):
        before = sensed.wanted
        seen = simulator.step(rate_rps, policy.act(sensed).replicas, whole)
        sensed = seen.sensed
        recorded[:, tick] = [getattr(sensed, name) for name in _RECORDED]
        miss_share[tick] = sensed.miss_share
        cost, events = (seen.billed_s * profiles.price).sum(1), (sensed.wanted != before).sum(1)
        nothing = np.zeros(len(real))
        books[:, tick // day_ticks] += seen.requests, seen.misses, cost, nothing, events, nothing
    values = dict(zip(_RECORDED, np.nan_to_num(recorded), strict=True))
    past = Past(
        tick_s=TICK_S,
        day_ticks=day_ticks,
        lag_ticks=round(told_lag_s / TICK_S),
        billed=values.pop("starting") + values["ready"] + values.pop("draining"),
        miss_share=np.nan_to_num(miss_share),
        known=np.isfinite(miss_share),
        **values,
    )
    return past, Books(*books)
