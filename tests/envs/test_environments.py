"""The Gymnasium contract of ``trimtab/Service-v1`` and ``trimtab/Cluster-v1``."""

from __future__ import annotations

import pickle
import sys
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.error import DependencyNotInstalled
from gymnasium.utils.env_checker import check_env

from trimtab_envs.action import CHOICES, NEUTRAL, one_hot
from trimtab_envs.cluster import ClusterEnv, ClusterVectorEnv, ClusterWorlds
from trimtab_envs.observation import FEATURES
from trimtab_envs.service import ServiceEnv, ServiceVectorEnv

SINGLE = [ServiceEnv, ClusterEnv]
MANY = [ServiceVectorEnv, ClusterVectorEnv]
IDS = ["trimtab/Service-v1", "trimtab/Cluster-v1"]


@pytest.mark.parametrize("backends", [1, 2])
@pytest.mark.parametrize("name", IDS)
def test_gymnasium_checker(name: str, backends: int) -> None:
    check_env(
        gym.make(f"trimtab_envs:{name}", backends=backends, render_mode="rgb_array").unwrapped
    )


@pytest.mark.parametrize("kind", SINGLE)
def test_stable_baselines3_checker(kind: type[gym.Env[Any, Any]]) -> None:
    checker = pytest.importorskip("stable_baselines3.common.env_checker")
    checker.check_env(kind())


def rollout(env: gym.Env[Any, Any], seed: int, steps: int = 30) -> tuple[np.ndarray, list[float]]:
    env.action_space.seed(seed)
    observation, _ = env.reset(seed=seed)
    seen, rewards = [observation], []
    for _ in range(steps):
        observation, reward, *_ = env.step(env.action_space.sample())
        seen.append(observation)
        rewards.append(reward)
    return np.array(seen), rewards


