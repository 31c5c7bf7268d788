"""Requests that come again, so that an overload can outlive its cause.

A client tries again, up to ``retries`` times, when an attempt fails (at once) or has no answer
after ``patience_s``. In the second case no server learns that the old attempt is no longer
waited for: it is served all the same, and that wasted work is what keeps a retry storm alive.
A request that failed is missed only if its last attempt fails or is late; one whose client lost
patience is missed anyway. Attempts are expected numbers, not whole.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from trimtab_sim.profile import Floats, Profiles


class Retries:
    """Attempts by number ``[N + 1, B]`` in this tick, and a ring ``[L, N, B]`` of those to come."""

    def __init__(self, profiles: Profiles, tick_s: float) -> None:
        self._tick_s = tick_s
        self._head = 0
        self._due = np.zeros((2, 0, profiles.shape[0]))
        self.adopt(profiles)

    def adopt(self, profiles: Profiles) -> None:
        """Take over how often and when clients try again; grows the ring where that is more."""
        self._tries = profiles.retries + 1.0
        delay = profiles.patience_s / self._tick_s
        whole = np.floor(delay).astype(np.intp)
        # Patience as a part of the tick, and what of the impatient comes a tick after the rest.
        self._delay = np.minimum(delay, 1.0)
        # Whether any impatient attempt may come again within its own tick.
        self.hurried = bool((delay < 1.0).any())
        self._tardy = np.where(whole == 0, 0.0, delay - whole)
        self._after = np.maximum(whole, 1)
        ticks, most, batch = self._due.shape
        most = max(most, int(profiles.retries.max()))
        self._may = (np.arange(most)[:, None] < profiles.retries).astype(np.float64)
        due = np.zeros((max(ticks, int(whole.max()) + 2), most, batch))
        due[:ticks, : self._due.shape[1]] = np.roll(self._due, -self._head, axis=0)
        self._due, self._head = due, 0

    @property
    def active(self) -> bool:
        """Whether any client tries again."""
        return self._due.shape[1] > 0

    def early(self, impatient: Floats, rising: NDArray[np.bool_]) -> Floats:
        """Share of attempts that come again, impatient, within their own tick, ``[B, K]``.

        The ``impatient`` share are the tick's last where the queue is ``rising``, else its first.
        """
        delay = self._delay[:, None]
        late = np.maximum(impatient - delay, 0.0)
        return np.where(rising, late, np.minimum(impatient, 1.0 - delay))

    def restart(self, rows: NDArray[np.bool_]) -> None:
        """Nobody waits to try again in ``rows``."""
        self._due[:, :, rows] = 0.0

    def attempts(self, requests: Floats, lost: Floats, failing: Floats, early: Floats) -> Floats:
        """Attempts of this tick, ``[N + 1, B]``: ``requests``, and those that come again.

        lost: requests that failed with their replica; failing, early: shares of attempts that
        fail, and that come again impatient. All ``[B]``.
        """
        made = np.concatenate([requests[None], self._due[self._head]])
        made[1] += lost * self._may[0]
        again = failing + early
        for number, may in enumerate(self._may):
            made[number + 1] += made[number] * again * may
        return made

    def settle(self, made: Floats, early: Floats, impatient: Floats) -> None:
        """End a tick with ``made`` attempts, the share ``impatient`` of which is, ``[B]``.

        The share ``early`` has been made again in this tick.
        """
        self._due[self._head] = 0.0
        later = np.maximum(impatient - early, 0.0) * made[:-1] * self._may
        rows = np.flatnonzero(later.any(axis=0))
        later, ticks = later[:, rows], len(self._due)
        for ahead, part in ((0, 1.0 - self._tardy[rows]), (1, self._tardy[rows])):
            slot = (self._head + self._after[rows] + ahead) % ticks
            self._due[slot, :, rows] += (later * part).T
        self._head = (self._head + 1) % ticks

    def missed(self, failing: Floats, late: Floats, spent: int = 0) -> Floats:
        """Share of requests missed, after ``spent`` attempts: all others fail, or one is late."""
        all_fail = np.power(failing, np.maximum(self._tries - spent, 0.0))
        return np.asarray(all_fail + (1.0 - all_fail) * late)
