"""A journal of simulated days: what the daemon would have written in shadow over an HPA."""

import math
from pathlib import Path

import numpy as np

from trimtab_agents.rules.hpa import HpaRule
from trimtab_controller.config import Config, load
from trimtab_controller.journal import Journal
from trimtab_controller.memory import Outcome, TickRecord
from trimtab_controller.records import pack
from trimtab_guard.model import BackendState, Proposal, Reading, State, Verdict, Want
from trimtab_guard.modes import Mode
from trimtab_sim.profile import Profile, Profiles
from trimtab_sim.simulator import Simulator

# A day takes twelve minutes, and begins here.
SPEED, DAY_TICKS = 120, 720
START_S = 2_000_000 * 720.0
COUNTS = ("wanted", "starting", "ready", "draining")
CONFIG = """
tick_s: 1
speed: 120
money: {currency: EUR, replica_hour: 0.05}
services:
  - name: web
    stage: {socket: stage.sock}
    ceiling: guarded
    slo: {latency_s: 0.3, share: 0.99}
    miss_price: 50
    backends:
      - name: pods
        concurrency: 4
        service_time_s: 0.05
        startup_mean_s: 2
        min_replicas: 1
        max_replicas: 60
"""


def configured(folder: Path, text: str = CONFIG) -> Path:
    """The configuration's file."""
    file = folder / "trimtab.yaml"
    file.write_text(text)
    return file


def day_load(rng: np.random.Generator, ticks: int) -> np.ndarray:
    """Requests per second: a day's cycle with noise, from 200 to 900."""
    turn = 2.0 * np.pi * np.arange(ticks) / DAY_TICKS
    noise = rng.normal(0.0, 0.05, ticks // 30 + 2).repeat(30)[:ticks]
    return np.asarray(450.0 * np.exp(0.7 * np.sin(turn) + noise))


def write_journal(
    file: Path,
    config: Config,
    days: float,
    really: Profile | None = None,
    acted_on: range = range(0),
    blind: range = range(0),
    target: float = 0.5,
    ahead_s: float = 0.0,
) -> None:
    """``really`` is how the service is, if not as configured; in some seconds trimtab wrote,
    in some it was ``blind``; its clock was ``ahead_s`` ahead.
    """
    (service,) = config.services
    rng, ticks = np.random.default_rng(7), round(days * DAY_TICKS)
    profiles = Profiles.stack([really or service.profile])
    simulator = Simulator(profiles, config.tick_s, rng)
    # An HPA whose windows are as fast as the trace, as on the stage.
    hpa = HpaRule(target, down_s=300.0)
    hpa.reset(profiles, np.ones(1), config.tick_s * SPEED)
    weight, start_s = np.ones(profiles.shape), START_S + ahead_s
    loads = day_load(rng, ticks)
    sensed = simulator.reset(np.ceil(loads[:1] / (target * profiles.replica_rps)), weight)
    with Journal.open(file) as journal:
        waiting: list[tuple[str, dict[str, object]]] = []
        for tick, rate_rps in enumerate(loads):
            scaled = sensed._replace(time_s=sensed.time_s * SPEED, age_s=sensed.age_s * SPEED)
            want = hpa.act(scaled)
            sensed = simulator.step(np.array([rate_rps]), want.replicas, weight).sensed
            outcome = Outcome.APPLIED if tick in acted_on else Outcome.SHADOW
            seen = sensed._replace(rate_rps=sensed.rate_rps + math.nan) if tick in blind else sensed
            record = _record(service.name, service.backends, seen, start_s + tick, outcome)
            waiting.append(("tick", {"services": [pack(record)]}))
            if len(waiting) == 60 or tick == ticks - 1:
                journal.append_all(waiting, start_s + tick)
                waiting = []


def _record(
    service: str, backends: tuple[str, ...], sensed: object, time_s: float, outcome: Outcome
) -> TickRecord:
    def reading(name: str, k: int) -> Reading:
        return Reading(float(getattr(sensed, name)[0, k]), time_s)

    state = State(
        service,
        time_s,
        time_s,
        tuple(
            BackendState(
                name,
                *(int(getattr(sensed, of)[0, k]) for of in COUNTS),
                float(sensed.weight[0, k]),
                reading("rate_rps", k),
                reading("in_flight", k),
            )
            for k, name in enumerate(backends)
        ),
        Reading(math.nan, time_s),
        Reading(math.nan, time_s),
        Reading(float(sensed.miss_share[0]), time_s),
    )
    wants = tuple(Want(b.name, b.wanted, b.weight) for b in state.backends)
    return TickRecord(
        service,
        time_s,
        Mode.SHADOW,
        outcome,
        state=state,
        proposal=Proposal(service, "ppo", time_s, wants),
        verdict=Verdict(service, time_s, wants),
    )


def loaded(folder: Path, text: str = CONFIG) -> Config:
    """The configuration itself."""
    return load(configured(folder, text))
