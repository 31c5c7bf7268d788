"""Before PPO: the actor descends the fluid twin's gradient along its own rollouts.

The actor plays services in the real simulator; what it saw and met there is recorded; then its
choices are made better as far as the fluid twin can tell; and again, so that it learns from the
situations that it gets itself into.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from stable_baselines3 import PPO
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from trimtab_agents.training.fluid import (
    LONGEST_STARTUP_TICKS,
    Facts,
    Recording,
    costs,
    distributions,
)
from trimtab_envs.action import CHOICES
from trimtab_envs.merit import GREED
from trimtab_envs.minutes import Bools, Floats
from trimtab_envs.world import World

# An actor's own past is still good to learn from for so many windows.
WINDOWS_KEPT = 4
# What speaks for building where there is no backend.
ABSENT = -50.0
AVERAGED_STEPS = 60
# Scores of services differ by a hundred times: each counts relative to itself.
SCORE_FLOOR = 0.5
PER_DECISION = ("observation", "fresh", "opening", *Facts._fields)
PER_TICK = (
    "estimates", "present", "ahead", "backlog", "rate_rps", "merit", "slowness", "late", "slower",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class PretrainConfig:
    """``windows`` of ``decisions`` decisions, and ``steps`` steps on each window.

    A step is on ``batch`` backends.
    """

    windows: int = 64
    decisions: int = 240
    batch: int = 256
    steps: int = 18
    learning_rate: float = 3e-3
    # What is sampled in PPO should be near the mean that was trained here.
    entropy_price: float = 0.003


class Actor(nn.Module):
    """The part of PPO's network that decides: observation in, logits of all choices out."""

    def __init__(self, model: PPO) -> None:
        super().__init__()
        self._hidden = model.policy.mlp_extractor.policy_net
        self._head = model.policy.action_net

    def forward(self, observation: Tensor) -> Tensor:
        """``[..., F]`` to ``[..., CHOICES]``."""
        return cast(Tensor, self._head(self._hidden(observation)))


def mean_choices(actor: Actor, observation: NDArray[np.float32]) -> Floats:
    """The mean of the actor's choices, ``[..., CHOICES]``, as a deployed policy plays it."""
    with torch.no_grad():
        chosen = torch.cat(distributions(actor(torch.as_tensor(observation))), -1)
    return np.asarray(chosen.numpy(), dtype=np.float64)


class Recorder:
    """Plays services and records what the fluid twin must know; rows are backends."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._fresh: Bools = np.ones(world.services, dtype=np.bool_)
        self._past = deque(
            [world.codec.wanted.ravel()] * LONGEST_STARTUP_TICKS, maxlen=LONGEST_STARTUP_TICKS
        )

    def record(self, actor: Actor, decisions: int) -> tuple[Recording, Floats]:
        """What happened, and the simulator's own score of it ``[decisions, B]``."""
        codec = self.world.codec
        before = {
            "choice": _tensor(codec.choice.reshape(-1, CHOICES)),
            "held": _tensor(codec.rule.held.ravel()),
            "past": _tensor(np.stack(self._past)),
        }
        rows: dict[str, list[Floats]] = {name: [] for name in (*PER_DECISION, *PER_TICK)}
        scores = []
        for _ in range(decisions):
            self._note(rows, self._decide(actor))
            scores.append(self._play(rows))
        stacked = {name: _tensor(np.stack(values)) for name, values in rows.items()}
        facts = Facts(*(stacked.pop(name) for name in Facts._fields))
        stacked["fresh"] = stacked["fresh"].to(torch.bool)
        seen: dict[str, Any] = {**stacked, **before}
        world = self.world
        return Recording(world.tick_s, world.backends, facts=facts, **seen), np.stack(scores)

    def _decide(self, actor: Actor) -> dict[str, Floats]:
        """Let the actor decide; what its decision rests on and falls on, per backend."""
        world, episodes, profiles = self.world, self.world.episodes, self.world.profiles
        observation = world.observe()
        world.codec.choose(mean_choices(actor, observation))
        per_backend: dict[str, NDArray[Any]] = {
            "observation": observation,
            "opening": world.codec.wanted,
            "startup_s": profiles.startup_mean_s,
            "replica_rps": profiles.replica_rps,
            "slots": profiles.concurrency,
            "service_scv": profiles.service_scv,
            "service_time_s": profiles.service_time_s,
            "min_replicas": profiles.min_replicas,
            "max_replicas": profiles.max_replicas,
            "replica_price": profiles.price / (episodes.mean_rps * profiles.least_price)[:, None],
        }
        per_service: dict[str, NDArray[Any]] = {
            "fresh": self._fresh,
            "slo_latency_s": profiles.slo_latency_s,
            "timeout_s": profiles.timeout_s,
            "miss_price": episodes.miss_price,
            "mean_rps": episodes.mean_rps,
        }
        return per_backend | {name: self._wide(value) for name, value in per_service.items()}

    def _see(self) -> dict[str, Floats]:
        """What the coming tick is decided on, and what it will bring, per backend."""
        world, profiles = self.world, self.world.profiles
        memory, merit = world.codec.memory, world.codec.merit
        return {
            "estimates": memory.estimates().T.reshape(*profiles.shape, -1),
            "present": memory.present.reshape(profiles.shape),
            "ahead": memory.jump_ahead.reshape(profiles.shape),
            "backlog": world.codec.backlog,
            "rate_rps": self._wide(world.rate_rps()),
            "merit": np.where(profiles.present, -GREED * np.log(merit.cost), ABSENT),
            "slowness": merit.slowness,
            "late": merit.late_share,
            "slower": world.slower,
        }

    def _wide(self, per_service: NDArray[Any]) -> Floats:
        return np.broadcast_to(per_service[:, None], self.world.profiles.shape)

    def _note(self, rows: dict[str, list[Floats]], values: Mapping[str, Floats]) -> None:
        for name, value in values.items():
            flat = value.reshape(-1, *value.shape[2:])
            rows[name].append(flat.astype(np.float32))

    def _play(self, rows: dict[str, list[Floats]]) -> Floats:
        world = self.world
        ticks = []
        for _ in range(world.codec.decision_ticks):
            self._note(rows, self._see())
            ticks.append(world.tick())
            self._past.append(world.codec.wanted.ravel())
        step = world.score(ticks)
        self._fresh = step.done
        world.reset(step.done)
        return step.score


