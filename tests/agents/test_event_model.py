"""The benchmark's event model against the SimPy one's tables, with which it shares nothing."""

from __future__ import annotations

import csv
from collections import defaultdict
from importlib.resources import files

import numpy as np
import pytest

from trimtab_agents.bench.event_model import EventModel
from trimtab_agents.bench.event_service import EventService
from trimtab_sim.profile import BackendProfile, Profile, Profiles

REFERENCE = files("trimtab_agents.bench.fidelity")
TICK_S = 5.0
RUNS = 8


def profiles(
    slots: int = 4, scv: float = 1.0, startup_s: float = 1e-3, lag_s: float = 0.0
) -> Profiles:
    backend = BackendProfile("b", slots, service_scv=scv, startup_mean_s=startup_s, startup_cv=0.0)
    return Profiles.stack([Profile("service", (backend,), metric_lag_s=lag_s)])


def missed(world: Profiles, phases: list[tuple[int, float, int]], seed: int) -> float:
    """Share of misses over phases of (ticks, rate, replicas), with time for the queues to end."""
    service = EventService(world, 0, phases[0][2], np.random.default_rng(seed))
    counts = [
        service.tick(rate, replicas, TICK_S)
        for ticks, rate, replicas in [*phases, (4, 0.0, phases[-1][2])]
        for _ in range(ticks)
    ]
    return sum(c.misses for c in counts) / sum(c.requests for c in counts)


# As in fidelity/cases.py, where phases are of seconds and of replicas added.
CHANGES = {
    "crowd, doubled": (profiles(), [(4, 480, 10), (3, 1040, 10), (5, 1040, 20)]),
    "short burst": (profiles(), [(4, 480, 10), (1, 1200, 10), (7, 480, 10)]),
    "time-outs": (profiles(), [(4, 300, 5), (4, 800, 5), (4, 300, 5)]),
    "small, doubled": (profiles(), [(4, 100, 2), (3, 240, 2), (5, 240, 4)]),
    "scaled down": (profiles(), [(4, 600, 20), (4, 600, 9), (4, 600, 11)]),
    "scv 4": (profiles(scv=4.0), [(4, 480, 10), (3, 1040, 10), (5, 1040, 20)]),
    "one slot": (profiles(1), [(4, 160, 16), (3, 420, 16), (5, 420, 32)]),
    "sixteen slots": (profiles(16, 0.25), [(4, 640, 4), (3, 1600, 4), (5, 1600, 8)]),
}  # fmt: skip


def expected_misses() -> dict[str, float]:
    late, arrived = defaultdict(float), defaultdict(float)
    with (REFERENCE / "changes.csv").open() as lines:
        for row in csv.DictReader(lines):
            arrived[row["case"]] += float(row["arrived"])
            late[row["case"]] += float(row["arrived"]) * float(row["late"])
    return {case: late[case] / arrived[case] for case in late}


@pytest.mark.parametrize("case", CHANGES)
def test_misses_after_changes_are_those_of_the_simpy_model(case: str) -> None:
    found = [missed(*CHANGES[case], seed) for seed in range(RUNS)]
    half_width = 2.5 * np.std(found, ddof=1) / RUNS**0.5
    assert np.mean(found) == pytest.approx(expected_misses()[case], abs=half_width + 0.005)


@pytest.mark.parametrize("utilisation", [0.6, 0.9])
def test_requests_in_flight_obey_littles_law(utilisation: float) -> None:
    """Waits from the SimPy table: slots 4, scv 1, four replicas."""
    with (REFERENCE / "steady.csv").open() as lines:
        row = next(
            row
            for row in csv.DictReader(lines)
            if (row["slots"], row["scv"], row["replicas"]) == ("4", "1", "4")
            and float(row["utilisation"]) == utilisation
        )
    rate_rps = utilisation * 4 * 80.0
    service = EventService(profiles(), 0, 4, np.random.default_rng(1))
    inside = np.mean([service.tick(rate_rps, 4, TICK_S).in_flight for _ in range(120)])
    assert inside == pytest.approx(rate_rps * 0.050 * (1 + float(row["wait"])), rel=0.06)


def test_replicas_start_are_cancelled_drain_and_are_billed() -> None:
    service = EventService(profiles(startup_s=12.0), 0, 3, np.random.default_rng(0))
    steps = [(3, 0, 3, 0), (5, 2, 3, 0), (4, 1, 3, 0), (4, 0, 4, 0), (1, 0, 1, 0)]
    for wanted, starting, ready, draining in steps:
        counts = service.tick(0.0, wanted, TICK_S)
        assert (service.starting, service.ready, service.draining) == (starting, ready, draining)
        assert counts.billed_s == wanted * TICK_S, "idle replicas leave at once"


def test_draining_replicas_finish_what_they_hold_and_bill_for_it() -> None:
    service = EventService(profiles(), 0, 4, np.random.default_rng(0))
    service.tick(200.0, 4, TICK_S)
    counts = service.tick(0.0, 1, TICK_S)
    assert counts.requests == 0
    assert TICK_S < counts.billed_s < TICK_S + 1.0
    assert service.draining == 0


def test_model_is_sensed_as_late_as_the_simulator() -> None:
    model = EventModel(profiles(lag_s=10.0), TICK_S, np.random.default_rng(0))
    one = np.ones((1, 1))
    assert np.isnan(model.reset(2.0 * one, one).rate_rps)
    rates = [100.0, 0.0, 0.0, 0.0]
    ticks = [model.step(np.array([rate]), 2.0 * one, one) for rate in rates]
    sensed = [float(tick.sensed.rate_rps[0, 0]) for tick in ticks]
    assert np.isnan(sensed[:2]).all()
    assert sensed[2] == ticks[0].requests[0] / TICK_S > 50.0
    assert sensed[3] == 0.0


def test_more_backends_are_refused() -> None:
    two = Profiles.stack([Profile("two", (BackendProfile("a"), BackendProfile("b")))])
    with pytest.raises(ValueError, match="one backend"):
        EventModel(two, TICK_S, np.random.default_rng(0))
