"""Backends at rest: the simulator's mean wait and share late, and what they should be."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from importlib.resources import files
from itertools import product
from math import ceil
from typing import NamedTuple

import numpy as np

from trimtab_agents.bench.fidelity.cases import SERVICE_S, SLO_S
from trimtab_agents.bench.fidelity.exact import mg1_wait, mmc_late, mmc_wait
from trimtab_agents.bench.fidelity.rows import EVENT_MODEL, Estimate, Row
from trimtab_sim.profile import BackendProfile, Floats, Profile, Profiles
from trimtab_sim.simulator import Simulator

# Nobody gives up in a queue at rest, or it would not be the one of the formulas.
NEVER_S = 1e4
UTILISATIONS = (0.3, 0.5, 0.7, 0.8, 0.9, 0.95)


class Case(NamedTuple):
    """So many replicas of so many slots, and how busy they are."""

    slots: int
    scv: float
    replicas: int
    utilisation: float

    def __str__(self) -> str:
        shape = f"{self.replicas} x {self.slots} slots"
        return f"{shape}, scv {self.scv:g}, utilisation {self.utilisation:g}"

    @property
    def rate_rps(self) -> float:
        """The load that keeps it so busy."""
        return self.utilisation * self.replicas * self.slots / SERVICE_S


class Steady(NamedTuple):
    """Mean wait in service times, and share late."""

    wait: Estimate
    late: Estimate


MMC = [Case(slots, 1.0, 1, busy) for slots in (1, 2, 4, 8, 16, 64) for busy in UTILISATIONS]
MG1 = [Case(1, scv, 1, busy) for scv, busy in product((0.25, 0.5, 2.0, 4.0), UTILISATIONS)]


def exact_mmc(case: Case) -> Steady:
    """What M/M/c says of one replica."""
    wait = mmc_wait(case.slots, case.utilisation)
    return Steady(
        Estimate(wait), Estimate(mmc_late(case.slots, case.utilisation, SLO_S / SERVICE_S))
    )


def referenced() -> dict[Case, Steady]:
    """What the event model found: ``event_model.py steady``."""
    table = files(__package__) / "steady.csv"
    with table.open() as file:
        rows = [[float(cell) for cell in row] for row in list(csv.reader(file))[1:]]
    return {
        Case(int(r[0]), r[1], int(r[2]), r[3]): Steady(Estimate(*r[4:6]), Estimate(*r[6:]))
        for r in rows
    }


def simulated(
    cases: Sequence[Case], tick_s: float, copies: int, seconds: float, settle_s: float
) -> list[Steady]:
    """Run ``copies`` of each case side by side, counting from ``settle_s`` on.

    The mean number in the system tells the mean wait (Little's law).
    """
    rows = [case for case in cases for _ in range(copies)]
    profiles = Profiles.stack([_profile(case) for case in rows])
    replicas = np.array([[float(row.replicas)] for row in rows])
    rate_rps = np.array([row.rate_rps for row in rows])
    simulator = Simulator(profiles, tick_s, np.random.default_rng(1))
    simulator.reset(replicas, np.ones_like(replicas))
    for _ in range(ceil(settle_s / tick_s)):
        simulator.step(rate_rps, replicas, np.ones_like(replicas))
    ticks = ceil(seconds / tick_s)
    requests, misses, inside = np.zeros((3, len(rows)))
    for _ in range(ticks):
        tick = simulator.step(rate_rps, replicas, np.ones_like(replicas))
        requests += tick.requests
        misses += tick.misses
        inside += tick.sensed.in_flight[:, 0]
    wait = (inside / ticks / rate_rps / SERVICE_S - 1.0).reshape(-1, copies)
    late = (misses / requests).reshape(-1, copies)
    return [Steady(_mean(w), _mean(share)) for w, share in zip(wait, late, strict=True)]


def _profile(case: Case) -> Profile:
    backend = BackendProfile("a", case.slots, SERVICE_S, case.scv)
    return Profile("api", (backend,), SLO_S, timeout_s=NEVER_S)


def _mean(samples: Floats) -> Estimate:
    return Estimate(float(samples.mean()), float(half_width(samples)))


def half_width(samples: Floats) -> Floats:
    """Half of the 95 % confidence interval of the means over the last axis."""
    return np.asarray(1.96 * samples.std(axis=-1, ddof=1) / samples.shape[-1] ** 0.5)


def steady_rows(
    tick_s: float, copies: int = 100, seconds: float = 2500.0, settle_s: float = 600.0
) -> Iterator[Row]:
    """Everything at rest, against formulas where there are any, else against the event model."""
    reference = referenced()
    cases = list(dict.fromkeys([*MMC, *MG1, *reference]))
    found = dict(zip(cases, simulated(cases, tick_s, copies, seconds, settle_s), strict=True))
    for case in MMC:
        yield from _pair("M/M/c", case, exact_mmc(case), found[case])
    for case in MG1:
        expected = Estimate(mg1_wait(case.scv, case.utilisation))
        yield Row("M/G/1", str(case), "wait", expected, found[case].wait)
    for case, steady in reference.items():
        yield from _pair(EVENT_MODEL, case, steady, found[case])


def _pair(source: str, case: Case, expected: Steady, found: Steady) -> Iterator[Row]:
    yield Row(source, str(case), "wait", expected.wait, found.wait)
    yield Row(source, str(case), "late", expected.late, found.late)
