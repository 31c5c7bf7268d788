"""What nobody can beat: the clairvoyant optimum of a relaxed service.

It knows every arrival. A request that is not served in its own tick is a miss and vanishes;
the SLO's slack is granted as extra capacity, so per tick a replica serves what it could in
``tick_s + slo_latency_s``. The mean start-up is billed, draining is not.

Why it is a true bound. A request on time is done at most one SLO after its tick, and in that
span the replicas ready in the tick cannot do more work than when busy throughout; so all
requests but these are misses for any policy. A replica may become ready anywhere within a
tick, so here too. Work and start-ups are random and misses are convex in the work done, so by
Jensen's inequality their means bound the mean from below: the bound holds for the arrivals
that came, in expectation over service times (of scv 1 at most: busy servers of a wilder law
finish a little more at first) and over start-up times.

Why it is fast. Misses are convex in the replica count, so the program over counts falls apart
into one on/off program per level: "is the n-th replica worth having now?". A level's whole
state is one number, the cost of being on less that of being off; levels and cells are arrays.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from trimtab_sim.profile import Floats, Profiles


@dataclass(frozen=True, slots=True)
class Bound:
    """Optimal plan of C cells: ``replicas`` and ``misses`` ``[T, C]``, ``billed_s`` ``[C]``."""

    replicas: Floats
    misses: Floats
    billed_s: Floats


@dataclass(frozen=True, slots=True)
class _Program:
    """One relaxed cell per row: everything above the minimum of replicas, per level ``[C, N]``."""

    excess: Floats  # requests beyond what the minimum of replicas serves, [T, C]
    below: Floats  # requests that the levels under each one serve in a tick
    serves: Floats  # requests that a replica serves in a tick, [C, 1]
    miss_s: Floats  # what a miss costs in replica-seconds, [C, 1]
    startup_s: Floats
    tick_s: float

    def needed(self, tick: int) -> Floats:
        """Requests that each level would serve: ``serves`` until the load is covered, then 0."""
        return np.asarray(np.clip(self.excess[tick][:, None] - self.below, 0.0, self.serves))

    def running(self, needed: Floats) -> Floats:
        """Cost of a tick with the level on, less one with it off."""
        return np.asarray(self.tick_s - self.miss_s * needed)

    def landing(self, needed: Floats) -> Floats:
        """The same for a level that becomes ready within the tick, as late as serves its need."""
        busy = needed * (self.tick_s / self.serves - self.miss_s)
        return np.asarray(self.startup_s + np.minimum(busy, 0.0))


def lower_bound(
    requests: Floats, profiles: Profiles, miss_price: Floats, initial: Floats, tick_s: float
) -> Bound:
    """Minimise ``fleet + miss_price · miss`` for C services with one backend each.

    ``requests`` ``[T, C]`` that arrived in each tick; ``miss_price`` and ``initial`` (replicas
    ready before the first tick) ``[C]``. ``ValueError`` when there is more than one backend.
    """
    if profiles.shape[1] != 1:
        raise ValueError(f"the bound is for one backend, the profiles have {profiles.shape[1]}")
    minimum, replica_rps = profiles.min_replicas[:, 0], profiles.replica_rps[:, 0]
    serves = replica_rps * (tick_s + profiles.slo_latency_s)
    excess = np.maximum(requests - serves * minimum, 0.0)
    room = profiles.max_replicas[:, 0] - minimum
    levels = np.arange(np.minimum(np.ceil((excess / serves).max(0)), room).max())
    program = _Program(
        excess=excess,
        below=np.where(levels < room[:, None], levels * serves[:, None], np.inf),
        serves=serves[:, None],
        miss_s=(miss_price / replica_rps)[:, None],
        startup_s=profiles.startup_mean_s,
        tick_s=tick_s,
    )
    cost_s, extra = _solve(program, np.where(levels < (initial - minimum)[:, None], 0.0, np.inf))
    misses = np.maximum(excess - serves * extra, 0.0)
    extra_s = cost_s - program.miss_s[:, 0] * misses.sum(0)
    return Bound(extra + minimum, misses, extra_s + minimum * tick_s * len(requests))


def _solve(program: _Program, advantage: Floats) -> tuple[Floats, Floats]:
    """Least cost ``[C]`` in replica-seconds, and the levels on ``[T, C]`` that achieve it.

    ``advantage`` ``[C, N]`` is the cost of on less off before the first tick. It never falls
    with the level, so "which levels" is always "the first n".
    """
    ticks, cells = program.excess.shape
    cost_s = program.miss_s[:, 0] * program.excess.sum(0)
    fewest, most = np.zeros((ticks + 1, cells)), np.zeros((ticks + 1, cells))
    for tick in range(ticks):
        needed = program.needed(tick)
        stay = np.maximum(advantage, 0.0) + program.running(needed)
        land = program.landing(needed)
        fewest[tick], most[tick] = (advantage < 0.0).sum(1), (stay <= land).sum(1)
        cost_s = cost_s + np.minimum(advantage, 0.0).sum(1)
        advantage = np.minimum(stay, land)
    fewest[ticks] = (advantage < 0.0).sum(1)
    return cost_s + np.minimum(advantage, 0.0).sum(1), _trace_back(fewest, most)


def _trace_back(fewest: Floats, most: Floats) -> Floats:
    """From the end: as many as in the next tick, within what was worth it before that one."""
    plan = np.empty((len(fewest) - 1, fewest.shape[1]))
    after = fewest[-1]
    for tick in range(len(plan) - 1, -1, -1):
        plan[tick] = after
        after = np.maximum(fewest[tick], np.minimum(after, most[tick]))
    return plan
