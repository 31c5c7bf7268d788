"""Pretraining, then PPO by Stable-Baselines3 on the paired environment.

Resumable from the folder it works in.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import cast

import numpy as np
import torch
from rich.progress import Progress
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback, CallbackList, ProgressBarCallback
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.tensorboard import SummaryWriter

from trimtab_agents.training.config import TRAIN_TRACES, TrainConfig
from trimtab_agents.training.pretrain import Actor, PretrainConfig, mean_choices, pretrain
from trimtab_agents.training.vec_env import SHAPES, PairedVecEnv
from trimtab_envs.action import ACTION_DIMS, NEUTRAL
from trimtab_envs.episodes import EpisodeSource
from trimtab_envs.world import World
from trimtab_sim.traces import Trace, read_trace, shipped_traces

CHECKPOINT, AVERAGE, CONFIG = "checkpoint.zip", "average.pt", "config.json"
PRETRAINED = "pretrained.pt"
CHECKPOINT_EVERY_ROLLOUTS = 10
# The mean over about this many rollouts is what is exported: bursts are rare and dear, so the
# last step of training is a noisy one.
AVERAGED_ROLLOUTS = 30
# The critic learns what the pretrained actor's situations are worth before that actor may change.
CRITIC_ROLLOUTS = 8
PRETRAIN_TICK_S = 5.0
# Worlds with services of so many backends: as many steps on each.
PRETRAIN_BACKENDS = (1, 3)


class Keeper(BaseCallback):
    """Averages the weights over rollouts, and saves both every few, whole or not at all."""

    def __init__(self, model: PPO, folder: Path, critic_rollouts: int) -> None:
        super().__init__()
        self._folder, self._critic_rollouts = folder, critic_rollouts
        self._rollouts = 0
        mean = get_ema_multi_avg_fn(1.0 - 1.0 / AVERAGED_ROLLOUTS)  # type: ignore[no-untyped-call]  # torch's own
        self.average = AveragedModel(model.policy, multi_avg_fn=mean)
        if (folder / AVERAGE).exists():
            self.average.load_state_dict(torch.load(folder / AVERAGE, weights_only=True))

    def _on_step(self) -> bool:
        return True

    def _on_rollout_start(self) -> None:
        Actor(cast(PPO, self.model)).requires_grad_(self._rollouts >= self._critic_rollouts)
        if self._rollouts > self._critic_rollouts:
            self.average.update_parameters(self.model.policy)
            if self._rollouts % CHECKPOINT_EVERY_ROLLOUTS == 0:
                self.save()
        self._rollouts += 1

    def save(self) -> None:
        """Write so that a kill at any moment leaves whole files."""
        fresh = self._folder / "fresh.zip"
        self.model.save(fresh)
        fresh.replace(self._folder / CHECKPOINT)
        torch.save(self.average.state_dict(), fresh)
        fresh.replace(self._folder / AVERAGE)


def train(config: TrainConfig, folder: Path, *, progress: bool = True) -> PPO:
    """Train in ``folder``, continuing from the checkpoint that lies there, if any.

    The model returned has the averaged weights; the checkpoint keeps the latest. `ValueError`
    when what lies there was begun with other settings, but for its length.
    """
    # Two threads on two busy cores ran many times slower than one.
    torch.set_num_threads(1)
    folder.mkdir(parents=True, exist_ok=True)
    _check_same_run(config, folder)
    config.save(folder / CONFIG)
    env = environment(config)
    checkpoint = folder / CHECKPOINT
    resumed = checkpoint.exists()
    model = PPO.load(checkpoint, env=env, device="cpu") if resumed else fresh(config, env, folder)
    if config.pretrain_windows:
        actor = _pretrained(config, model, folder, progress=progress)
        env.rival = partial(mean_choices, actor)
    keeper = Keeper(model, folder, 0 if resumed or not config.pretrain_windows else CRITIC_ROLLOUTS)
    callbacks: list[BaseCallback] = [keeper, *([ProgressBarCallback()] if progress else [])]
    remaining = config.decisions - model.num_timesteps
    if remaining > 0:
        model.learn(
            remaining,
            callback=CallbackList(callbacks),
            log_interval=5,
            reset_num_timesteps=not resumed,
        )
        keeper.save()
    model.policy.load_state_dict(keeper.average.module.state_dict())
    return model


def _check_same_run(config: TrainConfig, folder: Path) -> None:
    begun = folder / CONFIG
    if begun.exists() and replace(TrainConfig.read(begun), decisions=config.decisions) != config:
        raise ValueError(f"{folder}: holds a run with other settings: give another folder")


def _pretrained(config: TrainConfig, model: PPO, folder: Path, *, progress: bool) -> Actor:
    """The actor as pretraining left it, in ``folder``; a fresh model starts from it."""
    weights = folder / PRETRAINED
    if not weights.exists():
        schedule = PretrainConfig(config.pretrain_windows)
        sources, arrivals = map(np.random.default_rng, np.random.SeedSequence(config.seed).spawn(2))
        source = EpisodeSource(sources, PRETRAIN_TICK_S, train_traces(), config.pool)
        worlds = [
            World(source, config.pretrain_services // backends, backends, PRETRAIN_TICK_S, arrivals)
            for backends in PRETRAIN_BACKENDS
        ]
        with SummaryWriter(str(folder / "pretrain")) as log, Progress(disable=not progress) as bar:
            task = bar.add_task("pretrain", total=schedule.windows)

            def told(window: int, score: float) -> None:
                log.add_scalar("pretrain/score", score, window)
                bar.advance(task)

            pretrain(model, worlds, schedule, config.seed, told)
        torch.save(Actor(model).state_dict(), weights)
    actor = deepcopy(Actor(model))
    actor.load_state_dict(torch.load(weights, weights_only=True))
    if model.num_timesteps == 0:
        Actor(model).load_state_dict(actor.state_dict())
    return actor


def train_traces() -> list[Trace]:
    """The shipped traces that are for training."""
    shipped = shipped_traces()
    return [read_trace(shipped[name]) for name in TRAIN_TRACES]


def environment(config: TrainConfig) -> PairedVecEnv:
    """What a run of ``config`` trains on."""
    shapes = [replace(shape, services=shape.services * config.batch_scale) for shape in SHAPES]
    return PairedVecEnv(train_traces(), config.seed, shapes, config.pool)


def fresh(config: TrainConfig, env: PairedVecEnv, log: Path | None) -> PPO:
    """An untrained model that behaves like the plain rule; TensorBoard's log goes to ``log``."""
    rate = config.learning_rate
    model = PPO(
        "MlpPolicy",
        env,
        learning_rate=lambda left: rate * (0.1 + 0.9 * left),
        n_steps=config.n_steps,
        batch_size=config.batch_size,
        n_epochs=config.n_epochs,
        gamma=config.gamma,
        gae_lambda=config.gae_lambda,
        ent_coef=config.ent_coef,
        vf_coef=config.vf_coef,
        clip_range=config.clip_range,
        target_kl=config.target_kl,
        policy_kwargs={"net_arch": [config.width, config.width]},
        seed=config.seed,
        device="cpu",
        tensorboard_log=str(log) if log else None,
    )
    start_at_the_rule(model)
    return model


def start_at_the_rule(model: PPO) -> None:
    """Bias the first policy to the plain rule, so that learning starts from sober behaviour."""
    bias = cast(torch.nn.Linear, model.policy.action_net).bias
    offset = 0
    with torch.no_grad():
        for size, neutral in zip(ACTION_DIMS, NEUTRAL, strict=True):
            distance = (torch.arange(size) - neutral).abs()
            bias[offset : offset + size] = 3.0 - 1.5 * torch.clamp(distance, 0, 3)
            offset += size
