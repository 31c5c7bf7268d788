"""Inside what a policy was trained on it is heard; a plainly foreign service it does not know."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from trimtab_agents.bench.cells import QUICK, make_cells, read_traces
from trimtab_agents.bench.play import batches, play
from trimtab_agents.bundle import load
from trimtab_agents.envelope import OUTSIDE_SHARE, Envelope, Stray
from trimtab_agents.proposer import Proposer
from trimtab_agents.training.config import TRAIN_TRACES
from trimtab_envs.observation import FEATURES
from trimtab_guard.model import BackendState, Proposal, Reading, State
from trimtab_sim.profile import BackendProfile, Profile
from trimtab_sim.signals import Sensed, Wanted

WEB = Profile("web", (BackendProfile("a"), BackendProfile("b", price=0.5)))
FAR = (BackendProfile("c"), BackendProfile("d", service_time_s=0.1))
START_S, TICK_S = 1_800_000_000.0, 5.0


def one(**changes: Any) -> Profile:
    """A service of one backend that is like those of the benchmark but for these."""
    return Profile("web", (BackendProfile("a", **changes),))


def state(profile: Profile, time_s: float, rate_rps: float, replicas: int = 2) -> State:
    """Replicas that share the load, all ready, and nothing waiting."""

    def reading(value: float) -> Reading:
        return Reading(value, time_s - profile.metric_lag_s)

    share = 1.0 / len(profile.backends)
    busy = rate_rps * share * profile.backends[0].service_time_s
    backends = tuple(
        BackendState(
            b.name, replicas, 0, replicas, 0, share, reading(rate_rps * share), reading(busy)
        )
        for b in profile.backends
    )
    return State("web", time_s, time_s, backends, reading(50.0), reading(90.0), reading(0.0))


def steered(
    profile: Profile, miss_price: float = 50.0, rate_rps: float = 150.0, ticks: int = 60
) -> list[Proposal]:
    """What the shipped policy says to a steady load."""
    proposer = Proposer(load(), [profile], [miss_price], TICK_S)
    times_s = START_S + TICK_S * np.arange(ticks)
    return [proposer.propose([state(profile, float(at), rate_rps)])[0] for at in times_s]


@pytest.mark.parametrize(
    "known",
    [
        {"profile": WEB},
        {"profile": replace(WEB, backends=(*WEB.backends, *FAR))},
        {"profile": one()},
        {"profile": one(startup_mean_s=300.0)},
        {"profile": replace(one(), metric_lag_s=15.0)},
        {"profile": one(), "miss_price": 10.0},
        {"profile": one(), "miss_price": 500.0},
        {"profile": one(), "rate_rps": 0.0},
    ],
    ids=["two backends", "four", "one", "slow", "late metrics", "thrifty", "strict", "idle"],
)
def test_what_it_was_trained_on_is_inside(known: dict[str, Any]) -> None:
    assert all(proposal.in_envelope for proposal in steered(**known))


@pytest.mark.parametrize(
    ("foreign", "feature"),
    [
        ({"profile": one(service_time_s=5.0)}, "log_slo_ratio of a"),
        ({"profile": one(startup_mean_s=3600.0)}, "log_startup_s of a"),
        ({"profile": one(), "miss_price": 50_000.0}, "log_miss_price of a"),
        ({"profile": one(concurrency=256)}, "log_concurrency of a"),
        ({"profile": one(service_scv=40.0)}, "service_scv of a"),
        ({"profile": one(), "rate_rps": 1e6}, "size of a"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_a_plainly_foreign_service_is_outside(foreign: dict[str, Any], feature: str) -> None:
    for proposal in steered(**foreign, ticks=8):
        assert not proposal.in_envelope
        assert f"outside of its training: {feature}" in proposal.why


class Watched:
    """The shipped policy, and all that was outside of its training in any tick."""

    def __init__(self) -> None:
        self._policy = load()
        self.outside: list[Stray] = []
        self.reset = self._policy.reset

    def act(self, sensed: Sensed) -> Wanted:
        wanted = self._policy.act(sensed)
        self.outside.extend(stray for stray in self._policy.strays if stray)
        return wanted


@pytest.mark.parametrize("name", sorted(set(read_traces(None)) - set(TRAIN_TRACES)))
def test_a_load_that_it_never_saw_is_inside(name: str) -> None:
    """The validation traces, in every profile of the quick benchmark."""
    traces = {name: read_traces(None)[name]}
    policy = Watched()
    for batch in batches(make_cells(traces, QUICK), traces):
        play(batch, policy)
    assert policy.outside == []


def test_however_long_it_has_watched_it_stays_inside() -> None:
    profile = one()
    proposer = Proposer(load(), [profile], [50.0], tick_s=60.0)
    day = [state(profile, START_S + 60.0 * minute, 150.0) for minute in range(1500)]
    assert all(proposer.propose([now])[0].in_envelope for now in day)


def test_a_policy_that_is_held_back_is_inside() -> None:
    assert all(proposal.in_envelope for proposal in steered(one(), rate_rps=3000.0))


def test_old_readings_are_the_guards_to_judge() -> None:
    aged = replace(one(), metric_lag_s=0.0)
    proposer = Proposer(load(), [aged], [50.0], TICK_S)
    late = state(replace(aged, metric_lag_s=12.0), START_S, 150.0)
    assert proposer.propose([late])[0].in_envelope


@pytest.mark.parametrize("rows", [1, 1000, 100_000])
def test_hardly_any_of_the_training_is_outside(rows: int) -> None:
    seen = np.random.default_rng(0).standard_t(3, (rows, len(FEATURES))).astype(np.float32)
    envelope = Envelope.of(seen)
    strays = envelope.strays(seen[:, None, :], np.ones((rows, 1), dtype=np.bool_))
    assert sum(stray is not None for stray in strays) <= OUTSIDE_SHARE * rows


def test_a_stray_is_what_is_furthest_outside_of_a_backend_that_is_there() -> None:
    low, high = np.zeros(len(FEATURES)), np.full(len(FEATURES), 2.0)
    envelope, size = Envelope(low, high), FEATURES.index("size")
    seen = np.ones((2, 2, len(FEATURES)), dtype=np.float32)
    seen[0, 0, size], seen[0, 1, 0], seen[1, 1, size] = 2.3, -0.2, 9.0
    present = np.array([[True, True], [True, False]])
    found, none = envelope.strays(seen, present)
    assert none is None
    assert found == (0, "size", pytest.approx(2.3), 0.0, 2.0)
    seen[0, 0, size], seen[0, 1, 0] = 2.09, 0.0  # within the margin, and exactly at the border
    assert envelope.strays(seen, present) == [None, None]
    assert envelope.nearest(seen).max() == 2.0


def test_ranges_survive_the_card() -> None:
    policy_card = load().network.card["envelope"]
    assert Envelope.read(policy_card).ranges == {
        name: tuple(bounds) for name, bounds in policy_card.items()
    }
