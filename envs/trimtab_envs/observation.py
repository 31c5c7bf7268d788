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
    base_headroom,
    mixed,
)
from trimtab_envs.memory import ESTIMATES, LEVELS, Memory
from trimtab_envs.merit import FULL, GREED, STRICTNESS, TOLERATED, Merit
from trimtab_envs.minutes import BIN_S, BINS, Bools, Floats
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

    def wide(self, per_service: Floats) -> Floats:
        """``[B]`` as ``[B, K]``."""
        return np.broadcast_to(per_service[:, None], self.profiles.shape)

    def rows(self, flat: Floats) -> Floats:
        """``[B x K]`` as ``[B, K]``."""
        return flat.reshape(self.profiles.shape)


def encode(scene: Scene) -> NDArray[np.float32]:
    """The observation, ``[B, K, len(FEATURES)]`` float32, clipped to [-6, 6]."""
    estimates = scene.memory.estimates().reshape(-1, *scene.profiles.shape)
    now = estimates[0]
    # Half a request slot keeps a near-idle load from exploding.
    floor = 0.1 * scene.profiles.replica_rps
    built = scene.merit.built(scene.setting.lean)
    columns = (
        *_service(scene),
        *_capacity(scene, now * np.maximum(built, 1e-3), floor),
        *(_log_ratio(estimate, now, floor) for estimate in estimates[1:]),
        *_load(scene, now, floor),
        *(np.log1p(100.0 * scene.wide(share)) for share in scene.misses),
        *_routing(scene, now, built, floor),
        _log_ratio(mixed(estimates, scene.setting), now, floor),
        *_setting(scene),
        scene.rows(scene.memory.jump_ahead),
        *(2.0 * scene.rows(score) for score in scene.memory.beat.scores),
    )
    # Feature by feature as long as there is anything to compute: rows next to each other.
    features = np.empty((len(FEATURES), *scene.profiles.shape))
    for feature, column in zip(features, columns, strict=True):
        np.clip(column, -6.0, 6.0, out=feature)
    features[np.isnan(features)] = 0.0
    return np.ascontiguousarray(np.moveaxis(features, 0, -1), dtype=np.float32)


Columns = tuple[NDArray[Any], ...]


def _service(scene: Scene) -> Columns:
    """What is known beforehand, and how old the metrics are."""
    profiles, startup_s = scene.profiles, scene.profiles.startup_mean_s
    lag_s = scene.wide(profiles.metric_lag_s)
    return (
        np.log(scene.wide(scene.miss_price) / 50.0) / 2.0,
        np.log2(startup_s / scene.tick_s) / 2.0,
        np.log(startup_s / 45.0) / 2.0,
        np.log2(profiles.concurrency) / 2.0,
        np.log2(scene.wide(profiles.slo_latency_s) / profiles.service_time_s) / 2.0,
        profiles.service_scv,
        lag_s / startup_s,
        (scene.wide(scene.sensed.age_s) - lag_s) / startup_s,
    )


def _capacity(scene: Scene, load: Floats, floor: Floats) -> Columns:
    """Replicas against the part of the load that they are for."""
    profiles, sensed = scene.profiles, scene.sensed
    slots = np.maximum(sensed.ready, 0.5) * profiles.concurrency
    ready_rps = sensed.ready * profiles.replica_rps
    total_rps = (sensed.ready + sensed.starting) * profiles.replica_rps
    headroom = (total_rps + floor) / (load + floor)
    return (
        np.log2(load / profiles.replica_rps + 0.1) / 2.0,
        sensed.in_flight / slots,
        np.log1p(np.maximum(sensed.in_flight - slots, 0.0) / slots),
        _log_ratio(load, ready_rps, floor),
        _log_ratio(load, total_rps, floor),
        sensed.starting / (sensed.ready + sensed.starting + 1.0),
        np.log2((scene.held + 0.5) / (sensed.wanted + 0.5)),
        np.log2(headroom / scene.wide(base_headroom(scene.miss_price))),
        1.0 * (sensed.wanted <= profiles.min_replicas),
        1.0 * (sensed.wanted >= profiles.max_replicas),
    )


def _load(scene: Scene, now: Floats, floor: Floats) -> Columns:
    """What the memory tells of the load: levels, noise, peaks, season, and how old it is."""
    memory, rows, startup_s = scene.memory, scene.rows, scene.profiles.startup_mean_s
    levels = [rows(memory.level(scale)) for scale in range(LEVELS)]
    noise, peaks = map(rows, memory.noise), map(rows, memory.peaks)
    season, spread, flat_now = memory.season, memory.spread, now.ravel()
    period_s = rows(season.period_bins.astype(np.float64) * BIN_S)
    # What is older has left the memory: no age beyond it means anything to a policy.
    age_s = rows(np.minimum(memory.age_s, BINS * BIN_S))
    return (
        *(_log_ratio(a, b, floor) for a, b in pairwise(levels)),
        next(noise) / (now + floor),
        next(noise) / (levels[3] + floor),
        rows(memory.slope) * startup_s / (now + floor),
        *(_log_ratio(peak, now, floor) for peak in peaks),
        _log_ratio(rows(np.where(spread.known, spread.highest, flat_now)), now, floor),
        _log_ratio(rows(np.where(spread.known, spread.mean, flat_now)), now, floor),
        2.0 * rows(season.strength),
        np.log2((period_s + 1.0) / startup_s) / 4.0,
        _log_ratio(rows(memory.seasonal(1.5 * memory.horizon_s)), now, floor),
        _log_ratio(rows(memory.seasonal(3.0 * memory.horizon_s)), now, floor),
        np.log1p(age_s / 600.0),
        np.log1p(age_s / startup_s) / 2.0,
    )


def _routing(scene: Scene, now: Floats, built: Floats, floor: Floats) -> Columns:
    """This backend beside the others of its service."""
    profiles, merit, weight = scene.profiles, scene.merit, scene.sensed.weight
    cheapest = np.where(profiles.present, merit.cost, np.inf).min(1)
    ready_rps = scene.sensed.ready * profiles.replica_rps
    others_rps = ready_rps.sum(1, keepdims=True) - ready_rps
    capacity_share = _share(ready_rps, profiles.present)
    return (
        np.log2(merit.cost / scene.wide(cheapest)),
        np.log2(merit.slowness),
        np.log1p(100.0 * merit.late_share),
        built,
        weight,
        capacity_share,
        weight - capacity_share,
        others_rps / (others_rps + now + floor),
    )


def _setting(scene: Scene) -> Columns:
    """The rule's dials as they stand."""
    setting = scene.setting
    return (
        2.0 * np.log2(setting.headroom / scene.wide(base_headroom(scene.miss_price))),
        np.log(setting.hold_s / 300.0),
        np.log2(setting.lean),
        np.log2(setting.tilt),
        2.0 * setting.wait,
    )


def _log_ratio(above: Floats, below: Floats, floor: Floats) -> Floats:
    return np.asarray(np.log2((above + floor) / (below + floor)))


def _share(capacity: Floats, present: Bools) -> Floats:
    """Each backend's part of the capacity; equal parts while there is none."""
    total = capacity.sum(1, keepdims=True)
    equal = present / present.sum(1, keepdims=True)
    return np.asarray(np.where(total > 0.0, capacity / np.maximum(total, 1e-9), equal))