@pytest.mark.parametrize("kind", SINGLE)
def test_same_seed_same_rollout(kind: Any) -> None:
    first, second, other = (rollout(kind(backends=2), seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first[0], second[0])
    assert first[1] == second[1]
    assert first[1] != other[1]


@pytest.mark.parametrize("kind", [*SINGLE, *MANY])
def test_a_pickled_environment_goes_on_as_the_original(kind: Any) -> None:
    env = kind()
    env.action_space.seed(1)
    env.reset(seed=1)
    actions = [env.action_space.sample() for _ in range(30)]
    for action in actions[:20]:
        env.step(action)
    copy = pickle.loads(pickle.dumps(env))  # noqa: S301 - our own
    for action in actions[20:]:
        original, copied = env.step(action), copy.step(action)
        np.testing.assert_array_equal(original[0], copied[0])
        assert original[1] == copied[1]


@pytest.mark.parametrize("kind", SINGLE)
def test_reward_is_the_score_term_by_term(kind: Any) -> None:
    env = kind()
    env.reset(seed=11)
    for _ in range(30):
        _, reward, terminated, _, info = env.step(env.action_space.sample())
        assert reward == pytest.approx(-(info["fleet"] + info["miss_price"] * info["miss"]))
        assert info["fleet"] > 0
        assert info["miss"] >= 0
        assert not terminated


def test_a_clusters_terms_are_those_of_its_services() -> None:
    env = ClusterEnv(services=3, backends=2)
    env.reset(seed=2)
    info = env.step(env.action_space.sample())[-1]
    assert info["miss"] == pytest.approx(info["miss_by_service"].mean())
    assert info["fleet_by_service"].min() <= info["fleet"] <= info["fleet_by_service"].max()
    assert info["nodes"] >= 1


@pytest.mark.parametrize("kind", SINGLE)
def test_an_episode_ends_and_the_next_begins(kind: Any) -> None:
    env = kind(tick_s=60.0)
    env.reset(seed=5)
    truncated, steps = False, 0
    while not truncated:
        *_, truncated, _ = env.step(env.action_space.sample())
        steps += 1
    # Half an hour to eight hours of minute-long decisions.
    assert 30 <= steps <= 480
    observation, _ = env.reset()
    assert env.observation_space.contains(observation)


@pytest.mark.parametrize("name", IDS)
def test_a_batch_of_one_is_the_environment(name: str) -> None:
    one = gym.make(f"trimtab_envs:{name}", tick_s=60.0)
    batch = gym.make_vec(f"trimtab_envs:{name}", 1, "vector_entry_point", tick_s=60.0)
    one.action_space.seed(8)
    np.testing.assert_array_equal(one.reset(seed=8)[0], batch.reset(seed=8)[0][0])
    done = False
    while not done:
        action = one.action_space.sample()
        observation, reward, _, done, info = one.step(action)
        seen, rewards, terminated, truncated, infos = batch.step(action[None])
        assert (rewards[0], truncated[0], terminated[0]) == (reward, done, False)
        assert all(np.array_equal(infos[key][0], info[key]) for key in info)
        if not done:
            np.testing.assert_array_equal(seen[0], observation)
    np.testing.assert_array_equal(infos["final_obs"][0], observation)
    assert infos["final_info"]["fleet"][0] == info["fleet"]
    assert not np.array_equal(seen[0], observation)


@pytest.mark.parametrize("name", IDS)
def test_a_batch_steps_and_restarts_each_on_its_own(name: str) -> None:
    env = gym.make_vec(f"trimtab_envs:{name}", 12, tick_s=60.0)
    assert env.observation_space.shape == (12, *env.single_observation_space.shape)
    action = np.tile(NEUTRAL, (12, env.single_action_space.shape[0] // len(NEUTRAL)))
    env.reset(seed=3)
    ends = np.zeros(12)
    for _ in range(200):
        observation, reward, _, truncated, info = env.step(action)
        assert env.observation_space.contains(observation)
        terms = info["fleet"] + info["miss_price"] * info["miss"]
        np.testing.assert_allclose(reward, -terms)
        ends += truncated
        if truncated.any():
            np.testing.assert_array_equal(info["_final_obs"], truncated)
            assert [each is not None for each in info["final_obs"]] == truncated.tolist()
    assert 0 < ends.sum() < 12 * 6
    assert len(set(ends)) > 1


def test_no_cluster_spends_or_moves_more_than_its_arbiter_allows() -> None:
    clusters, services, tick_s = 8, 4, 30.0
    world = ClusterWorlds(services, 1, tick_s).make(clusters, 8, np.random.default_rng(5))
    price = world.profiles.price.reshape(clusters, services)
    wanted = [world.codec.wanted.reshape(clusters, services)]
    for _ in range(60):
        world.step(np.zeros((clusters * services, 1, CHOICES)) + one_hot(np.array(NEUTRAL)))
        wanted += [tick.sensed.wanted.reshape(clusters, services) for tick in world.ticks]
    moves = np.diff(wanted, axis=0)
    spent = (np.maximum(moves, 0.0) * price).sum(2)
    # Ten minutes, and the tick at their end.
    window = np.array([spent[at : at + 21].sum(0) for at in range(len(spent))])
    assert (window <= world.episodes.budget + 1e-6).all()
    # A minute, and the tick at its end; a route that moves would count as well.
    busy = np.array([(moves[at : at + 3] != 0.0).any(0).sum(1) for at in range(len(moves))])
    assert (busy <= world.episodes.at_once).all()
    assert (window > 0.3 * world.episodes.budget).any()
    assert (busy == world.episodes.at_once).any()


def test_rows_of_a_cluster_are_observations_like_any_other() -> None:
    env = ClusterEnv(services=3, backends=2)
    observation, _ = env.reset(seed=1)
    rows = observation.reshape(3, 2, len(FEATURES))
    assert rows[..., FEATURES.index("built_share")].sum(1) == pytest.approx(1.0)
    # One price of misses for all.
    assert len(set(rows[..., FEATURES.index("log_miss_price")].ravel())) == 1


@pytest.mark.parametrize(
    ("env", "panels"), [(ServiceEnv, 1), (ClusterEnv, 4)], ids=["service", "cluster"]
)
def test_render_draws_the_episode(env: Any, panels: int) -> None:
    pytest.importorskip("matplotlib")
    world = env(render_mode="rgb_array")
    world.reset(seed=1)
    empty = world.render()
    assert empty.dtype == np.uint8
    assert empty.shape == (round(120 + 190 * panels), 900, 3)
    for _ in range(10):
        world.step(world.action_space.sample())
    drawn = world.render()
    assert drawn.shape == empty.shape
    # Something in every panel.
    changed = (drawn != empty).any((1, 2))
    assert all(part.any() for part in np.array_split(changed, 2 * panels))
    world.reset()
    np.testing.assert_array_equal(world.render(), empty)


def test_render_without_matplotlib_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    env = ServiceEnv(render_mode="rgb_array")
    env.reset(seed=1)
    with pytest.raises(DependencyNotInstalled, match=r"pip install 'trimtab\[train\]'"):
        env.render()


@pytest.mark.parametrize(
    ("kind", "bad", "message"),
    [
        (ServiceEnv, {"backends": 0}, "need backends >= 1 and tick_s > 0"),
        (ServiceEnv, {"tick_s": float("nan")}, "need backends >= 1 and tick_s > 0"),
        (ServiceEnv, {"render_mode": "human"}, "render_mode is 'human'"),
        (ClusterEnv, {"services": 0}, "need services >= 1, backends >= 1 and tick_s > 0"),
        (ClusterEnv, {"tick_s": 0.0}, "need services >= 1, backends >= 1 and tick_s > 0"),
        (ClusterVectorEnv, {"num_envs": 0}, "num_envs is 0"),
    ],
)
def test_bad_arguments_are_refused(kind: Any, bad: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        kind(**bad)


@pytest.mark.parametrize("kind", [*SINGLE, *MANY])
@pytest.mark.parametrize("spoil", [lambda a: a[..., 1:], lambda a: a - 99, lambda a: a + 99])
def test_actions_outside_the_space_are_refused(kind: Any, spoil: Any) -> None:
    env = kind()
    env.reset(seed=1)
    with pytest.raises(ValueError, match="must be in the action space"):
        env.step(spoil(env.action_space.sample()))


@pytest.mark.parametrize("kind", [*SINGLE, *MANY])
def test_step_before_reset_is_refused(kind: Any) -> None:
    env = kind()
    with pytest.raises(RuntimeError, match="reset"):
        env.step(env.action_space.sample())
