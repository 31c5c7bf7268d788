"""``trimtab/Service-v1``: scale and route one service."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from trimtab_envs.episodes import SHORTEST_S, EpisodeSource
from trimtab_envs.forms import WorldEnv, WorldVectorEnv
from trimtab_envs.world import World


@dataclass(frozen=True, slots=True)
class ServiceWorlds:
    """Worlds of services that share nothing."""

    backends: int
    tick_s: float

    def __post_init__(self) -> None:
        if self.backends < 1 or not 0 < self.tick_s <= SHORTEST_S:
            raise ValueError(
                f"need backends >= 1 and tick_s > 0, at most {SHORTEST_S:g}, "
                f"got {self.backends} and {self.tick_s}"
            )

    @property
    def rows(self) -> int:
        """Backends of one environment."""
        return self.backends

    def make(self, count: int, loads: int, rng: np.random.Generator) -> World:
        """``count`` services in one world, on a pool of ``loads``."""
        source = EpisodeSource(rng, self.tick_s, pool=loads)
        return World(source, count, self.backends, self.tick_s, rng)


class ServiceEnv(WorldEnv):
    """Scale the replicas of one simulated service and route its traffic.

    ## Description
    A service with one or more backends takes requests under a load that is drawn anew for
    every episode, along with start-up delay, service time, SLO, prices and the price of a miss.

    ## Action Space
    ``MultiDiscrete``, six indices per backend: demand estimate, headroom, hold time, lean
    (share of the capacity), tilt (share of the route) and wait (part of the reserve that waits
    for a jump of the load); see ``trimtab_envs.action``. Settings glide towards them.

    ## Observation Space
    ``Box(-6, 6, (backends x len(FEATURES),), float32)``, see ``trimtab_envs.observation``.

    ## Rewards
    ``-(fleet + miss_price x miss)`` of the decision: all three are in ``info``, and the mean
    over an episode is the episode's score J with the sign turned.

    ## Starting State
    As many replicas as the first minute needs, all ready; the memory is empty.

    ## Episode End
    Never terminated; truncated after half an hour to eight hours of service time.

    ## Arguments
    * ``backends``: backends of the service, at least 1.
    * ``tick_s``: seconds between readings; a decision holds for about 30 s.
    * ``render_mode``: ``"rgb_array"`` draws the episode so far; needs matplotlib.

    ``gym.make_vec`` steps ``num_envs`` services at once, and starts finished ones in the same
    step.

    ## Version History
    * v1: first version.
    """

    def __init__(
        self, backends: int = 1, tick_s: float = 5.0, render_mode: str | None = None
    ) -> None:
        super().__init__(ServiceWorlds(backends, tick_s), render_mode)


class ServiceVectorEnv(WorldVectorEnv):
    """``ServiceEnv`` times ``num_envs``."""

    def __init__(self, num_envs: int = 1, backends: int = 1, tick_s: float = 5.0) -> None:
        super().__init__(ServiceWorlds(backends, tick_s), num_envs)
