"""PPO by Stable-Baselines3 on the paired environment; resumable from the folder it works in."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import cast

import torch
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback, CallbackList, ProgressBarCallback
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from trimtab_agents.training.config import TRAIN_TRACES, TrainConfig
from trimtab_agents.training.vec_env import SHAPES, PairedVecEnv, Shape
from trimtab_envs.action import ACTION_DIMS, NEUTRAL
from trimtab_sim.traces import Trace, read_trace, shipped_traces

CHECKPOINT, AVERAGE, CONFIG = "checkpoint.zip", "average.pt", "config.json"
CHECKPOINT_EVERY_ROLLOUTS = 10
# The mean over about this many rollouts is what is exported: bursts are rare and dear, so the
# last step of training is a noisy one.
AVERAGED_ROLLOUTS = 30


class Keeper(BaseCallback):
    """Averages the weights over rollouts, and saves both every few, whole or not at all."""

    def __init__(self, model: PPO, folder: Path) -> None:
        super().__init__()
        self._folder = folder
        self._rollouts = 0
        mean = get_ema_multi_avg_fn(1.0 - 1.0 / AVERAGED_ROLLOUTS)  # type: ignore[no-untyped-call]  # torch's own
        self.average = AveragedModel(model.policy, multi_avg_fn=mean)
        if (folder / AVERAGE).exists():
            self.average.load_state_dict(torch.load(folder / AVERAGE, weights_only=True))

    def _on_step(self) -> bool:
        return True

    def _on_rollout_start(self) -> None:
        if self._rollouts:
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

    The model returned has the averaged weights; the checkpoint keeps the latest.
    """
    # Two threads on two busy cores ran many times slower than one.
    torch.set_num_threads(1)
    folder.mkdir(parents=True, exist_ok=True)
    config.save(folder / CONFIG)
    env = PairedVecEnv(train_traces(), config.seed, _shapes(config), config.pool)
    checkpoint = folder / CHECKPOINT
    resumed = checkpoint.exists()
    model = PPO.load(checkpoint, env=env, device="cpu") if resumed else fresh(config, env, folder)
    keeper = Keeper(model, folder)
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


def train_traces() -> list[Trace]:
    """The shipped traces that are for training."""
    shipped = shipped_traces()
    return [read_trace(shipped[name]) for name in TRAIN_TRACES]


def _shapes(config: TrainConfig) -> list[Shape]:
    return [replace(shape, services=shape.services * config.batch_scale) for shape in SHAPES]


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
