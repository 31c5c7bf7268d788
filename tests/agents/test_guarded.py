"""The guard in arrays decides as the real one does, tick by tick, however wild the policy."""

from __future__ import annotations

import numpy as np
import pytest

from trimtab_agents.bench.guarded import GAUGE_DECIMALS, Guarded, default_limits
from trimtab_guard.guard import judge
from trimtab_guard.history import History
from trimtab_guard.model import BackendState, Proposal, Reading, State, Want
from trimtab_sim.profile import BackendProfile, Profile, Profiles
from trimtab_sim.signals import Sensed, Wanted
from trimtab_sim.simulator import Simulator

TICK_S = 5.0
TICKS = 700
SERVICES = 10


class Wild:
    """Wants anything, or nothing, or everything for a while; the same again on the next run."""

    name = "wild"

    def reset(self, profiles: Profiles, *_: object) -> None:
        self._rng = np.random.default_rng(5)
        self._mood = np.zeros(profiles.shape)
        self._tick = 0
        self._shape = profiles.shape

    def act(self, sensed: Sensed) -> Wanted:
        rng = self._rng
        draw = rng.integers(3, size=self._shape)
        self._mood = np.where(rng.random(self._shape) < 0.02, draw, self._mood)
        self._tick += 1
        self._mood[-1] = 0 if self._tick % 140 > 10 else 2  # a calm one, up to the flap budget
        jump = np.rint(sensed.wanted * rng.lognormal(0.0, 0.6, self._shape))
        replicas = np.choose(self._mood.astype(int), [np.ones(self._shape), jump, 400.0])
        return Wanted(replicas, sensed.weight, sensed.rate_rps)


class RealGuard:
    """One service's guard, its memory kept as the daemon keeps it."""

    def __init__(self, max_replicas: int) -> None:
        self._limits = default_limits(TICK_S, max_replicas)
        self._history = History.empty(0.0)

    def allowed(self, sensed: Sensed, row: int, want: int) -> int:
        state = _state(sensed, row)
        proposal = Proposal("cell", "wild", state.time_s, (Want("replicas", want, 1.0),))
        present = state.backends[0].wanted
        baseline = (Want("replicas", present, 1.0),)
        verdict = judge(proposal, baseline, state, self._limits, self._history, state.time_s)
        allowed = verdict.backends[0].replicas
        history = self._history.with_state(state).with_proposal(proposal)
        self._history = history.with_change(state.time_s, "replicas", present, allowed)
        return allowed


def _state(sensed: Sensed, row: int) -> State:
    now_s = 1e6 + float(sensed.time_s[row])
    seen_s = now_s - float(sensed.age_s[row])
    in_flight = float(sensed.in_flight[row, 0].round(GAUGE_DECIMALS))
    counts = (
        int(getattr(sensed, name)[row, 0]) for name in ("wanted", "starting", "ready", "draining")
    )
    backend = BackendState(
        "replicas", *counts, 1.0,
        Reading(float(sensed.rate_rps[row, 0]), seen_s), Reading(in_flight, seen_s),
    )  # fmt: skip
    missing = Reading(float("nan"), seen_s)
    return State("cell", now_s, now_s, (backend,), missing, missing, missing)


@pytest.mark.parametrize(("lag_s", "max_replicas"), [(0.0, 400), (15.0, 400), (15.0, 5)])
def test_arrays_decide_as_the_real_guard(lag_s: float, max_replicas: int) -> None:
    backend = BackendProfile("replicas", startup_mean_s=20.0, max_replicas=max_replicas)
    profiles = Profiles.stack([Profile("cell", (backend,), metric_lag_s=lag_s)] * SERVICES)
    rng = np.random.default_rng(int(lag_s))
    load_rps = 300.0 * rng.lognormal(0.0, 0.9, (TICKS // 50, SERVICES)).repeat(50, axis=0)
    # Crowds before outages: the queue still moves when the rate has long stood still.
    load_rps[300:310, :5], load_rps[310:500, :5] = 1e5, 0.0
    simulator = Simulator(profiles, TICK_S, rng)
    one = np.ones(profiles.shape)
    simulator.reset(5.0 * one, one)
    for _ in range(4):
        sensed = simulator.step(load_rps[0], 5.0 * one, one).sensed

    guarded, wild = Guarded(Wild()), Wild()
    guarded.reset(profiles, np.full(SERVICES, 10.0), TICK_S)
    wild.reset(profiles, np.full(SERVICES, 10.0), TICK_S)
    real = [RealGuard(max_replicas) for _ in range(SERVICES)]
    changed = 0
    for tick, rate_rps in enumerate(load_rps):
        wanted = guarded.act(sensed)
        wants = wild.act(sensed).replicas[:, 0]
        allowed = [real[i].allowed(sensed, i, int(want)) for i, want in enumerate(wants)]
        assert wanted.replicas[:, 0].tolist() == allowed, tick
        changed += int((wants != allowed).sum())
        sensed = simulator.step(rate_rps, wanted.replicas, wanted.weight).sensed
    assert TICKS * SERVICES / 10 < changed < TICKS * SERVICES


def test_more_backends_are_refused() -> None:
    profiles = Profiles.stack([Profile("two", (BackendProfile("a"), BackendProfile("b")))])
    with pytest.raises(ValueError, match="one backend"):
        Guarded(Wild()).reset(profiles, np.ones(1), TICK_S)
