"""The arrivals of a past once more through the simulator: as it was scaled, or by a policy."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from trimtab_agents.evidence.past import Bools, Past
from trimtab_agents.policy import Policy
from trimtab_sim.profile import Floats, Profiles
from trimtab_sim.simulator import Simulator

Ints = NDArray[np.int64]

# With so few misses hardly anything waits, and requests inside tell how long one takes.
CALM = 0.05
AT_ONCE_S = 1e-3


@dataclass(frozen=True, slots=True)
class Books:
    """Sums over each day's known ticks, ``[D, R]``.

    ``cost`` is in price x replica-seconds; ``inside`` in request-seconds, of ticks in which next to
    nothing was recorded to miss; ``events`` are changes of replicas asked for; ``apart`` is how
    far misses were from those recorded, tick by tick, in overloads.
    """

    requests: Floats
    misses: Floats
    cost: Floats
    inside: Floats
    events: Floats
    apart: Floats

    @property
    def miss_share(self) -> Floats:
        """Misses per request, ``[D, R]``."""
        return self.misses / np.maximum(self.requests, 1.0)

    def rows(self, rows: slice) -> Books:
        """The same of some rows."""
        return Books(*(getattr(self, field.name)[:, rows] for field in fields(self)))

    def of_days(self, days: Bools) -> Books:
        """The same of some days."""
        return Books(*(getattr(self, field.name)[days] for field in fields(self)))

    def total(self) -> Books:
        """All days as one."""
        return Books(*(getattr(self, field.name).sum(0, keepdims=True) for field in fields(self)))


@dataclass(frozen=True, slots=True)
class Cast:
    """R worlds to replay in: each is a ``service`` of the past under a profile of its own.

    ``shift`` is how many ticks late the metrics are taken to be; ``as_ready`` ones get at once
    the replicas that were ready, not after their start-up those that were asked for.
    """

    service: Ints
    shift: Ints
    profiles: Profiles
    as_ready: Bools

    @classmethod
    def of(cls, service: Ints, lag_ticks: int, profiles: Profiles) -> Cast:
        """Worlds in which metrics are as late as they say, and replicas start as profiles say."""
        rows = len(service)
        return cls(service, np.full(rows, lag_ticks), profiles, np.zeros(rows, dtype=np.bool_))

    @property
    def played(self) -> Profiles:
        """The profiles; replicas of ``as_ready`` worlds start at once."""
        startup_s = np.where(self.as_ready[:, None], AT_ONCE_S, self.profiles.startup_mean_s)
        return replace(self.profiles, startup_mean_s=startup_s)


def observed(past: Past, prices: Floats) -> Books:
    """What was recorded itself; ``prices`` are ``[B, K]``."""
    requests = past.rate_rps.sum(2) * past.tick_s
    moved = np.zeros(past.wanted.shape)
    moved[1:] = past.wanted[1:] != past.wanted[:-1]
    misses = past.by_day(past.miss_share * requests)
    return Books(
        requests=past.by_day(requests),
        misses=misses,
        cost=past.by_day((past.billed * prices).sum(2) * past.tick_s),
        inside=past.by_day(past.in_flight.sum(2) * past.tick_s * (past.miss_share <= CALM)),
        events=past.by_day(moved.sum(2)),
        apart=np.zeros_like(misses),
    )


def replay(past: Past, cast: Cast, policy: Policy | None, seed: int) -> Books:
    """Replay with what ``policy`` wants; without one, with what was recorded.

    The policy must have been reset for the cast's profiles. One seed gives casts alike the same
    arrivals, whoever scales.
    """
    simulator = Simulator(cast.played, past.tick_s, np.random.default_rng(seed))
    columns = np.zeros((6, past.days, len(cast.service)))
    sensed = simulator.reset(past.wanted[0, cast.service], past.weight[0, cast.service])
    rows, as_ready = cast.service, cast.as_ready[:, None]
    prices = cast.profiles.price
    for tick in range(len(past.known)):
        at = past.moments(cast.shift, tick)
        rates = past.rate_rps[at, rows].sum(1)
        if policy is None:
            wanted = np.where(as_ready, past.ready[tick, rows], past.wanted[tick, rows])
            weight = past.weight[tick, rows]
        else:
            want = policy.act(sensed)
            wanted, weight = want.replicas, want.weight
        before, seen = sensed.wanted, simulator.step(rates, wanted, weight)
        sensed = seen.sensed
        recorded = past.miss_share[at, rows] * rates * past.tick_s
        is_overload = np.maximum(recorded, seen.misses) > CALM * seen.requests
        columns[:, tick // past.day_ticks] += past.known[at, rows] * (
            seen.requests,
            seen.misses,
            (seen.billed_s * prices).sum(1),
            simulator.in_flight.sum(1) * past.tick_s * (past.miss_share[at, rows] <= CALM),
            (sensed.wanted != before).sum(1),
            np.abs(seen.misses - recorded) * is_overload,
        )
    return Books(*columns)
