"""What a policy sees: one row of named, dimensionless features per backend.

Ratios, logarithms, and times in start-ups, so that one policy serves any service, any
number of backends and any load scale. The order of ``FEATURES`` is the schema.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trimtab_envs import features
from trimtab_envs.action import (
    ACTION_DIMS,
    BARE,
    DEADBAND,
    GLIDE,
    HEADROOMS,
    HOLD_SECONDS,
    HOLD_STARTUPS,
    LEANS,
    TILTS,
    WAITS,
    Setting,
    mixed,
)
from trimtab_envs.memory import ESTIMATES, Memory
from trimtab_envs.merit import FULL, GREED, STRICTNESS, TOLERATED, Merit
from trimtab_envs.minutes import Floats
from trimtab_sim.profile import Profiles
from trimtab_sim.signals import Sensed

FEATURES = (
    "log_miss_price", "log_startup_ticks", "log_startup_s", "log_concurrency", "log_slo_ratio",
    "service_scv", "lag_startups", "age_excess_startups",
    "size", "utilisation", "backlog", "demand_over_ready", "demand_over_total", "starting_share",
    "held_over_wanted", "headroom_now", "at_min", "at_max",
    *(f"{name}_over_now" for name in ESTIMATES[1:]),
    "level_0_1", "level_1_2", "level_2_3", "level_3_4",
    "jitter", "jitter_long", "slope", "peak_over_now", "peak_hour_over_now",
    "highest_over_now", "mean_over_now", "season_strength", "season_period", "season_next",
    "season_later", "memory_age", "memory_startups", "miss_fast", "miss_slow",
    "log_cost", "log_slowness", "log_late", "built_share", "weight", "ready_share",
    "weight_over_ready", "others_ready",
    "set_estimate_over_now", "set_headroom", "set_hold", "set_lean", "set_tilt", "set_wait",
    "jump_ahead", "beat_minute", "beat_five",
)  # fmt: skip
# Groups of features, by the first of each, as they are computed; and the first part of one.
_FIRST = ("log_miss_price", "size", "trend_over_now", "level_0_1", "miss_fast",
          "set_estimate_over_now")  # fmt: skip
_PARTS = [slice(*ends) for ends in pairwise([*map(FEATURES.index, _FIRST), len(FEATURES)])]
_NOISE = FEATURES.index("slope") + 1 - FEATURES.index("level_0_1")


def schema_hash() -> str:
    """SHA-256 over features, actions, and the numbers that actions are carried out with."""
    tables = [
        array.tolist() for array in (HEADROOMS, HOLD_SECONDS, HOLD_STARTUPS, LEANS, TILTS, WAITS)
    ]
    numbers = [GLIDE, BARE, DEADBAND, FULL, GREED, STRICTNESS, TOLERATED]
    text = json.dumps([FEATURES, ACTION_DIMS, ESTIMATES, numbers, tables], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Scene:
    """All that an observation tells of: B services with K backends at one tick.

    ``held`` ``[B, K]`` is the rule's; ``misses`` ``[2, B]`` the recent miss share, fast and slow.
    """

    profiles: Profiles
    miss_price: Floats
    tick_s: float
    sensed: Sensed
    memory: Memory
    merit: Merit
    setting: Setting
    held: Floats
    misses: Floats

    def rows(self, flat: NDArray[Any]) -> NDArray[Any]:
        """``[..., B x K]`` as ``[..., B, K]``."""
        return flat.reshape(*flat.shape[:-1], *self.profiles.shape)


def encode(scene: Scene) -> NDArray[np.float32]:
    """The observation, ``[B, K, len(FEATURES)]`` float32, clipped to [-6, 6]."""
    # Feature by feature as long as there is anything to compute: rows next to each other.
    columns = np.empty((len(FEATURES), *scene.profiles.shape))
    known, capacity, demands, load, routing, setting = (columns[part] for part in _PARTS)
    estimates, replica_rps = scene.memory.estimates(), scene.profiles.replica_rps
    now = scene.rows(estimates[0])
    built = scene.merit.built(scene.setting.lean)
    _known(known, scene)
    _capacity(capacity, scene, now, built, replica_rps)
    relative = demands.reshape(len(demands), -1)
    features.relative(relative, estimates[1:], estimates[0], replica_rps.ravel())
    _load(load, scene, now, replica_rps)
    _routing(routing, scene, now, built, replica_rps)
    _setting(setting, scene, now, mixed(scene.rows(estimates), scene.setting), replica_rps)
    return columns.transpose(1, 2, 0).astype(np.float32, order="C")


def _known(columns: Floats, scene: Scene) -> None:
    profiles = scene.profiles
    features.service(
        columns, scene.miss_price, profiles.startup_mean_s, profiles.concurrency,
        profiles.slo_latency_s, profiles.service_time_s, profiles.service_scv,
        profiles.metric_lag_s, scene.sensed.age_s, scene.tick_s,
    )  # fmt: skip


def _capacity(
    columns: Floats, scene: Scene, now: Floats, built: Floats, replica_rps: Floats
) -> None:
    profiles, sensed = scene.profiles, scene.sensed
    features.capacity(
        columns, now, built, sensed.ready, sensed.starting, sensed.wanted, sensed.in_flight,
        scene.held, scene.miss_price, profiles.concurrency, replica_rps,
        profiles.min_replicas, profiles.max_replicas,
    )  # fmt: skip


def _load(columns: Floats, scene: Scene, now: Floats, replica_rps: Floats) -> None:
    memory, rows, startup_s = scene.memory, scene.rows, scene.profiles.startup_mean_s
    season, spread, age_s = memory.season, memory.spread, rows(memory.age_s)
    features.noise(
        columns[:_NOISE], now, rows(memory.levels), rows(memory.var), rows(memory.tau_s),
        age_s, startup_s, replica_rps,
    )  # fmt: skip
    features.history(
        columns[_NOISE:], now, rows(memory.peaks), rows(spread.known), rows(spread.highest),
        rows(spread.mean), rows(season.strength), rows(season.period_bins),
        rows(season.ahead(memory.minutes, 1.5 * memory.horizon_s)),
        rows(season.ahead(memory.minutes, 3.0 * memory.horizon_s)), age_s, startup_s, replica_rps,
    )  # fmt: skip


def _routing(
    columns: Floats, scene: Scene, now: Floats, built: Floats, replica_rps: Floats
) -> None:
    profiles, sensed, merit = scene.profiles, scene.sensed, scene.merit
    cheapest = np.where(profiles.present, merit.cost, np.inf).min(1)
    features.routing(
        columns, np.empty(now.shape), scene.misses, now, built, merit.cost, cheapest,
        merit.slowness, merit.late_share, sensed.weight, sensed.ready, profiles.present,
        replica_rps,
    )  # fmt: skip


def _setting(
    columns: Floats, scene: Scene, now: Floats, estimate: Floats, replica_rps: Floats
) -> None:
    setting, memory = scene.setting, scene.memory
    features.setting(
        columns, now, estimate, setting.headroom, setting.hold_s, setting.lean, setting.tilt,
        setting.wait, scene.rows(memory.jump_ahead), scene.rows(memory.beat.scores),
        scene.miss_price, replica_rps,
    )  # fmt: skip
