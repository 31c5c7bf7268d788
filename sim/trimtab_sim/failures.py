"""What befalls replicas: crashes, spot preemptions, lost zones.

A crashed replica is out of the route at once and loses what it holds; the next scaling starts
another in its place. A preempted one leaves the route when its notice comes, and loses what it
has not finished when the notice ends. A lost zone takes all replicas of a backend, and nothing
starts there until it is back. All are Poisson processes, drawn once for the whole batch, because
they are rare: only backends that are hit cost anything.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from trimtab_sim.profile import Floats, Profiles
from trimtab_sim.queues import Queues
from trimtab_sim.replicas import Replicas

_HOUR_S = 3600.0


class Failures:
    """Random failures at the profiles' rates, and others on call; counts are ``[B, K]``."""

    def __init__(
        self,
        profiles: Profiles,
        tick_s: float,
        replicas: Replicas,
        queues: Queues,
        rng: np.random.Generator,
    ) -> None:
        self._tick_s = tick_s
        self._replicas, self._queues = replicas, queues
        self._rng = rng
        # Seconds for which a zone stays lost, and requests that failed since last settled.
        self._lost_s = np.zeros(profiles.shape)
        self._failed = np.zeros(profiles.shape)
        # Whether there may be any of either: they are rare, and looking for them is not free.
        self._any_lost = self._any_failed = False
        self._ones = np.ones(profiles.shape)
        self.adopt(profiles)

    def adopt(self, profiles: Profiles) -> None:
        """Take over rates and durations."""
        self._profiles = profiles
        self._replica_rps = profiles.replica_rps
        per_tick = self._tick_s / _HOUR_S
        kinds: list[tuple[Callable[[Floats], None], Floats, bool]] = [
            (self.crash, profiles.crash_per_h * per_tick, True),
            (self.preempt, profiles.preempt_per_h * per_tick, True),
            (self._lose_zone, profiles.zone_loss_per_h * per_tick, False),
        ]
        self._kinds = [kind for kind in kinds if kind[1].any()]

    def restart(self, rows: NDArray[np.bool_]) -> None:
        """Every zone of ``rows`` is back."""
        self._lost_s[rows] = self._failed[rows] = 0.0

    def tick(self) -> None:
        """Let a tick's failures happen, as if all came at its start."""
        if self._any_lost:
            self._lost_s = np.maximum(self._lost_s - self._tick_s, 0.0)
            self._replicas.open = np.where(self._lost_s > 0.0, 0.0, 1.0)
            self._any_lost = bool(self._lost_s.any())
        for happen, rate, per_replica in self._kinds:
            exposed = self._replicas.ready if per_replica else self._ones
            number = self._rng.poisson(np.vdot(rate, exposed))
            if number:
                happen(self._spread(number, rate * exposed))

    def _spread(self, number: int, mean: Floats) -> Floats:
        """Which backends ``number`` events hit, in proportion to their means."""
        counts = np.zeros_like(mean)
        until = np.cumsum(mean)
        hit = np.searchsorted(until, self._rng.random(number) * until[-1], side="right")
        np.add.at(counts.ravel(), np.minimum(hit, mean.size - 1), 1.0)
        return counts

    def crash(self, count: Floats) -> None:
        """``count`` of the ready replicas crash."""
        gone = np.minimum(count, self._replicas.ready)
        rows = np.flatnonzero(gone)
        waiting, served, fresh = self._withdraw(rows, gone)
        self._failed.ravel()[rows] += (waiting + served) * fresh
        self._replicas.ready -= gone

    def preempt(self, count: Floats) -> None:
        """``count`` of the ready replicas are given notice."""
        gone = np.minimum(count, self._replicas.ready)
        rows = np.flatnonzero(gone)
        waiting, served, fresh = self._withdraw(rows, gone)
        notice_s = self._profiles.preempt_notice_s.ravel()[rows]
        pace_rps = gone.ravel()[rows] * self._replica_rps.ravel()[rows]
        unfinished = np.maximum(waiting + served - pace_rps * notice_s, 0.0)
        self._failed.ravel()[rows] += unfinished * fresh
        hold_s = np.minimum(self._queues.residual_s(rows) + waiting / pace_rps, notice_s)
        self._replicas.drain(rows, gone.ravel()[rows], hold_s)

    def lose_zone(self, seconds: Floats) -> None:
        """Backends where ``seconds`` are above 0 are gone for so long."""
        self._lost_s = np.maximum(self._lost_s, seconds)
        self._any_lost = True
        lost = seconds > 0.0
        self.crash(np.where(lost, self._replicas.ready, 0.0))
        self._replicas.remove(lost)
        self._replicas.open[lost] = 0.0

    def _lose_zone(self, count: Floats) -> None:
        mean_s = np.where(count > 0.0, self._profiles.zone_loss_mean_s, 0.0)
        self.lose_zone(self._rng.exponential(mean_s))

    def _withdraw(self, rows: NDArray[np.intp], gone: Floats) -> tuple[Floats, Floats, Floats]:
        self._any_failed = True
        return self._queues.withdraw(rows, self._replicas.ready.ravel()[rows], gone.ravel()[rows])

    def settle(self) -> Floats:
        """Requests that failed with their replica, not counted as late before, ``[B]``."""
        if not self._any_failed:
            return np.zeros(len(self._failed))
        failed = self._failed.sum(1)
        self._failed[:] = 0.0
        self._any_failed = False
        return np.asarray(failed)
