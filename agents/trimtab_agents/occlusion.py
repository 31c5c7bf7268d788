"""A policy that is blind to some of its inputs: what it then does differently, they contributed.

Every feature is 0 where there is nothing to tell ("as now", "none", or a middling service), so a
blind network is shown 0, or what was nearest to that in its training.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trimtab_agents.bundle import Network, PpoPolicy
from trimtab_envs.minutes import Bools
from trimtab_envs.observation import FEATURES
from trimtab_sim.profile import Floats

GROUPS: dict[str, tuple[str, ...]] = {
    "the price of a miss": ("log_miss_price",),
    "start-up time and metric lag": (
        "log_startup_ticks", "log_startup_s", "lag_startups", "age_excess_startups",
    ),
    "slots, SLO and service time": ("log_concurrency", "log_slo_ratio", "service_scv"),
    "the size of the load": ("size",),
    "requests in flight": ("utilisation", "backlog"),
    "load against replicas": (
        "demand_over_ready", "demand_over_total", "starting_share", "held_over_wanted",
        "headroom_now", "at_min", "at_max",
    ),
    "the load's trend": (
        "trend_over_now", "slope", "level_0_1", "level_1_2", "level_2_3", "level_3_4",
    ),
    "its noise": ("noise_over_now", "jitter", "jitter_long"),
    "its season": (
        "season_over_now", "season_strength", "season_period", "season_next", "season_later",
    ),
    "its usual spread": (
        "load80_over_now", "load95_over_now", "load99_over_now", "mean_over_now",
    ),
    "its surges and peaks": (
        "surge80_over_now", "surge95_over_now", "surge99_over_now", "peak_over_now",
        "peak_hour_over_now", "highest_over_now", "burst90_over_now", "burst98_over_now",
        "burst99.8_over_now",
    ),
    "its beat": ("jump_ahead", "beat_minute", "beat_five"),
    "how much is remembered": ("memory_age", "memory_startups"),
    "recent misses": ("miss_fast", "miss_slow"),
    "cost and speed of backends": (
        "log_cost", "log_slowness", "log_late", "built_share", "weight", "ready_share",
        "weight_over_ready", "others_ready",
    ),
    "what was decided before": (
        "set_estimate_over_now", "set_headroom", "set_hold", "set_lean", "set_tilt", "set_wait",
    ),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Blind(Network):
    """A network of which the i-th service of a batch is decided without some features.

    ``hidden`` ``[B, F]`` says which; ``neutral`` ``[F]`` is shown in their place.
    """

    hidden: Bools
    neutral: NDArray[np.float32]

    def infer(self, observation: NDArray[np.float32]) -> Floats:
        """As a network does, ``observation`` is ``[B, K, F]``."""
        shown = np.where(self.hidden[:, None, :], self.neutral, observation)
        return Network.infer(self, shown)


def occluded(policy: PpoPolicy) -> PpoPolicy:
    """A policy for copies of one service: the first sees all, each other lacks one of `GROUPS`."""
    groups: list[tuple[str, ...]] = [(), *GROUPS.values()]
    hidden = np.array([[name in group for name in FEATURES] for group in groups])
    neutral = policy.envelope.nearest(np.zeros(len(FEATURES), dtype=np.float32))
    network = Blind(policy.network.session, policy.network.card, hidden, neutral)
    return PpoPolicy(network, policy.envelope)
