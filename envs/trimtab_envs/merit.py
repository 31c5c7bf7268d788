"""Which backend a request is best served by: what it costs there, and how likely it is late.

Prices and service times are known from the profile, but backends change under way: a zone browns
out, a version is bad. So how slow each one is gets measured, from the requests it holds and those
it finishes, and how often it fails. Capacity is built where a request costs least, in units of the
score, and requests go first where they are answered in time. A service with one backend has
nothing to choose.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from trimtab_envs.minutes import Bools, Floats
from trimtab_sim.profile import LEAST_SCV, Profiles
from trimtab_sim.rows import by_row, each, of_row, part, total, where
from trimtab_sim.signals import Sensed

# Seconds for which a measured pace counts, and the requests that weigh as much as the profile's
# word: a backend without load slowly seems as good as it should be, and is tried again.
MEMORY_S = 60.0
PRIOR_REQUESTS = 10.0
# A pace within this factor of the profile's is no news: queues in single replicas look like it.
TOLERATED = 1.3
SLOWEST = 30.0
# How fast shares of the capacity fall with the cost of a request, as an exponent: at twice the
# cost hardly anything, at the same cost equal parts.
GREED = 6.0
# How fast shares of the route fall with the share of requests that are late without any queue.
STRICTNESS = 20.0
# Utilisation up to which the better backends are filled before load spills to worse ones.
FULL = 0.8
# A route that would move by less stays: measured paces tremble.
STILL = 0.03
# Replicas that have not come after so many start-ups, or not begun to start, and so long, are not
# counted on.
LATE_STARTUPS, LATE_S = 2.0, 30.0
# What a replica that is to go counts for on the route: something, where nobody else is ready.
GOING = 1e-6
# What is routed while there is no load, so that there is a route.
SOME_RPS = 1e-6
# Divides where there is nothing to divide.
TINY = 1e-12


class Merit:
    """What is known of B services' backends, each ``[B, K]``.

    ``slowness``: how many times slower than in its profile it serves; 1 while that is no news.
    ``late_share``: the share of requests that fail, or are late without having to wait.
    ``cost``: what a request costs there as a part of the score J, capacity and lateness together.
    ``soon``: replicas that it can have before long: infinitely many, or those that it has when
    others were asked for and do not come.
    """

    slowness: Floats
    late_share: Floats
    cost: Floats
    soon: Floats

    def __init__(self, profiles: Profiles, miss_price: Floats, tick_s: float) -> None:
        self._tick_s = tick_s
        self._keep = float(np.exp(-tick_s / MEMORY_S))
        # Seconds of slots that were busy, requests finished, come and failed, lately; and those
        # in flight at the last reading.
        self._lately = np.zeros((4, *profiles.shape))
        self._in_flight = np.zeros(profiles.shape)
        self._ready, self._waited_s = np.zeros((2, *profiles.shape))
        # For what a tick computes on the way, ``[B, K]`` each.
        self._between = tuple(np.empty((7, *profiles.shape)))
        self.soon = np.full(profiles.shape, np.inf)
        self.slowness, self.late_share, self.cost = np.empty((3, *profiles.shape))
        self.reset(np.ones(profiles.shape[0], dtype=np.bool_), profiles, miss_price)

    def reset(self, services: Bools, profiles: Profiles, miss_price: Floats) -> None:
        """Forget the masked services ``[B]``; profiles and prices replace those of all."""
        self._profiles, self._miss_price = profiles, miss_price
        self._replica_rps = profiles.replica_rps
        self._dearness = profiles.price / self._replica_rps / profiles.least_price[:, None]
        self._lately[:, services] = self._in_flight[services] = 0.0
        self._ready[services] = self._waited_s[services] = 0.0
        self.soon[services] = np.inf
        self._judge()

    def update(self, sensed: Sensed) -> None:
        """Take in one tick; missing readings leave no trace."""
        slots, startup_s = self._profiles.concurrency, self._profiles.startup_mean_s
        _measure(
            self._lately, self._in_flight, sensed.rate_rps, sensed.in_flight, sensed.error_share,
            sensed.ready, slots, self._keep, self._tick_s,
        )  # fmt: skip
        _wait(
            self.soon, self._waited_s, self._ready, sensed.wanted, sensed.starting, sensed.ready,
            startup_s, self._tick_s,
        )  # fmt: skip
        self._judge()

    def _judge(self) -> None:
        profiles = self._profiles
        _judge(
            self.slowness, self.late_share, self.cost, self._lately, profiles.service_time_s,
            profiles.service_scv, profiles.slo_latency_s, self._dearness, self._miss_price,
        )  # fmt: skip

    def built(self, lean: Floats) -> Floats:
        """Share of the load that each backend should have capacity for."""
        share: Floats = np.empty(lean.shape)
        _build(share, self._between[0], self._profiles.present, lean, self.cost)
        return share

    def routed(
        self, tilt: Floats, ready: Floats, stay: Floats, load_rps: Floats, weight: Floats
    ) -> Floats:
        """Share of the route: ready capacity, those in time first; ``load_rps`` is ``[B, 1]``.

        Of the ``ready`` replicas as many as ``stay`` get a share. What leads to the others leaves
        before they may, but for load that the rest has no room for.

        The present ``weight`` ``[B, K]`` stays while nothing is ready, or while it is about right
        and goes only where something is ready.
        """
        share: Floats = np.empty(ready.shape)
        _route(
            share, *self._between, tilt, ready, stay, load_rps[:, 0], weight,
            self._replica_rps, self.slowness, self.late_share,
        )  # fmt: skip
        return share


@by_row
def _measure(
    lately: Floats,
    held: Floats,
    rate_rps: Floats,
    in_flight: Floats,
    error_share: Floats,
    ready: Floats,
    slots: Floats,
    keep: float,
    tick_s: float,
) -> None:
    """Add a tick to what was lately, where it was read; ``held`` were in flight before it."""
    busy_s, finished, arrived, failed = lately[0], lately[1], lately[2], lately[3]
    for at in each(held):
        seen = np.isfinite(rate_rps[at]) & np.isfinite(in_flight[at])
        now = where(seen, in_flight[at], held[at])
        came = where(seen, rate_rps[at], 0.0) * tick_s
        left = np.maximum(came + held[at] - now, 0.0)
        lost = came * where(np.isnan(error_share[at]), 0.0, error_share[at])
        busy = np.minimum(now, ready[at] * slots[at]) * tick_s
        busy_s[at] = where(seen, keep * busy_s[at] + busy, busy_s[at])
        finished[at] = where(seen, keep * finished[at] + left, finished[at])
        arrived[at] = where(seen, keep * arrived[at] + came, arrived[at])
        failed[at] = where(seen, keep * failed[at] + lost, failed[at])
        held[at] = now


@by_row
def _wait(
    soon: Floats,
    waited_s: Floats,
    before: Floats,
    wanted: Floats,
    starting: Floats,
    ready: Floats,
    startup_s: Floats,
    tick_s: float,
) -> None:
    """For replicas that were asked for: they may be lost, refused, or never come."""
    for at in each(soon):
        come = (ready[at] > before[at]) | (ready[at] >= wanted[at])
        lost = (ready[at] < before[at]) & np.logical_not(come)
        waited = where(come, 0.0, waited_s[at] + tick_s)
        # Whoever loses replicas that are still wanted may lose the new ones, too.
        waited_s[at] = where(lost, np.inf, waited)
        refused = starting[at] + ready[at] < wanted[at]
        usual_s = where(refused, 0.0, LATE_STARTUPS * startup_s[at])
        # A stage may take a moment, and always a tick, to do what it is asked.
        late = waited_s[at] > usual_s + LATE_S + tick_s
        soon[at] = where(late, ready[at], np.inf)
        before[at] = ready[at]


@by_row
def _judge(
    slowness: Floats,
    late_share: Floats,
    cost: Floats,
    lately: Floats,
    service_s: Floats,
    scv: Floats,
    slo_s: Floats,
    dearness: Floats,
    miss_price: Floats,
) -> None:
    busy_s, finished, arrived, failed = lately[0], lately[1], lately[2], lately[3]
    for at in each(cost):
        known_s = PRIOR_REQUESTS * service_s[at]
        pace = (busy_s[at] + known_s) / (finished[at] * service_s[at] + known_s)
        slowness[at] = np.minimum(np.maximum(pace / TOLERATED, 1.0), SLOWEST)
        slo = of_row(slo_s, at) / (service_s[at] * slowness[at])
        answered = 1.0 - failed[at] / (arrived[at] + PRIOR_REQUESTS)
        late_share[at] = 1.0 - answered * (1.0 - tail(slo, scv[at]))
        cost[at] = dearness[at] * slowness[at] + of_row(miss_price, at) * late_share[at]


@by_row
def _build(share: Floats, merit: Floats, present: Bools, lean: Floats, cost: Floats) -> None:
    for at in each(merit):
        merit[at] = present[at] * lean[at] * cost[at] ** -GREED
    for at in each(merit):
        share[at] = merit[at] / total(merit, at)


@by_row
def _route(
    share: Floats,
    preferred: Floats,
    room: Floats,
    load: Floats,
    carried: Floats,
    over: Floats,
    spare: Floats,
    moves: Floats,
    tilt: Floats,
    ready: Floats,
    stay: Floats,
    load_rps: Floats,
    weight: Floats,
    replica_rps: Floats,
    slowness: Floats,
    late_share: Floats,
) -> None:
    for at in each(share):
        pace_rps = replica_rps[at] / slowness[at]
        capacity_rps = ready[at] * pace_rps
        kept = np.maximum(np.minimum(ready[at], stay[at]), GOING * ready[at])
        preferred[at] = kept * pace_rps * tilt[at] * np.exp(-STRICTNESS * late_share[at])
        room[at] = FULL * capacity_rps
    for at in each(share):
        some_rps = np.maximum(of_row(load_rps, at), SOME_RPS)
        load[at] = some_rps * preferred[at] / np.maximum(total(preferred, at), TINY)
    spill(carried, load, room, over, spare)
    for at in each(share):
        share[at] = carried[at] / np.maximum(total(carried, at), TINY)
        moves[at] = (np.abs(share[at] - weight[at]) > STILL) | (
            (weight[at] > 0.0) & (ready[at] == 0.0)
        )
    for at in each(share):
        moved = (total(carried, at) > 0.0) & (total(moves, at) > 0.0)
        share[at] = where(moved, share[at], weight[at])


@part
def tail(times_mean: Any, scv: Any) -> Any:
    """Share of gamma distributed times beyond so many times their mean.

    The cube root is nearly normal (Wilson and Hilferty 1931), and the normal tail nearly logistic.
    """
    variance = np.maximum(scv, LEAST_SCV) / 9.0
    deviations = (np.cbrt(times_mean) - (1.0 - variance)) / np.sqrt(variance)
    return 1.0 / (1.0 + np.exp(1.5976 * deviations + 0.07056 * deviations**3))


@part
def spill(fitted: Floats, load: Floats, room: Floats, over: Floats, spare: Floats) -> None:
    """Fit ``load`` ``[B, K]``: what is beyond a backend's ``room`` goes to those that have some.

    What fits nowhere goes to all, by their room. ``over`` and ``spare`` are written to as well.
    """
    for at in each(load):
        over[at] = np.maximum(load[at] - room[at], 0.0)
        fitted[at] = load[at]
    if not over.any():
        return
    for at in each(load):
        spare[at] = np.maximum(room[at] - load[at], 0.0)
    for at in each(load):
        all_load, all_room = total(load, at), total(room, at)
        spread = total(over, at) / np.maximum(total(spare, at), TINY)
        fitting = load[at] - over[at] + spare[at] * spread
        by_room = room[at] * (all_load / np.maximum(all_room, TINY))
        no_room = where(all_room > 0.0, by_room, load[at])
        fitted[at] = where(all_load < all_room, fitting, no_room)
