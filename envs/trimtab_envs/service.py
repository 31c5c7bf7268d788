"""``trimtab/Service-v1``: scale and route one service."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from trimtab_envs.action import ACTION_DIMS, one_hot
from trimtab_envs.episodes import EpisodeSource
from trimtab_envs.observation import FEATURES
from trimtab_envs.world import World

Observation = NDArray[np.float32]


class ServiceEnv(gym.Env[Observation, NDArray[np.int64]]):
    """Scale the replicas of one simulated service and route its traffic.

    ## Description
    A service with one or more backends takes requests under a load that is drawn anew for
    every episode, along with start-up delay, service time, SLO, prices and the price of a miss.

    ## Action Space
    ``MultiDiscrete``, five indices per backend: demand estimate, headroom, hold time, lean
    (share of the capacity) and tilt (share of the route); see ``trimtab_envs.action``.

    ## Observation Space
    ``Box(-6, 6, (backends x len(FEATURES),), float32)``, see ``trimtab_envs.observation``.

    ## Rewards
    ``-(fleet + lambda x miss)`` of the decision; both terms and lambda are in ``info``, and the
    mean over an episode is the episode's score J with the sign turned (DESIGN.md section 2).

    ## Starting State
    As many replicas as the first minute needs, all ready; the memory is empty.

    ## Episode End
    Never terminated; truncated after half an hour to eight hours of service time.

    ## Arguments
    * ``backends``: backends of the service, at least 1.
    * ``tick_s``: seconds between readings; a decision holds for about 30 s.

    ## Version History
    * v1: first version.
    """

    metadata = {"render_modes": []}  # noqa: RUF012 - Gymnasium's own declaration

    def __init__(self, backends: int = 1, tick_s: float = 5.0) -> None:
        if backends < 1 or not tick_s > 0:
            raise ValueError(f"need backends >= 1 and tick_s > 0, got {backends} and {tick_s}")
        self._backends, self._tick_s = backends, tick_s
        self.observation_space = gym.spaces.Box(
            -6.0, 6.0, (backends * len(FEATURES),), dtype=np.float32
        )
        self.action_space = gym.spaces.MultiDiscrete(list(ACTION_DIMS) * backends)
        self._world: World | None = None

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Draw a new service and load."""
        super().reset(seed=seed, options=options)
        if self._world is None or seed is not None:
            source = EpisodeSource(self.np_random, self._tick_s, pool=8)
            self._world = World(source, 1, self._backends, self._tick_s, self.np_random)
        else:
            self._world.reset(np.ones(1, dtype=np.bool_))
        return self._observe(self._world), {}

    def step(
        self, action: NDArray[np.int64]
    ) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Hold one action for a decision."""
        if self._world is None:
            raise RuntimeError("call reset() before step()")
        choice = one_hot(np.asarray(action).reshape(1, self._backends, -1))
        step = self._world.step(choice)
        info = {
            "fleet": float(step.fleet[0]),
            "miss": float(step.miss[0]),
            "miss_price": float(self._world.episodes.miss_price[0]),
        }
        return self._observe(self._world), -float(step.score[0]), False, bool(step.done[0]), info

    @staticmethod
    def _observe(world: World) -> Observation:
        return np.asarray(world.observe().reshape(-1), dtype=np.float32)
