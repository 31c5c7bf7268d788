"""Replicas of B services on K backends: starting, ready, draining, and what they bill."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from trimtab_sim.profile import Floats, Profiles

# Start-ups beyond this many standard deviations (of the log) are cut there: one in 30,000.
_SIGMAS = 4.0


class Replicas:
    """Counts ``[B, K]``, and a ring of ticks in which the starting ones become ready."""

    def __init__(self, profiles: Profiles, tick_s: float, rng: np.random.Generator) -> None:
        self.starting = np.zeros(profiles.shape)
        self.ready = np.zeros(profiles.shape)
        self.draining = np.zeros(profiles.shape)
        self.wanted = np.zeros(profiles.shape)
        # 0 where nothing can be started at present, else 1.
        self.open = np.ones(profiles.shape)
        self._drain_s = np.zeros(profiles.shape)
        self._tick_s = tick_s
        self._rng = rng
        self._head = 0
        self._landing = np.zeros((1, self.ready.size))
        self._unready = np.zeros((1, self.ready.size))
        self.adopt(profiles)

    def adopt(self, profiles: Profiles) -> None:
        """Take over start-up times and limits; grows the ring where they are longer."""
        self._profiles = profiles
        self._log_var = np.log1p(profiles.startup_cv**2).ravel()
        self._startup_ticks = profiles.startup_mean_s.ravel() / self._tick_s
        longest = self._startup_ticks * np.exp(_SIGMAS * np.sqrt(self._log_var))
        grow = int(longest.max()) + 2 - len(self._landing)
        if grow > 0:
            pad = np.zeros((grow, self.ready.size))
            self._landing = np.concatenate([np.roll(self._landing, -self._head, axis=0), pad])
            self._unready = np.concatenate([np.roll(self._unready, -self._head, axis=0), pad])
            self._head = 0

    def restart(self, rows: NDArray[np.bool_], replicas: Floats) -> None:
        """``replicas`` are ready in ``rows``, nothing starts or drains."""
        present = np.where(self._profiles.present, replicas, 0.0)
        self.wanted[rows] = self.ready[rows] = present[rows]
        self.starting[rows] = self.draining[rows] = self._drain_s[rows] = 0.0
        self.open[rows] = 1.0
        columns = np.repeat(rows, self.ready.shape[1])
        self._landing[:, columns] = self._unready[:, columns] = 0.0

    def remove(self, lost: NDArray[np.bool_]) -> None:
        """Everything in the backends ``lost`` ``[B, K]`` is gone at once."""
        self.ready[lost] = self.starting[lost] = self.draining[lost] = self._drain_s[lost] = 0.0
        columns = lost.ravel()
        self._landing[:, columns] = self._unready[:, columns] = 0.0

    def scale(self, wanted: Floats) -> Floats:
        """Start or cancel replicas towards ``wanted``; returns how many ready ones to drain."""
        limits = self._profiles
        whole = np.rint(wanted)
        self.wanted = np.minimum(np.maximum(whole, limits.min_replicas), limits.max_replicas)
        change = self.wanted - self.starting - self.ready
        if not np.count_nonzero(change):
            return change
        self._start(np.maximum(change, 0.0) * self.open)
        surplus = np.maximum(-change, 0.0)
        cancelled = np.minimum(surplus, self.starting)
        self._cancel(cancelled)
        return surplus - cancelled

    def _start(self, count: Floats) -> None:
        each = np.repeat(np.arange(count.size), count.ravel().astype(np.intp))
        if not len(each):
            return
        var = self._log_var[each]
        noise = np.sqrt(var) * self._rng.standard_normal(len(each))
        ticks = self._startup_ticks[each] * np.exp(noise - 0.5 * var)
        ticks = np.minimum(ticks, len(self._landing) - 1.0)
        whole = ticks.astype(np.intp)
        slot = (self._head + whole) % len(self._landing)
        np.add.at(self._landing, (slot, each), 1.0)
        np.add.at(self._unready, (slot, each), ticks - whole)
        self.starting += count

    def _cancel(self, count: Floats) -> None:
        """Cancel starting replicas, the latest to land first."""
        column = np.flatnonzero(count)
        if not len(column):
            return
        order = (self._head + np.arange(len(self._landing))) % len(self._landing)
        cells = np.ix_(order, column)
        landing = self._landing[cells]
        keep = self.starting.ravel()[column] - count.ravel()[column]
        earlier = np.cumsum(landing, axis=0) - landing
        kept = np.clip(keep - earlier, 0.0, landing)
        self._unready[cells] *= kept / np.maximum(landing, 1.0)
        self._landing[cells] = kept
        self.starting -= count

    def drain(self, count: Floats, hold_s: Floats) -> None:
        """Take ``count`` ready replicas out; each still works for ``hold_s``."""
        self.ready -= count
        self.draining += count
        self._drain_s += count * hold_s

    def tick(self) -> tuple[Floats, Floats, Floats]:
        """Let one tick pass: replicas that landed, how much of it they missed, billed seconds."""
        live = (self.starting + self.ready) * self._tick_s
        slot = self._head
        self._head = (slot + 1) % len(self._landing)
        landed = self._landing[slot].reshape(self.ready.shape).copy()
        missed = self._unready[slot].reshape(self.ready.shape).copy()
        if landed.max() > 0.0:
            self.starting -= landed
            self.ready += landed
            self._landing[slot] = self._unready[slot] = 0.0
        if self.draining.max() > 0.0:
            live += self._bill_draining()
        return landed, missed, live

    def _bill_draining(self) -> Floats:
        billed = np.minimum(self._drain_s, self.draining * self._tick_s)
        self._drain_s -= billed
        self.draining = np.minimum(self.draining, np.ceil(self._drain_s / self._tick_s))
        return billed
