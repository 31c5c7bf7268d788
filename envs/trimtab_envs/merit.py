"""Which backend a request is best served by: what it costs there, and how likely it is late.

Prices and service times are known from the profile, but backends change under way: a zone browns
out, a version is bad. So how slow each one is gets measured, from the requests it holds and those
it finishes, and how often it fails. Capacity is built where a request costs least, in units of the
score, and requests go first where they are answered in time. A service with one backend has
nothing to choose.
"""

from __future__ import annotations

import numpy as np

from trimtab_envs.minutes import Bools, Floats
from trimtab_sim.profile import LEAST_SCV, Profiles
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
        self._keep = np.exp(-tick_s / MEMORY_S)
        # Seconds of slots that were busy, requests finished, come and failed, lately; and those
        # in flight at the last reading.
        self._lately = np.zeros((4, *profiles.shape))
        self._in_flight = np.zeros(profiles.shape)
        self._ready, self._waited_s = np.zeros((2, *profiles.shape))
        self.soon = np.full(profiles.shape, np.inf)
        self.reset(np.ones(profiles.shape[0], dtype=np.bool_), profiles, miss_price)

    def reset(self, services: Bools, profiles: Profiles, miss_price: Floats) -> None:
        """Forget the masked services ``[B]``; profiles and prices replace those of all."""
        self._profiles, self._miss_price = profiles, miss_price
        self._dearness = profiles.price / profiles.replica_rps / profiles.least_price[:, None]
        self._lately[:, services] = self._in_flight[services] = 0.0
        self._ready[services] = self._waited_s[services] = 0.0
        self.soon[services] = np.inf
        self._judge()

    def update(self, sensed: Sensed) -> None:
        """Take in one tick; missing readings leave no trace."""
        seen = np.isfinite(sensed.rate_rps) & np.isfinite(sensed.in_flight)
        in_flight = np.where(seen, sensed.in_flight, self._in_flight)
        arrived = np.where(seen, sensed.rate_rps, 0.0) * self._tick_s
        busy_s = np.minimum(in_flight, sensed.ready * self._profiles.concurrency) * self._tick_s
        finished = np.maximum(arrived + self._in_flight - in_flight, 0.0)
        failed = arrived * np.nan_to_num(sensed.error_share)
        now = self._keep * self._lately + (busy_s, finished, arrived, failed)
        self._lately = np.where(seen, now, self._lately)
        self._in_flight = in_flight
        self._wait(sensed)
        self._judge()

    def _wait(self, sensed: Sensed) -> None:
        """For replicas that were asked for: they may be lost, refused, or never come."""
        come = (sensed.ready > self._ready) | (sensed.ready >= sensed.wanted)
        lost = (sensed.ready < self._ready) & ~come
        self._ready = sensed.ready.copy()
        self._waited_s = np.where(come, 0.0, self._waited_s + self._tick_s)
        # Whoever loses replicas that are still wanted may lose the new ones, too.
        self._waited_s = np.where(lost, np.inf, self._waited_s)
        refused = sensed.starting + sensed.ready < sensed.wanted
        usual_s = np.where(refused, 0.0, LATE_STARTUPS * self._profiles.startup_mean_s)
        # A stage may take a moment, and always a tick, to do what it is asked.
        late = self._waited_s > usual_s + LATE_S + self._tick_s
        self.soon = np.where(late, sensed.ready, np.inf)

    def _judge(self) -> None:
        profiles, service_s = self._profiles, self._profiles.service_time_s
        busy_s, finished, arrived, failed = self._lately
        known_s = PRIOR_REQUESTS * service_s
        pace = (busy_s + known_s) / (finished * service_s + known_s)
        self.slowness = np.clip(pace / TOLERATED, 1.0, SLOWEST)
        slo = profiles.slo_latency_s[:, None] / (service_s * self.slowness)
        answered = 1.0 - failed / (arrived + PRIOR_REQUESTS)
        self.late_share = 1.0 - answered * (1.0 - tail(slo, profiles.service_scv))
        self.cost = self._dearness * self.slowness + self._miss_price[:, None] * self.late_share

    def built(self, lean: Floats) -> Floats:
        """Share of the load that each backend should have capacity for."""
        raw = self._profiles.present * lean * self.cost**-GREED
        return np.asarray(raw / raw.sum(1, keepdims=True))

    def routed(self, tilt: Floats, ready: Floats, load_rps: Floats, weight: Floats) -> Floats:
        """Share of the route: ready capacity, those in time first; ``load_rps`` is ``[B, 1]``.

        The present ``weight`` ``[B, K]`` stays while nothing is ready, or while it is about right
        and goes only where something is ready.
        """
        capacity_rps = ready * self._profiles.replica_rps / self.slowness
        preferred = capacity_rps * tilt * np.exp(-STRICTNESS * self.late_share)
        total = preferred.sum(1, keepdims=True)
        load = np.maximum(load_rps, SOME_RPS) * preferred / np.maximum(total, TINY)
        load = spilled(load, FULL * capacity_rps)
        carried = load.sum(1, keepdims=True)
        share = load / np.maximum(carried, TINY)
        moves = (np.abs(share - weight) > STILL) | ((weight > 0.0) & (ready == 0.0))
        return np.where((carried > 0.0) & moves.any(1, keepdims=True), share, weight)


def tail(times_mean: Floats, scv: Floats) -> Floats:
    """Share of gamma distributed times beyond so many times their mean.

    The cube root is nearly normal (Wilson and Hilferty 1931), and the normal tail nearly logistic.
    """
    variance = np.maximum(scv, LEAST_SCV) / 9.0
    deviations = (np.cbrt(times_mean) - (1.0 - variance)) / np.sqrt(variance)
    return np.asarray(1.0 / (1.0 + np.exp(1.5976 * deviations + 0.07056 * deviations**3)))


def spilled(load: Floats, room: Floats) -> Floats:
    """``load`` ``[B, K]`` with what is beyond a backend's ``room`` sent to those that have some.

    What fits nowhere goes to all, by their room.
    """
    total, whole = load.sum(1, keepdims=True), room.sum(1, keepdims=True)
    over, spare = np.maximum(load - room, 0.0), np.maximum(room - load, 0.0)
    part = over.sum(1, keepdims=True) / np.maximum(spare.sum(1, keepdims=True), TINY)
    fitting = load - over + spare * part
    by_room = np.where(whole > 0.0, room * (total / np.maximum(whole, TINY)), load)
    return np.where(total < whole, fitting, by_room)
