"""The batched environment as Stable-Baselines3 trains on it.

Rows are backends, so one network with shared weights serves any number of them. Each world
has a twin on the same loads that a rival steers: the plain rule, or the policy as it was before.
What the twin scores is subtracted, so that misses which nobody could have avoided teach nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.vec_env import VecEnv

from trimtab_envs.action import ACTION_DIMS, NEUTRAL, one_hot
from trimtab_envs.episodes import EpisodeSource
from trimtab_envs.minutes import Bools, Floats
from trimtab_envs.observation import FEATURES
from trimtab_envs.world import World
from trimtab_sim.traces import Trace

Singles = NDArray[np.float32]
Rival = Callable[[Singles], Floats]
"""From observations ``[B, K, F]`` to choices ``[B, K, CHOICES]``."""


def plain_rule(observation: Singles) -> Floats:
    """Always the neutral choices."""
    neutral = one_hot(np.array(NEUTRAL))
    return np.broadcast_to(neutral, (*observation.shape[:-1], len(neutral)))


@dataclass(frozen=True, slots=True)
class Shape:
    """How many services of how many backends, sensed how often."""

    services: int
    backends: int
    tick_s: float


SHAPES = (Shape(224, 1, 5.0), Shape(48, 1, 15.0), Shape(32, 2, 5.0), Shape(24, 2, 60.0))

# Returns of about one: the gradient is clipped by its norm over actor and critic together, and
# a critic that chases outliers leaves nothing for the actor. The limit must stay far out: what
# a burst costs is in the tail, and a policy that never feels it never prepares for one.
REWARD_SCALE = 0.1
REWARD_LIMIT = 10.0
# Services' scores differ by a hundred times; each counts relative to what is usual for its twin.
SCORE_FLOOR = 0.5
USUAL_DECISIONS = 40


class Pair:
    """A world and its twin under the rival: same episodes, so scores can be compared."""

    def __init__(
        self, shape: Shape, traces: Sequence[Trace], seed: np.random.SeedSequence, pool: int
    ) -> None:
        episodes, *arrivals = seed.spawn(3)
        worlds = [
            World(
                EpisodeSource(np.random.default_rng(episodes), shape.tick_s, traces, pool),
                shape.services,
                shape.backends,
                shape.tick_s,
                np.random.default_rng(arrival),
            )
            for arrival in arrivals
        ]
        self.world, self._twin = worlds
        self.rows = shape.services * shape.backends
        self._usual = np.empty(shape.services)
        self._expect(np.ones(shape.services, dtype=np.bool_))

    def _expect(self, services: Bools) -> None:
        """What a new service's score will be, before anything is known of it."""
        self._usual[services] = (1.5 + 0.02 * self.world.episodes.miss_price)[services]

    def step(self, action: NDArray[np.int64], rival: Rival) -> tuple[Floats, Bools]:
        """The advantage over the twin, relative to the twin's usual score, and ``done``."""
        shape = (self.world.services, self.world.backends, len(ACTION_DIMS))
        step = self.world.step(one_hot(action.reshape(shape)))
        twin = self._twin.step(rival(self._twin.observe()))
        scale = REWARD_SCALE / (SCORE_FLOOR + self._usual)
        self._usual += (twin.score - self._usual) / USUAL_DECISIONS
        reward = np.clip(scale * (twin.score - step.score), -REWARD_LIMIT, REWARD_LIMIT)
        return reward, step.done

    def reset(self, services: Bools) -> None:
        """Begin new episodes, the same in both worlds."""
        self.world.reset(services)
        self._twin.reset(services)
        self._expect(services)

    def observe(self) -> Singles:
        """Observations of all rows, ``[rows, F]``."""
        return self.world.observe().reshape(self.rows, len(FEATURES))


class PairedVecEnv(VecEnv):
    """All pairs as one flat batch of rows."""

    def __init__(
        self, traces: Sequence[Trace], seed: int, shapes: Sequence[Shape] = SHAPES, pool: int = 512
    ) -> None:
        self.rival: Rival = plain_rule
        seeds = np.random.SeedSequence(seed).spawn(len(shapes))
        self._pairs = [Pair(shape, traces, s, pool) for shape, s in zip(shapes, seeds, strict=True)]
        self._ends = np.cumsum([pair.rows for pair in self._pairs])
        self._actions: NDArray[np.int64] | None = None
        rows = int(self._ends[-1])
        self._returns, self._lengths = np.zeros(rows), np.zeros(rows, dtype=np.int64)
        super().__init__(
            rows,
            gym.spaces.Box(-6.0, 6.0, (len(FEATURES),), dtype=np.float32),
            gym.spaces.MultiDiscrete(list(ACTION_DIMS)),
        )

    def reset(self) -> Singles:
        """Observations of the episodes under way; they begin where the constructor put them."""
        return np.concatenate([pair.observe() for pair in self._pairs])

    def step_async(self, actions: NDArray[np.int64]) -> None:
        """Remember the actions."""
        self._actions = actions

    def step_wait(self) -> tuple[Singles, Singles, Bools, list[dict[str, Any]]]:
        """Step every pair; finished episodes are truncated and begin anew."""
        if self._actions is None:
            raise RuntimeError("step_async() must be called before step_wait()")
        parts = np.split(self._actions, self._ends[:-1])
        outcomes = [
            self._step(pair, action) for pair, action in zip(self._pairs, parts, strict=True)
        ]
        observation, reward, done, last = map(np.concatenate, zip(*outcomes, strict=True))
        self._returns += reward
        self._lengths += 1
        infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        for row in np.flatnonzero(done):
            infos[row] = {
                "terminal_observation": last[row],
                "TimeLimit.truncated": True,
                "episode": {"r": self._returns[row] / self._lengths[row], "l": self._lengths[row]},
            }
        self._returns[done], self._lengths[done] = 0.0, 0
        return observation, reward.astype(np.float32), done, infos

    def _step(
        self, pair: Pair, action: NDArray[np.int64]
    ) -> tuple[Singles, Floats, Bools, Singles]:
        reward, done = pair.step(action, self.rival)
        last = pair.observe()
        observation = last
        if done.any():
            pair.reset(done)
            observation = pair.observe()
        backends = pair.world.backends
        return observation, np.repeat(reward, backends), np.repeat(done, backends), last

    def close(self) -> None:
        """Nothing to release."""

    # The rest of VecEnv's contract is about reaching into separate environments; rows of a
    # batch have no attributes or methods of their own.

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:  # noqa: ARG002 - SB3's contract
        """``render_mode`` is all that Stable-Baselines3 asks for."""
        return [getattr(self, attr_name, None)] * self.num_envs

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:  # noqa: ARG002 - SB3's contract
        """Refused."""
        raise AttributeError(f"rows of {type(self).__name__} have no attribute {attr_name}")

    def env_method(self, method_name: str, *args: Any, **kwargs: Any) -> list[Any]:  # noqa: ARG002 - SB3's contract
        """Refused."""
        raise AttributeError(f"rows of {type(self).__name__} have no method {method_name}")

    def env_is_wrapped(self, wrapper_class: Any, indices: Any = None) -> list[bool]:  # noqa: ARG002 - SB3's contract
        """No row is wrapped."""
        return [False] * self.num_envs