def _tensor(values: Floats) -> Tensor:
    return torch.as_tensor(np.ascontiguousarray(values), dtype=torch.float32)


def pretrain(
    model: PPO,
    worlds: Sequence[World],
    config: PretrainConfig,
    seed: int,
    progress: Callable[[int, float], None],
) -> None:
    """Train ``model``'s actor in ``worlds``, each step on one of them.

    The actor ends with the mean of its late weights. ``progress`` is told each window's number
    and the mean logarithm of its scores in the simulator.
    """
    actor = Actor(model)
    optimiser = torch.optim.Adam(actor.parameters(), lr=config.learning_rate)
    mean = get_ema_multi_avg_fn(1.0 - 1.0 / AVERAGED_STEPS)  # type: ignore[no-untyped-call]  # torch's own
    average = AveragedModel(actor, multi_avg_fn=mean)
    total = config.windows * config.steps
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, total)
    memories = [Memories(world) for world in worlds]
    rng = np.random.default_rng(seed)
    for window in range(config.windows):
        scores = [memory.renew(actor, config.decisions) for memory in memories]
        sharpness = config.entropy_price * window / config.windows
        for step in range(config.steps):
            # Every other turn on the newest window: the others were met by a younger actor.
            memory, turn = memories[step % len(memories)], step // len(memories)
            seen = memory.drawn(rng, config.batch, newest=turn % 2 == 0)
            optimiser.zero_grad()
            loss = _loss(actor, seen, sharpness)
            loss.backward()  # type: ignore[no-untyped-call]  # torch's own
            nn.utils.clip_grad_norm_(actor.parameters(), 1.0)
            optimiser.step()
            schedule.step()
            average.update_parameters(actor)
        progress(window, float(np.mean(scores)))
    actor.load_state_dict(average.module.state_dict())


class Memories:
    """The last windows of one world."""

    def __init__(self, world: World) -> None:
        self._recorder = Recorder(world)
        self._kept: deque[Recording] = deque(maxlen=WINDOWS_KEPT)

    def renew(self, actor: Actor, decisions: int) -> float:
        """Record a window; the mean logarithm of its scores."""
        seen, scores = self._recorder.record(actor, decisions)
        self._kept.append(seen)
        return float(np.log(SCORE_FLOOR + scores.mean(0)).mean())

    def drawn(self, rng: np.random.Generator, rows: int, *, newest: bool) -> Recording:
        """About ``rows`` backends of a window."""
        world = self._recorder.world
        seen = self._kept[-1 if newest else int(rng.integers(len(self._kept)))]
        services = rng.permutation(world.services)[: max(1, rows // world.backends)]
        return seen.of(torch.as_tensor(services))


def _loss(actor: Actor, seen: Recording, sharpness: float) -> Tensor:
    """Every service's score relative to itself, and a price on indecision."""
    logits = actor(seen.observation)
    score = costs(logits, seen).mean(0)
    entropy = sum(-(part * torch.log(part + 1e-9)).sum(-1).mean() for part in distributions(logits))
    relative = score / (SCORE_FLOOR + score.detach())
    return relative.mean() + sharpness * entropy
