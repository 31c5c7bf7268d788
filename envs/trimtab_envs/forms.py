"""A world as Gymnasium's environments: one at a time, or many in one step.

Both are rows of the same arrays; no step loops over environments.
"""

from __future__ import annotations

from typing import Any, Protocol, cast

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from trimtab_envs.action import ACTION_DIMS, one_hot
from trimtab_envs.minutes import Bools, Floats
from trimtab_envs.observation import FEATURES
from trimtab_envs.timeline import Timeline
from trimtab_envs.world import World
from trimtab_sim.compiled import compiled

Observation = NDArray[np.float32]
Actions = NDArray[np.int64]
# Loads are drawn once and cut anew for every episode.
LEAST_LOADS, MOST_LOADS = 8, 512


class Worlds(Protocol):
    """How a kind of world is made; ``rows`` are the backends of one environment."""

    @property
    def rows(self) -> int:
        """Backends of all services of one environment."""

    def make(self, count: int, loads: int, rng: np.random.Generator) -> World:
        """``count`` environments in one world, on a pool of ``loads``."""


def spaces(rows: int) -> tuple[gym.Space[Observation], gym.Space[Actions]]:
    """Observations and actions of one environment."""
    box = gym.spaces.Box(-6.0, 6.0, (rows * len(FEATURES),), dtype=np.float32)
    # Box is typed for any number, whatever its dtype.
    return cast(gym.Space[Observation], box), gym.spaces.MultiDiscrete(list(ACTION_DIMS) * rows)


def _choices(world: World, actions: Actions, space: gym.Space[Actions]) -> Floats:
    actions = np.asarray(actions)
    if not _among(actions, space):
        found = f"{actions.dtype} {actions.shape}"
        raise ValueError(f"actions are {found}; they must be in the action space, {space}")
    return one_hot(actions.reshape(*world.profiles.shape, len(ACTION_DIMS)))


def _among(actions: NDArray[Any], space: gym.Space[Actions]) -> bool:
    """As ``space.contains``, which takes ten times as long on one environment's."""
    alike = actions.dtype == space.dtype and actions.shape == space.shape
    if alike and isinstance(space, gym.spaces.MultiDiscrete):
        return _below(actions, space.nvec)
    return space.contains(actions)


@compiled
def _below(actions: Actions, most: Actions) -> bool:
    below = True
    for i in range(len(actions)):
        below &= 0 <= actions[i] < most[i]
    return below


def _observed(world: World) -> Observation:
    return world.observe().reshape(world.environments, -1)


class WorldEnv(gym.Env[Observation, Actions]):
    """One environment of ``worlds``."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 4}  # noqa: RUF012 - Gymnasium's own

    def __init__(self, worlds: Worlds, render_mode: str | None) -> None:
        if render_mode not in (None, *self.metadata["render_modes"]):
            raise ValueError(f"render_mode is {render_mode!r}; it must be 'rgb_array' or None")
        self.render_mode = render_mode
        self._worlds = worlds
        self.observation_space, self.action_space = spaces(worlds.rows)
        self._world: World | None = None
        self._timeline = Timeline()

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Begin an episode: new services, new loads."""
        super().reset(seed=seed, options=options)
        if self._world is None or seed is not None:
            self._world = self._worlds.make(1, LEAST_LOADS, self.np_random)
        else:
            self._world.reset(np.ones(1, dtype=np.bool_))
        self._timeline = Timeline()
        return _observed(self._world)[0], {}

    def step(self, action: Actions) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Hold one action for a decision."""
        world = self._begun()
        step = world.step(_choices(world, action, self.action_space))
        if self.render_mode is not None:
            self._timeline.record(world)
        info = {key: np.asarray(value)[0] for key, value in world.info(step).items()}
        return _observed(world)[0], -float(step.score[0]), False, bool(step.done[0]), info

    def render(self) -> NDArray[np.uint8] | None:
        """The episode so far: load, replicas and late requests, ``[height, width, 3]``.

        ``None`` without a render mode; ``DependencyNotInstalled`` without matplotlib.
        """
        if self.render_mode is None:
            gym.logger.warn("render() draws nothing: make the environment with a render_mode")
            return None
        return self._timeline.draw(self._begun())

    def _begun(self) -> World:
        if self._world is None:
            raise RuntimeError("call reset() before step() and render()")
        return self._world


class WorldVectorEnv(VectorEnv[Observation, Actions, NDArray[Any]]):
    """``num_envs`` environments of ``worlds``; a finished one begins anew in the same step."""

    metadata = {"render_modes": [], "autoreset_mode": AutoresetMode.SAME_STEP}  # noqa: RUF012 - Gymnasium's own

    def __init__(self, worlds: Worlds, num_envs: int) -> None:
        if num_envs < 1:
            raise ValueError(f"num_envs is {num_envs}; it must be at least 1")
        self.num_envs, self._worlds = num_envs, worlds
        self.single_observation_space, self.single_action_space = spaces(worlds.rows)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._world: World | None = None

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Begin episodes in all; ``seed`` is that of the whole batch."""
        super().reset(seed=seed, options=options)
        if self._world is None or seed is not None:
            loads = min(max(self.num_envs, LEAST_LOADS), MOST_LOADS)
            self._world = self._worlds.make(self.num_envs, loads, self.np_random)
        else:
            self._world.reset(np.ones(self.num_envs, dtype=np.bool_))
        return _observed(self._world), {}

    def step(
        self, actions: Actions
    ) -> tuple[Observation, NDArray[Any], NDArray[Any], NDArray[Any], dict[str, Any]]:
        """Hold one action per environment for a decision.

        Of those that finish, ``info`` has ``final_obs`` and ``final_info``.
        """
        world = self._world
        if world is None:
            raise RuntimeError("call reset() before step()")
        step = world.step(_choices(world, actions, self.action_space))
        everywhere = np.ones(self.num_envs, dtype=np.bool_)
        info: dict[str, Any] = _masked(world.info(step), everywhere)
        observation = _observed(world)
        if step.done.any():
            final = np.full(self.num_envs, None, dtype=object)
            for row in np.flatnonzero(step.done):
                final[row] = observation[row]
            ended = {"final_obs": final, "final_info": _masked(world.info(step), step.done)}
            info |= _masked(ended, step.done)
            world.reset(step.done)
            observation = _observed(world)
        terminated = np.zeros(self.num_envs, dtype=np.bool_)
        return observation, -step.score, terminated, step.done, info


def _masked(values: dict[str, Any], rows: Bools) -> dict[str, Any]:
    """With Gymnasium's mask beside each value: the environments that it is of."""
    return values | {f"_{key}": rows for key in values}
