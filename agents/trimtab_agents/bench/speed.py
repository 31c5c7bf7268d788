"""How fast simulator, environment and training are, beside a plain event model's pace.

What is compared is simulated time: seconds of one backend's life per second of one core. Fast
and plain take turns on the same kind of services, so a slow moment of the machine slows both and
the ratio stays. Seconds are the processor's: who else is busy is nobody's merit or fault.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import partial
from importlib.util import find_spec
from typing import Any

import gymnasium as gym
import numpy as np

import trimtab_envs  # noqa: F401 - registers the environments
from trimtab_agents.bench.event_service import EventService
from trimtab_envs.codec import DECISION_S
from trimtab_envs.episodes import Episodes, EpisodeSource
from trimtab_sim.profile import Floats, Profiles
from trimtab_sim.simulator import Simulator

TICK_S = 5.0
DECISION_TICKS = round(DECISION_S / TICK_S)
SERVICES, BACKENDS = 1024, 2
# Of the simulator's features, those that are off by default.
FEATURES = {
    "sample_s": 15.0,
    "dropout_share": 0.02,
    "stall_per_h": 0.2,
    "freeze_per_h": 0.2,
    "retries": 2.0,
    "crash_per_h": 0.02,
    "preempt_per_h": 0.1,
    "zone_loss_per_h": 0.02,
    "error_share": 0.001,
}
EVENT_SERVICES = 16
HEADROOM = 1.3
SEED = 0
RUNS = 5
TRAINER = "stable_baselines3"


@dataclass(frozen=True, slots=True)
class Piece:
    """Work that can be repeated: ``run`` does ``count`` units, each ``backend_s`` of a backend."""

    name: str
    unit: str
    aim: float
    count: int
    backend_s: float
    run: Callable[[], object]


@dataclass(frozen=True, slots=True)
class Pace:
    """Units per second of a piece, and how many times as fast as the event model, run by run."""

    piece: Piece
    per_s: Floats
    ratio: Floats


def pieces() -> list[Piece]:
    """What is measured; training only where its libraries are installed."""
    found = [simulation(), environment()]
    return [*found, training()] if find_spec(TRAINER) else found


def paces(piece: Piece, event: Piece, runs: int, told: Callable[[], None]) -> Pace:
    """Measure both in turns, ``runs`` times, after one of each that does not count."""
    timed = []
    for _ in range(runs + 1):
        timed.append((_per_s(piece), _per_s(event)))
        told()
    per_s, event_per_s = np.array(timed[1:]).T
    return Pace(piece, per_s, per_s * piece.backend_s / (event_per_s * event.backend_s))


def _per_s(piece: Piece) -> float:
    begun_s = time.process_time()
    piece.run()
    return piece.count / (time.process_time() - begun_s)


def event_model() -> Piece:
    """Random services of one backend request by request, one tick of each."""
    source = EpisodeSource(_rng(), TICK_S, pool=EVENT_SERVICES)
    episodes = source.draw(EVENT_SERVICES, 1)
    rates = _rates(source, episodes, ticks=1)[0]
    replicas = np.ceil(HEADROOM * rates / episodes.profiles.replica_rps[:, 0]).astype(int)
    services = [
        EventService(episodes.profiles, row, count, _rng()) for row, count in enumerate(replicas)
    ]

    def run() -> None:
        for service, rate, count in zip(services, rates, replicas, strict=True):
            service.tick(float(rate), int(count), TICK_S)

    return Piece("event_ticks", "ticks", 0.0, EVENT_SERVICES, TICK_S, run)


def simulation(ticks: int = 60) -> Piece:
    """A batch of random services under random loads, scaled twice a minute; nothing is off."""
    source = EpisodeSource(_rng(), TICK_S, pool=64)
    episodes = source.draw(SERVICES, BACKENDS)
    profiles = _all_on(episodes.profiles)
    simulator = Simulator(profiles, TICK_S, _rng())
    rates = _rates(source, episodes, ticks)
    weight = np.full(profiles.shape, 1.0 / BACKENDS)
    wanted = np.ceil(HEADROOM * rates[:, :, None] * weight / profiles.replica_rps)
    simulator.reset(wanted[0], weight)

    def run() -> None:
        for tick, rate in enumerate(rates):
            simulator.step(rate, wanted[tick - tick % DECISION_TICKS], weight)

    return Piece("service_ticks", "service-ticks", 1e6, SERVICES * ticks, BACKENDS * TICK_S, run)


def _all_on(profiles: Profiles) -> Profiles:
    features = {
        name: np.full_like(getattr(profiles, name), value) for name, value in FEATURES.items()
    }
    return replace(profiles, **features)


def _rates(source: EpisodeSource, episodes: Episodes, ticks: int) -> Floats:
    at = episodes.start[:, None] + np.arange(ticks)
    return np.asarray(source.pool[episodes.row[:, None], at] * episodes.gain[:, None]).T


def environment(decisions: int = 200) -> Piece:
    """One service through Gymnasium, with random actions."""
    env = gym.make("trimtab/Service-v1")
    env.reset(seed=SEED)
    env.action_space.seed(SEED)
    actions = [env.action_space.sample() for _ in range(decisions)]

    def run() -> None:
        for action in actions:
            if env.step(action)[3]:
                env.reset()

    ticks = decisions * DECISION_TICKS
    return Piece("env_ticks", "ticks", 1e4, ticks, TICK_S, run)


def training() -> Piece:
    """One rollout of PPO as shipped, and the learning from it."""
    import torch

    from trimtab_agents.training import run
    from trimtab_agents.training.config import TrainConfig
    from trimtab_agents.training.pretrain import Actor, mean_choices

    torch.set_num_threads(1)
    config = TrainConfig()
    env = run.environment(config)
    model = run.fresh(config, env, None)
    # As after pretraining, when the rival is a network too.
    env.rival = partial(mean_choices, deepcopy(Actor(model)))
    decisions = env.num_envs * config.n_steps
    learn = partial(model.learn, decisions, reset_num_timesteps=False)
    # A decision is lived through twice: beside each world goes a twin that a rival steers.
    return Piece("train_steps", "decisions", 2e4, decisions, 2.0 * DECISION_S, learn)


def _rng() -> np.random.Generator:
    return np.random.default_rng(SEED)


def speed_table(found: Sequence[Pace]) -> str:
    """Markdown."""
    lines = [
        "| per second of one core | median | middle half of runs | aim | x event model |",
        "| --- | --: | --: | --: | --: |",
    ]
    for pace in found:
        low, median, high = np.quantile(pace.per_s, [0.25, 0.5, 0.75])
        lines.append(
            f"| {pace.piece.unit} | {median:,.0f} | {low:,.0f} to {high:,.0f} "
            f"| {pace.piece.aim:,.0f} | {np.median(pace.ratio):,.1f} |"
        )
    if not find_spec(TRAINER):
        lines += ["", f"Training is left out: {TRAINER} is missing (pip install 'trimtab[train]')."]
    return "\n".join(lines)


def speed_data(found: Sequence[Pace]) -> dict[str, Any]:
    """Medians, ratios to the event model, and every run."""
    data: dict[str, Any] = {}
    for pace in found:
        name = pace.piece.name
        data[f"{name}_per_s"] = float(np.median(pace.per_s))
        data[f"{name}_per_s_runs"] = pace.per_s.tolist()
        data[f"{name}_ratio"] = float(np.median(pace.ratio))
        data[f"{name}_aim"] = pace.piece.aim
    return data
