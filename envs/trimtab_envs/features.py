"""How each group of features is computed of what is known, sensed, remembered and set.

Loops over backends; each writes its rows of the features ``[F, B, K]``, in the schema's order.
Arguments per backend are ``[B, K]``, per service ``[B]``.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from trimtab_envs.action import base_headroom
from trimtab_envs.memory import LEVEL_SCALE, leaning, slope
from trimtab_envs.minutes import BIN_S, BINS, Bools, Floats, Ints
from trimtab_sim.rows import by_row, each, of_column, of_row, part, total, where

LIMIT = 6.0


@part
def _put(rows: Floats, at: Any, values: tuple[Any, ...]) -> None:
    for number, value in enumerate(values):
        rows[number][at] = _bounded(value)


@part
def _bounded(value: Any) -> Any:
    """Cut at ``LIMIT``, and 0 where there is nothing to tell."""
    bounded = np.minimum(np.maximum(value, -LIMIT), LIMIT)
    return where(np.isnan(bounded), 0.0, bounded)


@part
def _log_ratio(above: Any, below: Any, floor: Any) -> Any:
    return np.log2((above + floor) / (below + floor))


@by_row
def service(
    rows: Floats,
    miss_price: Floats,
    startup_s: Floats,
    concurrency: Floats,
    slo_s: Floats,
    service_s: Floats,
    scv: Floats,
    lag_s: Floats,
    age_s: Floats,
    tick_s: float,
) -> None:
    """What is known beforehand, and how old the metrics are."""
    for at in each(startup_s):
        lag = of_row(lag_s, at)
        values = (
            np.log(of_row(miss_price, at) / 50.0) / 2.0,
            np.log2(startup_s[at] / tick_s) / 2.0,
            np.log(startup_s[at] / 45.0) / 2.0,
            np.log2(concurrency[at]) / 2.0,
            np.log2(of_row(slo_s, at) / service_s[at]) / 2.0,
            scv[at],
            lag / startup_s[at],
            (of_row(age_s, at) - lag) / startup_s[at],
        )
        _put(rows, at, values)


@by_row
def capacity(
    rows: Floats,
    now: Floats,
    built: Floats,
    ready: Floats,
    starting: Floats,
    wanted: Floats,
    in_flight: Floats,
    held: Floats,
    miss_price: Floats,
    concurrency: Floats,
    replica_rps: Floats,
    least: Floats,
    most: Floats,
) -> None:
    """Replicas against the part of the load that they are for."""
    for at in each(now):
        load, floor = now[at] * np.maximum(built[at], 1e-3), _floor(replica_rps[at])
        slots = np.maximum(ready[at], 0.5) * concurrency[at]
        total_rps = (ready[at] + starting[at]) * replica_rps[at]
        headroom = (total_rps + floor) / (load + floor)
        values = (
            np.log2(load / replica_rps[at] + 0.1) / 2.0,
            in_flight[at] / slots,
            np.log1p(np.maximum(in_flight[at] - slots, 0.0) / slots),
            _log_ratio(load, ready[at] * replica_rps[at], floor),
            _log_ratio(load, total_rps, floor),
            starting[at] / (ready[at] + starting[at] + 1.0),
            np.log2((held[at] + 0.5) / (wanted[at] + 0.5)),
            np.log2(headroom / base_headroom(of_row(miss_price, at))),
            1.0 * (wanted[at] <= least[at]),
            1.0 * (wanted[at] >= most[at]),
        )
        _put(rows, at, values)


@part
def _floor(replica_rps: Any) -> Any:
    """Half a request slot, which keeps a near-idle load from exploding."""
    return 0.1 * replica_rps


@by_row
def relative(rows: Floats, loads: Floats, now: Floats, replica_rps: Floats) -> None:
    """Each of the ``loads`` ``[rows, R]`` against the present one; the others are ``[R]``."""
    for at in each(loads):
        floor = _floor(of_column(replica_rps, at))
        rows[at] = _bounded(_log_ratio(loads[at], of_column(now, at), floor))


@by_row
def noise(
    rows: Floats,
    now: Floats,
    levels: Floats,
    var: Floats,
    tau_s: Floats,
    age_s: Floats,
    startup_s: Floats,
    replica_rps: Floats,
) -> None:
    """How the load moves from scale to scale and from tick to tick."""
    for at in each(now):
        floor = _floor(replica_rps[at])
        rising = slope(levels[0][at], levels[1][at], tau_s[0][at], tau_s[1][at], age_s[at])
        values = (
            _log_ratio(levels[0][at], levels[1][at], floor),
            _log_ratio(levels[1][at], levels[2][at], floor),
            _log_ratio(levels[2][at], levels[3][at], floor),
            _log_ratio(levels[3][at], levels[4][at], floor),
            np.sqrt(var[0][at]) / (now[at] + floor),
            np.sqrt(var[1][at]) / (levels[LEVEL_SCALE][at] + floor),
            rising * startup_s[at] / (now[at] + floor),
        )
        _put(rows, at, values)


@by_row
def history(
    rows: Floats,
    now: Floats,
    peaks: Floats,
    known: Bools,
    highest: Floats,
    mean: Floats,
    strength: Floats,
    period_bins: Ints,
    soon: Floats,
    later: Floats,
    age_s: Floats,
    startup_s: Floats,
    replica_rps: Floats,
) -> None:
    """Peaks and season of the load, and how old its memory is.

    ``soon`` and ``later`` are what came a period ago.
    """
    for at in each(now):
        floor, load, startup = _floor(replica_rps[at]), now[at], startup_s[at]
        # What is older has left the memory: no age beyond it means anything to a policy.
        age = np.minimum(age_s[at], BINS * BIN_S)
        values = (
            _log_ratio(peaks[0][at], load, floor),
            _log_ratio(peaks[1][at], load, floor),
            _log_ratio(where(known[at], highest[at], load), load, floor),
            _log_ratio(where(known[at], mean[at], load), load, floor),
            2.0 * strength[at],
            np.log2((period_bins[at] * BIN_S + 1.0) / startup) / 4.0,
            _log_ratio(leaning(load, soon[at], strength[at]), load, floor),
            _log_ratio(leaning(load, later[at], strength[at]), load, floor),
            np.log1p(age / 600.0),
            np.log1p(age / startup) / 2.0,
        )
        _put(rows, at, values)


@by_row
def routing(
    rows: Floats,
    ready_rps: Floats,
    misses: Floats,
    now: Floats,
    built: Floats,
    cost: Floats,
    cheapest: Floats,
    slowness: Floats,
    late_share: Floats,
    weight: Floats,
    ready: Floats,
    present: Bools,
    replica_rps: Floats,
) -> None:
    """What was missed lately, and this backend beside the others of its service."""
    for at in each(ready_rps):
        ready_rps[at] = ready[at] * replica_rps[at]
    for at in each(ready_rps):
        all_rps = total(ready_rps, at)
        others_rps = all_rps - ready_rps[at]
        # Equal parts while there is no capacity.
        equal = present[at] / total(present, at)
        share = where(all_rps > 0.0, ready_rps[at] / np.maximum(all_rps, 1e-9), equal)
        values = (
            np.log1p(100.0 * of_row(misses[0], at)),
            np.log1p(100.0 * of_row(misses[1], at)),
            np.log2(cost[at] / of_row(cheapest, at)),
            np.log2(slowness[at]),
            np.log1p(100.0 * late_share[at]),
            built[at],
            weight[at],
            share,
            weight[at] - share,
            others_rps / (others_rps + now[at] + _floor(replica_rps[at])),
        )
        _put(rows, at, values)


@by_row
def setting(
    rows: Floats,
    now: Floats,
    estimate: Floats,
    headroom: Floats,
    hold_s: Floats,
    lean: Floats,
    tilt: Floats,
    wait: Floats,
    jump_ahead: Floats,
    beats: Floats,
    miss_price: Floats,
    replica_rps: Floats,
) -> None:
    """The rule's dials as they stand, and when the load jumps."""
    for at in each(now):
        values = (
            _log_ratio(estimate[at], now[at], _floor(replica_rps[at])),
            2.0 * np.log2(headroom[at] / base_headroom(of_row(miss_price, at))),
            np.log(hold_s[at] / 300.0),
            np.log2(lean[at]),
            np.log2(tilt[at]),
            2.0 * wait[at],
            jump_ahead[at],
            2.0 * beats[0][at],
            2.0 * beats[1][at],
        )
        _put(rows, at, values)
