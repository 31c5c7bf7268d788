"""``trimtab/Cluster-v1``: scale and route services that share nodes and a budget."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from trimtab_envs.arbiter import Arbiter
from trimtab_envs.clusters import ClusterEpisodes, ClusterSource
from trimtab_envs.episodes import SHORTEST_S
from trimtab_envs.forms import WorldEnv, WorldVectorEnv
from trimtab_envs.minutes import Bools, Floats
from trimtab_envs.world import Step, World
from trimtab_sim.calls import CallGraph
from trimtab_sim.cluster import Cluster
from trimtab_sim.signals import Sensed, Wanted
from trimtab_sim.simulator import Tick


class ClusterWorld(World):
    """``clusters`` clusters stepped together.

    To the codec each service is like any other. What it wants passes the arbiter, and then has
    to find a node; its load and its times depend on its neighbours.
    """

    episodes: ClusterEpisodes
    source: ClusterSource

    def __init__(
        self,
        source: ClusterSource,
        clusters: int,
        backends: int,
        tick_s: float,
        rng: np.random.Generator,
    ) -> None:
        self._shape = (clusters, source.services)
        super().__init__(source, clusters * source.services, backends, tick_s, rng)

    def _build(self, rng: np.random.Generator) -> None:
        episodes = self.episodes
        self.cluster = Cluster(episodes.own, episodes.shared, self.tick_s, rng)
        price = self._by_cluster(self.profiles.price)
        self._arbiter = Arbiter(episodes.budget, episodes.at_once, price, self.tick_s)

    def _by_cluster(self, values: Floats) -> Floats:
        return values.reshape(*self._shape, -1)

    @property
    def environments(self) -> int:
        """As many as clusters."""
        return self._shape[0]

    def reset(self, ended: Bools) -> None:
        """Begin new episodes for the masked clusters ``[C]``."""
        if ended.any():
            fresh = self.source.draw(self.services, self.backends)
            self.episodes = self.episodes.replaced(ended, fresh)
            self._start(np.repeat(ended, self._shape[1]))

    def _open(self, services: Bools, replicas: Floats, weight: Floats) -> Sensed:
        episodes, price = self.episodes, self._by_cluster(self.profiles.price)
        clusters = services.reshape(self._shape)[:, 0]
        self._arbiter.reset(clusters, episodes.budget, episodes.at_once, price)
        own, shared = episodes.own, episodes.shared
        self._seen = self.cluster.reset(replicas, weight, services, own, shared)
        return self._seen

    def rate_rps(self) -> Floats:
        """What reaches each service in the coming tick when all calls are made, ``[B]``."""
        entering = super().rate_rps().reshape(self._shape)
        return CallGraph(self.episodes.shared.calls).total(entering).ravel()

    def _live(self, want: Wanted) -> Tick:
        asked = want.replicas, want.weight, self._seen.wanted, self._seen.weight
        allowed = self._arbiter.allow(*map(self._by_cluster, asked))
        replicas, weight = (values.reshape(want.replicas.shape) for values in allowed)
        tick = self.cluster.step(super().rate_rps(), replicas, weight)
        self._seen = tick.sensed
        return tick

    def score(self, ticks: Sequence[Tick]) -> Step:
        """Per cluster: all bills over all that had to be spent, and the mean of the miss shares."""
        each = super().score(ticks)
        least = (self.episodes.mean_rps * self.profiles.least_price).reshape(self._shape)
        self.by_service = {
            name: getattr(each, name).reshape(self._shape) for name in ("fleet", "miss")
        }
        fleet = (self.by_service["fleet"] * least).sum(1) / least.sum(1)
        miss = self.by_service["miss"].mean(1)
        done = each.done.reshape(self._shape)[:, 0]
        return Step(fleet, miss, fleet + self._miss_price * miss, done)

    @property
    def _miss_price(self) -> Floats:
        return self.episodes.miss_price.reshape(self._shape)[:, 0]

    def info(self, step: Step) -> dict[str, Floats]:
        """The terms of the score, also by service ``[C, S]``, and the nodes."""
        return {
            "fleet": step.fleet,
            "miss": step.miss,
            "miss_price": self._miss_price,
            "fleet_by_service": self.by_service["fleet"],
            "miss_by_service": self.by_service["miss"],
            "nodes": self.cluster.nodes.ready,
        }


@dataclass(frozen=True, slots=True)
class ClusterWorlds:
    """Worlds of clusters."""

    services: int
    backends: int
    tick_s: float

    def __post_init__(self) -> None:
        if self.services < 1 or self.backends < 1 or not 0 < self.tick_s <= SHORTEST_S:
            raise ValueError(
                f"need services >= 1, backends >= 1 and tick_s > 0, at most {SHORTEST_S:g}, "
                f"got {self.services}, {self.backends} and {self.tick_s}"
            )

    @property
    def rows(self) -> int:
        """Backends of all services of one environment."""
        return self.services * self.backends

    def make(self, count: int, loads: int, rng: np.random.Generator) -> ClusterWorld:
        """``count`` clusters in one world, on a pool of ``loads``."""
        source = ClusterSource(rng, self.tick_s, self.services, pool=loads)
        return ClusterWorld(source, count, self.backends, self.tick_s, rng)


class ClusterEnv(WorldEnv):
    """Scale and route the services of one simulated cluster.

    ## Description
    Several services, each with one or more backends, share a pool of nodes and a budget for new
    replicas, and in most clusters some call others and wait for them. A replica that fits on no
    node is pending until one is provisioned or another service leaves; a callee that is too
    slow fills its callers' slots. Everything is drawn anew for every episode: loads, profiles,
    who calls whom, nodes, the budget, how many services may change within a minute, and the
    price of a miss.

    What is chosen passes an arbiter, service by service as the guard's ``Purse`` does: new
    replicas are paid from the budget of ten minutes, all else is free.

    ## Action Space
    ``MultiDiscrete``, six indices per backend of each service, as in ``trimtab/Service-v1``, in
    the order of the rows.

    ## Observation Space
    ``Box(-6, 6, (services x backends x len(FEATURES),), float32)``: one row of ``FEATURES`` per
    backend, service after service. Rows are alike, so one network with shared weights serves
    any number of them: ``observation.reshape(services, backends, len(FEATURES))``.

    ## Rewards
    ``-(fleet + miss_price x miss)`` of the decision. ``fleet``: what all services billed, over
    the least that could have done their mean load; ``miss``: the mean of the services' miss
    shares. All three are in ``info``, with ``fleet_by_service``, ``miss_by_service`` and the
    ``nodes`` that are ready.

    ## Starting State
    As many replicas as the first minute needs and as the nodes hold; the memory is empty.

    ## Episode End
    Never terminated; truncated after half an hour to eight hours of service time.

    ## Arguments
    * ``services``: services of the cluster, at least 1.
    * ``backends``: backends of each service, at least 1.
    * ``tick_s``: seconds between readings; a decision holds for about 30 s.
    * ``render_mode``: ``"rgb_array"`` draws the episode so far; needs matplotlib.

    ``gym.make_vec`` steps ``num_envs`` clusters at once, and starts finished ones in the same
    step.

    ## Version History
    * v1: first version.
    """

    def __init__(
        self,
        services: int = 4,
        backends: int = 1,
        tick_s: float = 5.0,
        render_mode: str | None = None,
    ) -> None:
        super().__init__(ClusterWorlds(services, backends, tick_s), render_mode)


class ClusterVectorEnv(WorldVectorEnv):
    """``ClusterEnv`` times ``num_envs``."""

    def __init__(
        self, num_envs: int = 1, services: int = 4, backends: int = 1, tick_s: float = 5.0
    ) -> None:
        super().__init__(ClusterWorlds(services, backends, tick_s), num_envs)
