"""Replicas of B services on K backends: starting, ready, draining, and what they bill."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trimtab_sim.compiled import compiled, record
from trimtab_sim.profile import Floats, Profiles

# Start-ups beyond this many standard deviations (of the log) are cut there: one in 30,000.
_SIGMAS = 4.0
_BACKEND = record("least", "most", "startup_ticks", "log_variance")


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
        self._backends = np.zeros(self.ready.size, _BACKEND)
        self._landing = np.zeros((1, self.ready.size))
        self._unready = np.zeros((1, self.ready.size))
        self.adopt(profiles)

    def adopt(self, profiles: Profiles) -> None:
        """Take over start-up times and limits; grows the ring where they are longer."""
        self._profiles = profiles
        log_variance = np.log1p(profiles.startup_cv**2)
        startup_ticks = profiles.startup_mean_s / self._tick_s
        columns = profiles.min_replicas, profiles.max_replicas, startup_ticks, log_variance
        for name, column in zip(_BACKEND.names or (), columns, strict=True):
            self._backends[name] = column.ravel()
        longest = startup_ticks * np.exp(_SIGMAS * np.sqrt(log_variance))
        grow = int(longest.max()) + 2 - len(self._landing)
        if grow > 0:
            rings = (np.roll(ring, -self._head, axis=0) for ring in (self._landing, self._unready))
            self._landing, self._unready = (np.pad(ring, ((0, grow), (0, 0))) for ring in rings)
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

    def scale(self, wanted: Floats) -> tuple[Floats, Floats, Floats | None]:
        """Start or cancel replicas towards ``wanted``.

        Returns how many start, how many stop, and how many of the latter are ready ones to drain:
        ``None`` if none is.
        """
        starts, stops, leaving = np.zeros((3, *self.ready.shape))
        ring = self._head, self._landing, self._unready
        counts = self.starting.ravel(), self.ready.ravel(), self.wanted.ravel(), self.open.ravel()
        number, any_leaves = _aim(
            self._backends, *ring, *counts, wanted.ravel(),
            starts.ravel(), stops.ravel(), leaving.ravel(),
        )  # fmt: skip
        if number:
            noise = self._rng.standard_normal(number)
            _start(self._backends, *ring, starts.ravel(), noise)
            self.starting += starts
        return starts, stops, leaving if any_leaves else None

    def drain(self, rows: NDArray[np.intp], count: Floats, hold_s: Floats) -> None:
        """Take ``count`` ready replicas out of the backends ``rows``; each works for ``hold_s``."""
        self.ready.ravel()[rows] -= count
        self.draining.ravel()[rows] += count
        self._drain_s.ravel()[rows] += count * hold_s

    def tick(self) -> tuple[Floats, Floats, Floats, bool]:
        """Let one tick pass: replicas that landed, the mean number of ready ones, billed seconds.

        And whether any landed at all.
        """
        landed, mean, billed_s = np.empty((3, *self.ready.shape))
        any_landed = _tick(
            self._landing[self._head],
            self._unready[self._head],
            self.starting.ravel(),
            self.ready.ravel(),
            self.draining.ravel(),
            self._drain_s.ravel(),
            self._tick_s,
            landed.ravel(),
            mean.ravel(),
            billed_s.ravel(),
        )
        self._head = (self._head + 1) % len(self._landing)
        return landed, mean, billed_s, any_landed


@compiled
def _aim(
    backends: Any,
    head: int,
    landing: Floats,
    unready: Floats,
    starting: Floats,
    ready: Floats,
    wanted: Floats,
    is_open: Floats,
    asked: Floats,
    starts: Floats,
    stops: Floats,
    leaving: Floats,
) -> tuple[int, bool]:
    """Set what is wanted, cancel what is not; how many replicas start in all, and if any drains."""
    number, any_leaves = 0, False
    for i in range(len(backends)):
        wanted[i] = min(max(np.rint(asked[i]), backends[i].least), backends[i].most)
        change = wanted[i] - starting[i] - ready[i]
        if change > 0.0:
            starts[i] = change * is_open[i]
            number += int(starts[i])
        elif change < 0.0:
            cancelled = min(-change, starting[i])
            if cancelled > 0.0:
                _cancel(head, landing, unready, i, starting[i], starting[i] - cancelled)
                starting[i] -= cancelled
            stops[i], leaving[i] = -change, -change - cancelled
            any_leaves |= leaving[i] > 0.0
    return number, any_leaves


@compiled
def _cancel(
    head: int, landing: Floats, unready: Floats, i: int, starting: float, keep: float
) -> None:
    """``keep`` those of the ``starting`` replicas of a backend that land first."""
    seen = 0.0
    for ahead in range(head, head + len(landing)):
        slot = ahead if ahead < len(landing) else ahead - len(landing)
        lands = landing[slot, i]
        if lands > 0.0:
            landing[slot, i] = min(max(keep - seen, 0.0), lands)
            unready[slot, i] *= landing[slot, i] / lands
            seen += lands
            if seen >= starting:
                break


@compiled
def _start(
    backends: Any, head: int, landing: Floats, unready: Floats, starts: Floats, noise: Floats
) -> None:
    """Each replica's start-up takes a log-normal time, by its own normal ``noise``."""
    number = 0
    for i in range(len(backends)):
        sigma = math.sqrt(backends[i].log_variance)
        for _ in range(int(starts[i])):
            factor = math.exp(sigma * (noise[number] - 0.5 * sigma))
            ticks = min(backends[i].startup_ticks * factor, len(landing) - 1.0)
            slot = head + int(ticks)
            slot = slot if slot < len(landing) else slot - len(landing)
            landing[slot, i] += 1.0
            unready[slot, i] += ticks - int(ticks)
            number += 1


@compiled
def _tick(
    landing: Floats,
    unready: Floats,
    starting: Floats,
    ready: Floats,
    draining: Floats,
    drain_s: Floats,
    tick_s: float,
    landed: Floats,
    mean: Floats,
    billed_s: Floats,
) -> bool:
    any_landed = False
    for i in range(len(ready)):
        drained_s = min(drain_s[i], draining[i] * tick_s)
        billed_s[i] = (starting[i] + ready[i]) * tick_s + drained_s
        drain_s[i] -= drained_s
        draining[i] = min(draining[i], math.ceil(drain_s[i] / tick_s))
        landed[i] = landing[i]
        starting[i] -= landed[i]
        ready[i] += landed[i]
        # Those that land do so in the midst of the tick.
        mean[i] = ready[i] - unready[i]
        landing[i] = unready[i] = 0.0
        any_landed |= landed[i] > 0.0
    return any_landed
