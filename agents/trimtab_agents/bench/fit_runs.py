"""Does `trimtab fit` find what it should? Services of known parameters, recorded and fitted.

The event model, which shares no physics with the simulator that the fit rests on, plays a
service under an autoscaler for an hour; the fit sees what a metrics pipeline would show of it.
Then the simulator, given the fitted profile, foretells the misses of another such hour.

Beside each stands what nobody can do better: the mean of the very start-ups that were drawn, and
what the event model itself foretells, which knows everything of that hour but its chance.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import ceil, nan
from typing import Any

import numpy as np

from trimtab_agents.bench.event_service import EventService, Replica
from trimtab_agents.bench.work import Arrays
from trimtab_agents.fit.estimate import NEAR, Found, estimate, everything
from trimtab_agents.fit.recording import Recording
from trimtab_sim.profile import BackendProfile, Floats, Profile, Profiles
from trimtab_sim.simulator import Simulator

HOUR_S, TICK_S, STEP_S = 3600, 1.0, 5
# Prometheus' default buckets.
BOUNDS_S = np.array([0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0])
# More would take minutes a run; services that would have more are not drawn.
MOST_REQUESTS = 5e5
QUANTITIES = (
    "service_time_s",
    "service_scv",
    "concurrency",
    "startup_mean_s",
    "startup_cv",
    "metric_lag_s",
)
REPLAYS, EVENT_REPLAYS = 64, 4


class RecordedService(EventService):
    """The event model, with the latency of every answer and how long each replica took to start."""

    def __init__(self, profile: Profile, replicas: int, rng: np.random.Generator) -> None:
        super().__init__(Profiles.stack([profile]), 0, replicas, rng)
        self.latencies_s: list[float] = []
        self.startups_s: list[float] = []

    def _finish(self, now_s: float, serial: int, replica: Replica, arrived_s: float) -> None:
        self.latencies_s.append(now_s - arrived_s)
        super()._finish(now_s, serial, replica, arrived_s)

    def _startup_s(self) -> float:
        self.startups_s.append(super()._startup_s())
        return self.startups_s[-1]


@dataclass(frozen=True, slots=True)
class Hour:
    """What was offered and ready in each tick, what the pipeline showed of it, and who missed.

    startups_s: what replicas took to start, ``[S]``.
    """

    rate_rps: Floats
    ready: Floats
    recording: Recording
    miss_share: float
    startups_s: Floats


def known_service(rng: np.random.Generator) -> tuple[Profile, float, float]:
    """A service drawn wide, its mean load in replicas, and the utilisation its autoscaler holds."""

    def log_uniform(low: float, high: float) -> float:
        return float(np.exp(rng.uniform(np.log(low), np.log(high))))

    while True:
        backend = BackendProfile(
            name="web",
            concurrency=round(log_uniform(1.0, 16.0)),
            service_time_s=log_uniform(0.02, 0.5),
            service_scv=log_uniform(0.25, 4.0),
            startup_mean_s=log_uniform(15.0, 120.0),
            startup_cv=rng.uniform(0.1, 0.4),
        )
        replicas, target = rng.uniform(2.0, 6.0), rng.uniform(0.5, 0.8)
        busy = replicas * target * backend.concurrency
        if busy / backend.service_time_s * HOUR_S < MOST_REQUESTS:
            profile = Profile(
                "web",
                (backend,),
                slo_latency_s=backend.service_time_s * rng.uniform(3.0, 8.0),
                metric_lag_s=STEP_S * float(rng.integers(0, 7)),
            )
            return profile, busy / backend.service_time_s, target


def wavy_load(mean_rps: float, rng: np.random.Generator) -> Floats:
    """An hour of waves and bursts, requests per second for every tick."""
    time_s = np.arange(HOUR_S)
    load = 1.0 + 0.5 * np.sin(2 * np.pi * (time_s / rng.uniform(600.0, 2400.0) + rng.random()))
    for start in rng.integers(0, HOUR_S, 6):
        load[start : start + rng.integers(60, 400)] *= rng.uniform(1.2, 1.8)
    return np.asarray(load * (mean_rps / load.mean()))


def play(profile: Profile, rate_rps: Floats, target: float, rng: np.random.Generator) -> Hour:
    """An hour of the event model under an autoscaler that holds a utilisation, a little late."""
    (backend,) = profile.backends
    replica_rps = target * backend.concurrency / backend.service_time_s
    wanted = ceil(rate_rps[0] / replica_rps)
    service = RecordedService(profile, wanted, rng)
    next_s, wants, ticks, answers = 60, [wanted], [], []
    wanted_at = np.zeros(len(rate_rps))
    for now, offered_rps in enumerate(rate_rps):
        if now >= next_s:
            next_s = now + int(rng.integers(10, 21))
            wants.append(ceil(offered_rps / replica_rps))
            wanted = max(wants[-12:]) if wants[-1] < wanted else wants[-1]
        wanted_at[now] = wanted
        counts = service.tick(float(offered_rps), wanted, TICK_S)
        ticks.append((counts.requests, counts.in_flight, counts.misses, service.ready))
        if (now + 1) % STEP_S == 0:
            places = np.searchsorted(BOUNDS_S, service.latencies_s)
            answers.append(np.bincount(places, minlength=len(BOUNDS_S) + 1))
            service.latencies_s.clear()
    requests, in_flight, misses, ready = np.array(ticks, dtype=np.float64).T
    whole = Recording(
        backend=backend.name,
        time_s=np.arange(STEP_S, len(ready) + 1.0, STEP_S),
        wanted=wanted_at[STEP_S - 1 :: STEP_S],
        ready=ready[STEP_S - 1 :: STEP_S],
        rate_rps=requests.reshape(-1, STEP_S).mean(1),
        in_flight=in_flight.reshape(-1, STEP_S).mean(1),
        bounds_s=BOUNDS_S,
        answers=np.array(answers, dtype=np.float64),
    )
    late = round(profile.metric_lag_s / STEP_S)
    missed = float(misses.sum() / requests.sum())
    return Hour(rate_rps, ready, _late(whole, late), missed, np.array(service.startups_s))


def _late(whole: Recording, windows: int) -> Recording:
    """Metrics of so many windows ago beside the replicas of now."""
    end = len(whole.time_s) - windows
    now = {name: getattr(whole, name)[windows:] for name in ("time_s", "wanted", "ready")}
    then = {name: getattr(whole, name)[:end] for name in ("rate_rps", "in_flight", "answers")}
    return replace(whole, **now, **then)


def foretold(profile: Profile, hour: Hour, rng: np.random.Generator) -> float:
    """The miss share of the same load on the same ready replicas in the simulator, on average.

    When replicas are ready is given, as it is to whoever replays a recording: in an hour with
    ten starts it would be left to chance.
    """
    profiles = Profiles.stack([_at_once(profile)] * REPLAYS)
    simulator = Simulator(profiles, TICK_S, rng)
    whole = np.ones((REPLAYS, 1))
    simulator.reset(hour.ready[0] * whole, whole)
    requests = misses = 0.0
    for rate_rps, ready in zip(hour.rate_rps, hour.ready, strict=True):
        tick = simulator.step(np.full(REPLAYS, rate_rps), ready * whole, whole)
        requests, misses = requests + tick.requests.sum(), misses + tick.misses.sum()
    return misses / requests


def played_again(profile: Profile, hour: Hour, rng: np.random.Generator) -> float:
    """The same in the event model."""
    profiles = Profiles.stack([_at_once(profile)])
    requests = misses = 0
    for _ in range(EVENT_REPLAYS):
        service = EventService(profiles, 0, int(hour.ready[0]), rng)
        for rate_rps, ready in zip(hour.rate_rps, hour.ready, strict=True):
            counts = service.tick(float(rate_rps), int(ready), TICK_S)
            requests, misses = requests + counts.requests, misses + counts.misses
    return misses / requests


def _at_once(profile: Profile) -> Profile:
    """With replicas that are ready when they are wanted."""
    backend = replace(profile.backends[0], startup_mean_s=1e-3, startup_cv=0.0)
    return replace(profile, backends=(backend,))


@dataclass(frozen=True, slots=True)
class FitRun:
    """One service: recorded, fitted, and its next hour foretold."""

    seed: int

    @property
    def identity(self) -> str:
        """The seed."""
        return f"fit {self.seed}"

    @property
    def weight(self) -> float:
        """All alike."""
        return 1.0

    def run(self) -> Arrays:
        """Truth, value, low and high of each quantity, ``[6]``; misses counted, foretold with the
        fitted profile, with the known one, and by the event model, ``[4]``; the mean of the
        start-ups that were drawn, ``[1]``."""
        rng = np.random.default_rng(self.seed)
        profile, mean_rps, target = known_service(rng)
        (backend,) = profile.backends
        hours = [play(profile, wavy_load(mean_rps, rng), target, rng) for _ in range(2)]
        service = estimate([hours[0].recording], rng)
        found = {one.quantity: one for _, one in everything(service)}
        truth = [getattr(backend, name, profile.metric_lag_s) for name in QUANTITIES]
        columns = {
            name: np.array([_number(found[each], name) for each in QUANTITIES])
            for name in ("value", "low", "high")
        }
        fitted = _profile(profile, found)
        share = foretold(fitted, hours[1], rng) if fitted else nan
        known_share = foretold(profile, hours[1], rng)
        event_share = played_again(profile, hours[1], rng)
        return {
            **columns,
            "truth": np.array(truth, dtype=np.float64),
            "miss_share": np.array([hours[1].miss_share, share, known_share, event_share]),
            "drawn_startup_s": np.array([hours[0].startups_s.mean()]),
        }


def _number(found: Found, name: str) -> float:
    value = getattr(found, name)
    return nan if value is None or found.value is None else float(value)


def _profile(known: Profile, found: dict[str, Found]) -> Profile | None:
    """What was fitted; ``None`` where not all that misses depend on could be told."""
    (backend,) = known.backends
    values: dict[str, Any] = {name: found[name].value for name in QUANTITIES[:-1]}
    if None in values.values():
        return None
    return replace(known, backends=(replace(backend, **values),))


def fit_report(found: Sequence[Arrays]) -> dict[str, Any]:
    """Per quantity: runs that told it, intervals that held the truth, and errors of the values.

    A quantity that no run told is left out.
    """
    columns = {name: np.stack([one[name] for one in found]) for name in found[0]}
    told = ~np.isnan(columns["value"])
    truth = columns["truth"]
    held = (columns["low"] <= truth) & (truth <= columns["high"])
    # Lags may be 0: their error is in steps of the recording.
    unit = np.where(np.array(QUANTITIES) == "metric_lag_s", STEP_S / NEAR, truth)
    error = np.abs(columns["value"] - truth) / unit
    counted, *shares = columns["miss_share"][~np.isnan(columns["miss_share"]).any(1)].T
    points = 100.0 * np.abs(np.array(shares) - counted)
    startup_s = truth[:, QUANTITIES.index("startup_mean_s")]
    drawn = np.abs(columns["drawn_startup_s"][:, 0] / startup_s - 1.0)
    return {
        "runs": len(found),
        "quantities": {
            name: {
                "told": int(told[:, place].sum()),
                "held": float(held[told[:, place], place].mean()),
                "median_error": float(np.median(error[told[:, place], place])),
                "within_10_percent": float((error[told[:, place], place] <= NEAR).mean()),
            }
            for place, name in enumerate(QUANTITIES)
            if told[:, place].any()
        },
        "drawn_startups": {
            "median_error": float(np.median(drawn)),
            "within_10_percent": float((drawn <= NEAR).mean()),
        },
        "miss_share": {
            name: {
                "told": len(counted),
                "median_points": float(np.median(each)),
                "within_1_point": float((each <= 1.0).mean()),
            }
            for name, each in zip(("fitted", "known", "event"), points, strict=True)
            if len(counted)
        },
    }


def fit_table(report: dict[str, Any]) -> str:
    """The report as Markdown."""
    lines = [
        "| quantity | told | 90 % interval holds it | median error | within 10 % |",
        "| --- | --: | --: | --: | --: |",
    ]
    for name, one in report["quantities"].items():
        cells = (one["held"], one["median_error"], one["within_10_percent"])
        lines.append(
            f"| {name} | {one['told']} of {report['runs']} | "
            + " | ".join(f"{cell:.1%}" for cell in cells)
            + " |"
        )
    drawn = report["drawn_startups"]
    lines.append(
        "\nThe mean of the start-ups that were drawn, which nobody sees, is within 10 % in "
        f"{drawn['within_10_percent']:.0%}, median error {drawn['median_error']:.1%}."
    )
    by = {
        "fitted": "with the fitted profile",
        "known": "with the known profile",
        "event": "by the event model, which knows all but its chance",
    }
    for name, one in report["miss_share"].items():
        lines.append(
            f"\nMisses of a fresh hour, foretold {by[name]}: within 1 point in "
            f"{one['within_1_point']:.0%} of {one['told']}, "
            f"median {one['median_points']:.2f} points."
        )
    return "\n".join(lines)
