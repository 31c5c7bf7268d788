"""Backends that live through a step, a burst, a crash: the simulator beside the event model."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files

import numpy as np

from trimtab_agents.bench.fidelity.cases import (
    BUCKET_S,
    CHANGES,
    FAILURES,
    SERVICE_S,
    SLO_S,
    TIMEOUT_S,
    Change,
)
from trimtab_agents.bench.fidelity.rows import EVENT_MODEL, Estimate, Row
from trimtab_agents.bench.fidelity.steady import half_width
from trimtab_sim.balancers import Balancer
from trimtab_sim.profile import BackendProfile, Floats, Profile, Profiles
from trimtab_sim.simulator import Simulator


@dataclass(frozen=True, slots=True)
class Course:
    """Per bucket of ``BUCKET_S``: requests, share late with its half-width, and who is inside.

    ``inside`` is the number in the system at the bucket's end, ``sent`` counts attempts.
    """

    requests: Floats
    late: Floats
    half_width: Floats
    inside: Floats
    sent: Floats

    @property
    def total(self) -> Estimate:
        """Share late of all requests."""
        weight = self.requests / self.requests.sum()
        # Buckets of one run hang together: their intervals add up.
        return Estimate(float(weight @ self.late), float(weight @ self.half_width))

    def at(self, bucket: int) -> Estimate:
        """Share late of those that came in one bucket."""
        return Estimate(float(self.late[bucket]), float(self.half_width[bucket]))


def referenced() -> dict[str, Course]:
    """What the event model found: ``event_model.py changes`` and ``failures``."""
    rows: dict[str, list[list[float]]] = {}
    for table in ("changes.csv", "failures.csv"):
        with (files(__package__) / table).open() as file:
            for name, _, *numbers in list(csv.reader(file))[1:]:
                rows.setdefault(name, []).append([float(number) for number in numbers])
    return {name: Course(*np.array(numbers).T) for name, numbers in rows.items()}


def simulated(change: Change, tick_s: float, copies: int = 200) -> Course:
    """The same in the simulator, where ``inside`` is a mean over the bucket's last tick."""
    simulator = Simulator(
        Profiles.stack([_profile(change)] * copies), tick_s, np.random.default_rng(2)
    )
    replicas, ticks = np.full((copies, 1), float(change.replicas)), []
    ones = np.ones_like(replicas)
    simulator.reset(replicas, ones)
    simulator.slow.strike(change.backend.slow * ones)
    for phase in change.phases:
        simulator.failures.crash(phase.crashed * ones)
        replicas = replicas + phase.added - phase.crashed
        for _ in range(round(phase.seconds / tick_s)):
            tick = simulator.step(np.full(copies, float(phase.rate_rps)), replicas, ones)
            sent = tick.sensed.rate_rps.sum(axis=1) * tick_s
            ticks.append((tick.requests, tick.misses, simulator.in_flight[:, 0], sent))
    flows = np.array(ticks).reshape(-1, round(BUCKET_S / tick_s), 4, copies)
    requests, misses, _, sent = np.moveaxis(flows.sum(axis=1), 1, 0)
    shares = misses / np.maximum(requests, 1.0)
    return Course(
        requests=requests.mean(axis=1),
        late=misses.sum(axis=1) / requests.sum(axis=1),
        half_width=half_width(shares),
        inside=flows[:, -1, 2].mean(axis=-1),
        sent=sent.mean(axis=1),
    )


def _profile(change: Change) -> Profile:
    given = change.backend
    backend = BackendProfile(
        "a",
        given.slots,
        SERVICE_S,
        given.scv,
        startup_mean_s=0.0,
        startup_cv=0.0,
        error_share=given.error_share,
        slow_factor=given.slow_factor,
        balancer=Balancer[given.balancer.upper()],
    )
    return Profile(
        "api",
        (backend,),
        SLO_S,
        timeout_s=TIMEOUT_S,
        retries=given.retries,
        patience_s=given.patience_s,
    )


Pair = tuple[Course, Course]
"""What should be, and what the simulator found."""


def pairs(tick_s: float) -> dict[str, Pair]:
    """All changes for which there is a reference."""
    changes = CHANGES | FAILURES
    return {name: (e, simulated(changes[name], tick_s)) for name, e in referenced().items()}


def change_rows(pairs: Mapping[str, Pair]) -> Iterator[Row]:
    """Share late of every change: over all of it, and in the 5 s that are the furthest off."""
    for name, (expected, found) in pairs.items():
        yield Row(EVENT_MODEL, name, "late", expected.total, found.total)
        yield max(_buckets(name, expected, found), key=lambda row: row.excess)


def _buckets(name: str, expected: Course, found: Course) -> Iterator[Row]:
    for bucket in range(len(expected.late)):
        when = f"{bucket * BUCKET_S:g} to {(bucket + 1) * BUCKET_S:g} s"
        yield Row(EVENT_MODEL, f"{name}, {when}", "late", expected.at(bucket), found.at(bucket))
