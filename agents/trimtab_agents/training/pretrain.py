"""Before PPO: the actor descends the fluid twin's gradient along its own rollouts.

The actor plays services in the real simulator; what it saw and met there is recorded; then its
choices are made better as far as the fluid twin can tell; and again, so that it learns from the
situations that it gets itself into.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
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
from trimtab_envs.minutes import Bools, Floats
from trimtab_envs.world import World

# An actor's own past is still good to learn from for so many windows.
WINDOWS_KEPT = 4
AVERAGED_STEPS = 60
# Scores of services differ by a hundred times: each counts relative to itself.
SCORE_FLOOR = 0.5
PER_DECISION = ("observation", "fresh", "opening", *Facts._fields)
PER_TICK = ("estimates", "present", "ahead", "backlog", "rate_rps")


@dataclass(frozen=True, slots=True)
class PretrainConfig:
    """``windows`` of ``decisions`` decisions of ``services`` services, ``steps`` steps on each."""

    windows: int = 100
    decisions: int = 240
    services: int = 512
    batch: int = 256
    steps: int = 12
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
    """Plays services of one backend and records what the fluid twin must know."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._fresh: Bools = np.ones(world.services, dtype=np.bool_)
        self._past = deque(
            [world.codec.wanted[:, 0]] * LONGEST_STARTUP_TICKS, maxlen=LONGEST_STARTUP_TICKS
        )

    def record(self, actor: Actor, decisions: int) -> tuple[Recording, Floats]:
        """What happened, and the simulator's own score of it ``[decisions, B]``."""
        codec, ticks = self._world.codec, self._world.codec.decision_ticks
        before = {
            "choice": _tensor(codec.choice[:, 0]),
            "held": _tensor(codec.rule.held[:, 0]),
            "past": _tensor(np.stack(self._past)),
        }
        rows: dict[str, list[Floats]] = {name: [] for name in (*PER_DECISION, *PER_TICK)}
        scores = []
        for _ in range(decisions):
            self._note_decision(rows, actor)
            scores.append(self._play(rows, ticks))
        stacked = {name: _tensor(np.stack(values)) for name, values in rows.items()}
        facts = Facts(*(stacked.pop(name) for name in Facts._fields))
        stacked["fresh"] = stacked["fresh"].to(torch.bool)
        seen: dict[str, Any] = {**stacked, **before}
        return Recording(tick_s=self._world.tick_s, facts=facts, **seen), np.stack(scores)

    def _note_decision(self, rows: dict[str, list[Floats]], actor: Actor) -> None:
        world, episodes, profiles = self._world, self._world.episodes, self._world.profiles
        observation = world.observe()
        world.codec.choose(mean_choices(actor, observation))
        per_service = {
            "observation": observation[:, 0],
            "fresh": self._fresh,
            "opening": world.codec.wanted[:, 0],
            "startup_s": profiles.startup_mean_s[:, 0],
            "replica_rps": profiles.replica_rps[:, 0],
            "slots": profiles.concurrency[:, 0],
            "service_scv": profiles.service_scv[:, 0],
            "slo_latency_s": profiles.slo_latency_s,
            "service_time_s": profiles.service_time_s[:, 0],
            "timeout_s": profiles.timeout_s,
            "min_replicas": profiles.min_replicas[:, 0],
            "max_replicas": profiles.max_replicas[:, 0],
            "miss_price": episodes.miss_price,
            "mean_rps": episodes.mean_rps,
        }
        for name, value in per_service.items():
            rows[name].append(value.astype(np.float32))

    def _play(self, rows: dict[str, list[Floats]], count: int) -> Floats:
        world, codec = self._world, self._world.codec
        ticks = []
        for _ in range(count):
            rows["estimates"].append(codec.memory.estimates().T.astype(np.float32))
            rows["present"].append(codec.memory.present.astype(np.float32))
            rows["ahead"].append(codec.memory.jump_ahead.astype(np.float32))
            rows["backlog"].append(codec.backlog[:, 0].astype(np.float32))
            rows["rate_rps"].append(world.rate_rps().astype(np.float32))
            ticks.append(world.tick())
            self._past.append(codec.wanted[:, 0])
        step = world.score(ticks)
        self._fresh = step.done
        world.reset(step.done)
        return step.score


def _tensor(values: Floats) -> Tensor:
    return torch.as_tensor(np.ascontiguousarray(values), dtype=torch.float32)


def pretrain(
    model: PPO,
    world: World,
    config: PretrainConfig,
    seed: int,
    progress: Callable[[int, float], None],
) -> None:
    """Train ``model``'s actor in ``world``, whose services have one backend each.

    The actor ends with the mean of its late weights. ``progress`` is told each window's number
    and the mean logarithm of its scores in the simulator.
    """
    actor = Actor(model)
    optimiser = torch.optim.Adam(actor.parameters(), lr=config.learning_rate)
    mean = get_ema_multi_avg_fn(1.0 - 1.0 / AVERAGED_STEPS)  # type: ignore[no-untyped-call]  # torch's own
    average = AveragedModel(actor, multi_avg_fn=mean)
    total = config.windows * config.steps
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, total)
    recorder, rng = Recorder(world), np.random.default_rng(seed)
    kept: deque[Recording] = deque(maxlen=WINDOWS_KEPT)
    for window in range(config.windows):
        seen, scores = recorder.record(actor, config.decisions)
        kept.append(seen)
        sharpness = config.entropy_price * window / config.windows
        for step in range(config.steps):
            # Every other step on the newest window: the others were met by a younger actor.
            chosen = seen if step % 2 == 0 else kept[int(rng.integers(len(kept)))]
            rows = torch.as_tensor(rng.permutation(world.services)[: config.batch])
            optimiser.zero_grad()
            loss = _loss(actor, chosen.columns(rows), sharpness)
            loss.backward()  # type: ignore[no-untyped-call]  # torch's own
            nn.utils.clip_grad_norm_(actor.parameters(), 1.0)
            optimiser.step()
            schedule.step()
            average.update_parameters(actor)
        progress(window, float(np.log(SCORE_FLOOR + scores.mean(0)).mean()))
    actor.load_state_dict(average.module.state_dict())


def _loss(actor: Actor, seen: Recording, sharpness: float) -> Tensor:
    """Every service's score relative to itself, and a price on indecision."""
    logits = actor(seen.observation)
    score = costs(logits, seen).mean(0)
    entropy = sum(-(part * torch.log(part + 1e-9)).sum(-1).mean() for part in distributions(logits))
    relative = score / (SCORE_FLOOR + score.detach())
    return relative.mean() + sharpness * entropy
