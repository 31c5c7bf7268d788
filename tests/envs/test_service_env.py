"""The Gymnasium contract of ``trimtab/Service-v1``."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from trimtab_envs.service import ServiceEnv


@pytest.mark.parametrize("backends", [1, 3])
def test_gymnasium_checker(backends: int) -> None:
    check_env(
        gym.make("trimtab_envs:trimtab/Service-v1", backends=backends).unwrapped,
        skip_render_check=True,
    )


def test_stable_baselines3_checker() -> None:
    checker = pytest.importorskip("stable_baselines3.common.env_checker")
    checker.check_env(ServiceEnv())


def rollout(seed: int, steps: int = 40) -> tuple[np.ndarray, list[float]]:
    env = ServiceEnv(backends=2)
    env.action_space.seed(seed)
    observation, _ = env.reset(seed=seed)
    seen, rewards = [observation], []
    for _ in range(steps):
        observation, reward, *_ = env.step(env.action_space.sample())
        seen.append(observation)
        rewards.append(reward)
    return np.array(seen), rewards


def test_same_seed_same_rollout() -> None:
    first, second, other = rollout(3), rollout(3), rollout(4)
    np.testing.assert_array_equal(first[0], second[0])
    assert first[1] == second[1]
    assert first[1] != other[1]


def test_reward_is_the_score_term_by_term() -> None:
    env = ServiceEnv()
    env.reset(seed=11)
    for _ in range(30):
        _, reward, terminated, _, info = env.step(env.action_space.sample())
        assert reward == pytest.approx(-(info["fleet"] + info["miss_price"] * info["miss"]))
        assert info["fleet"] > 0
        assert info["miss"] >= 0
        assert not terminated


def test_an_episode_ends_and_the_next_begins() -> None:
    env = ServiceEnv(tick_s=60.0)
    env.reset(seed=5)
    truncated, steps = False, 0
    while not truncated:
        *_, truncated, _ = env.step(env.action_space.sample())
        steps += 1
    # Half an hour to eight hours of minute-long decisions.
    assert 30 <= steps <= 480
    observation, _ = env.reset()
    assert env.observation_space.contains(observation)


@pytest.mark.parametrize("bad", [{"backends": 0}, {"tick_s": 0.0}, {"tick_s": float("nan")}])
def test_bad_arguments_are_refused(bad: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="need backends >= 1 and tick_s > 0"):
        ServiceEnv(**bad)  # type: ignore[arg-type]  # bad on purpose


def test_step_before_reset_is_refused() -> None:
    env = ServiceEnv()
    with pytest.raises(RuntimeError, match="reset"):
        env.step(env.action_space.sample())
