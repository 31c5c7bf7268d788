"""PPO really learns, does so the same way for a seed, and what is exported is what was trained."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from trimtab_agents.bundle import load  # noqa: E402 - torch decides whether this file runs
from trimtab_agents.training.config import TRAIN_TRACES, TrainConfig  # noqa: E402
from trimtab_agents.training.export import Actor, export  # noqa: E402
from trimtab_agents.training.run import fresh, train  # noqa: E402
from trimtab_agents.training.vec_env import PairedVecEnv, Shape  # noqa: E402
from trimtab_envs.action import ACTION_DIMS, NEUTRAL  # noqa: E402
from trimtab_envs.observation import FEATURES  # noqa: E402
from trimtab_sim.traces import shipped_traces  # noqa: E402

SHORT = TrainConfig(
    decisions=12_288, pretrain_windows=0, batch_scale=1, n_steps=16, batch_size=1024, pool=16
)


def observations(rows: int = 64) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(rows, len(FEATURES))).astype(np.float32)


def logits(model: object) -> np.ndarray:
    with torch.no_grad():
        return np.asarray(Actor(model)(torch.as_tensor(observations())))


def test_same_seed_same_policy_and_a_resumed_run_goes_on(tmp_path: Path) -> None:
    first = train(SHORT, tmp_path / "a", progress=False)
    second = train(SHORT, tmp_path / "b", progress=False)
    np.testing.assert_array_equal(logits(first), logits(second))
    resumed = train(replace(SHORT, decisions=18_432), tmp_path / "a", progress=False)
    assert first.num_timesteps == 12_288
    assert resumed.num_timesteps == 18_432


def test_a_folder_holds_one_run(tmp_path: Path) -> None:
    TrainConfig(seed=1).save(tmp_path / "config.json")
    with pytest.raises(ValueError, match="holds a run with other settings: give another folder"):
        train(TrainConfig(seed=2), tmp_path)


def test_ppo_starts_where_pretraining_ended(tmp_path: Path) -> None:
    config = replace(SHORT, decisions=1, pretrain_windows=1, pretrain_services=16, n_steps=1)
    model = train(config, tmp_path, progress=False)
    pretrained = torch.load(tmp_path / "pretrained.pt", weights_only=True)
    # The critic learns first, so one rollout leaves the actor as it was.
    for name, weights in Actor(model).state_dict().items():
        torch.testing.assert_close(weights, pretrained[name])
    assert not np.array_equal(logits(model), logits(fresh(config, model.get_env(), None)))


class MoreHeadroom(PairedVecEnv):
    """The real batch with a trivial reward: one for choosing more than neutral headroom."""

    def step_wait(self) -> tuple[Any, Any, Any, Any]:
        observation, _, done, infos = super().step_wait()
        reward = (self._actions[:, 1] > NEUTRAL[1]).astype(np.float32)
        return observation, reward, done, infos


def test_it_learns_a_trivial_lesson() -> None:
    env = MoreHeadroom([], seed=0, shapes=[Shape(64, 1, 60.0)], pool=16)
    eager = replace(SHORT, learning_rate=3e-3, batch_size=256, n_epochs=5, target_kl=1.0)
    model = fresh(eager, env, None)

    seen = env.reset()

    def share_of_more() -> float:
        sampled, _ = model.predict(seen, deterministic=False)
        return float((sampled[:, 1] > NEUTRAL[1]).mean())

    assert share_of_more() < 0.6
    model.learn(15 * SHORT.n_steps * env.num_envs)
    assert share_of_more() > 0.9


def test_twins_under_the_same_rule_differ_by_noise_only() -> None:
    env = PairedVecEnv([], seed=3, shapes=[Shape(32, 1, 60.0), Shape(16, 2, 60.0)], pool=64)
    assert env.reset().shape == (64, len(FEATURES))
    rewards = []
    for _ in range(60):
        env.step_async(np.tile(NEUTRAL, (64, 1)))
        _, reward, done, infos = env.step_wait()
        rewards.append(reward)
        assert all(infos[row]["TimeLimit.truncated"] for row in np.flatnonzero(done))
    assert abs(float(np.mean(rewards))) < 0.01


def test_validation_traces_are_not_trained_on() -> None:
    assert set(TRAIN_TRACES) < set(shipped_traces())
    assert len(set(shipped_traces()) - set(TRAIN_TRACES)) == 3


def test_exported_network_gives_the_trained_networks_choices(tmp_path: Path) -> None:
    model = train(SHORT, tmp_path, progress=False)
    export(model, SHORT, tmp_path / "bundle", "test", decisions=3)
    network = load(tmp_path / "bundle").network
    found = network.infer(observations().reshape(8, 8, len(FEATURES))).reshape(64, -1)
    with torch.no_grad():
        parts = torch.split(torch.as_tensor(logits(model)), ACTION_DIMS, dim=1)
        expected = torch.cat([torch.softmax(part, dim=1) for part in parts], dim=1)
    np.testing.assert_allclose(found, expected.numpy(), atol=1e-5)
    assert network.card["trained_decisions"] == model.num_timesteps
