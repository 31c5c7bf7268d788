"""Requests that come again, so that an overload can outlive its cause.

A client tries again, up to ``retries`` times, when an attempt fails (at once) or has no answer
after ``patience_s``. In the second case no server learns that the old attempt is no longer
waited for: it is served all the same, and that wasted work is what keeps a retry storm alive.
A request that failed is missed only if its last attempt fails or is late; one whose client lost
patience is missed anyway. Attempts are expected numbers, not whole.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from trimtab_sim.compiled import compiled
from trimtab_sim.profile import Floats, Profiles
from trimtab_sim.queues import Queues, impatient


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
        self._tardy = np.where(whole == 0, 0.0, delay - whole)
        self._after = np.maximum(whole, 1)
        ticks, most, batch = self._due.shape
        most = max(most, int(profiles.retries.max()))
        self._may = (np.arange(most)[:, None] < profiles.retries).astype(np.float64)
        due = np.zeros((max(ticks, int(whole.max()) + 2), most, batch))
        due[:ticks, : self._due.shape[1]] = np.roll(self._due, -self._head, axis=0)
        self._due, self._head = due, 0
        # Of this tick, by service: attempts by number, shares of them that fail and that come
        # again impatient within it.
        self._made = np.zeros((most + 1, batch))
        self._failing, self._early = np.zeros((2, batch))

    @property
    def active(self) -> bool:
        """Whether any client tries again."""
        return self._due.shape[1] > 0

    def restart(self, rows: NDArray[np.bool_]) -> None:
        """Nobody waits to try again in ``rows``."""
        self._due[:, :, rows] = 0.0

    def come(
        self, requests: Floats, lost: Floats, sent: Floats, ready: Floats, queues: Queues
    ) -> Floats:
        """Begin a tick: of ``requests`` and earlier ones, how many come again in it, ``[B]``.

        lost: requests that failed with their replica, ``[B]``; sent: share of all attempts that
        each backend's ``ready`` replicas get and will not fail, ``[B, K]``.
        """
        _come(
            self._made,
            self._due[self._head],
            self._may,
            requests,
            lost,
            self._failing,
            self._early,
            self._delay,
            sent,
            ready,
            queues.queues,
            queues.backends,
            self._tick_s,
        )
        return np.asarray(self._made[1:].sum(axis=0))

    def settle(
        self, late: Floats, lost: Floats, sent: Floats, ready: Floats, queues: Queues
    ) -> Floats:
        """End a tick of which the share ``late`` ``[B]`` is: requests that are missed, ``[B]``."""
        misses = np.empty_like(late)
        _settle(
            self._due,
            self._head,
            self._after,
            self._tardy,
            self._made,
            self._may,
            self._failing,
            self._early,
            self._tries,
            late,
            lost,
            sent,
            ready,
            queues.queues,
            queues.backends,
            misses,
        )
        self._head = (self._head + 1) % len(self._due)
        return misses


@compiled
def _come(
    made: Floats,
    due: Floats,
    may: Floats,
    requests: Floats,
    lost: Floats,
    failing: Floats,
    early: Floats,
    delay: Floats,
    sent: Floats,
    ready: Floats,
    queues: Any,
    backends: Any,
    tick_s: float,
) -> None:
    """Count the attempts ``made``: new ones, those ``due``, and what follows on them at once."""
    for b in range(len(delay)):
        failing[b], early[b] = 1.0 - sent[b].sum(), 0.0
        made[0, b] = requests[b]
        attempts = _follow(made, due, may, lost[b], b, failing[b])
        if delay[b] < 1.0:
            # How many come again within the tick depends on the queue, and the queue on them.
            for k in range(sent.shape[1]):
                row = b * sent.shape[1] + k
                before, work = (
                    max(queues[row].level, 0.0),
                    ready[b, k] * backends[row].replica_rps * tick_s,
                )
                after = max(before + attempts * sent[b, k] - work, 0.0)
                share = impatient(queues[row], backends[row], before, after, ready[b, k])
                # They are the tick's last where the queue rises, else its first.
                share = max(share - delay[b], 0.0) if after > before else min(share, 1.0 - delay[b])
                early[b] += share * sent[b, k]
            _follow(made, due, may, lost[b], b, failing[b] + early[b])


@compiled
def _follow(made: Floats, due: Floats, may: Floats, lost: float, b: int, share: float) -> float:
    """Each attempt is followed by the ``share`` of another one, and those lost by a whole one.

    Returns how many there are in all.
    """
    attempts = made[0, b]
    for number in range(len(may)):
        follow = made[number, b] * share + (lost if number == 0 else 0.0)
        made[number + 1, b] = due[number, b] + follow * may[number, b]
        attempts += made[number + 1, b]
    return float(attempts)


@compiled
def _settle(
    due: Floats,
    head: int,
    after: NDArray[np.intp],
    tardy: Floats,
    made: Floats,
    may: Floats,
    failing: Floats,
    early: Floats,
    tries: Floats,
    late: Floats,
    lost: Floats,
    sent: Floats,
    ready: Floats,
    queues: Any,
    backends: Any,
    misses: Floats,
) -> None:
    for b in range(len(misses)):
        share = 0.0
        for k in range(sent.shape[1]):
            row = b * sent.shape[1] + k
            queue = queues[row]
            after_it = max(queue.level, 0.0)
            leaving = impatient(queue, backends[row], queue.before, after_it, ready[b, k])
            share += leaving * sent[b, k]
        later = max(share - early[b], 0.0)
        first, second = (head + after[b]) % len(due), (head + after[b] + 1) % len(due)
        for number in range(len(may)):
            due[head, number, b] = 0.0
            again = later * made[number, b] * may[number, b]
            due[first, number, b] += again * (1.0 - tardy[b])
            due[second, number, b] += again * tardy[b]
        misses[b] = made[0, b] * _missed(failing[b], late[b], tries[b])
        misses[b] += lost[b] * _missed(failing[b], late[b], max(tries[b] - 1.0, 0.0))


@compiled
def _missed(failing: float, late: float, tries: float) -> float:
    """Share of requests missed with so many tries left: all others fail, or one is late."""
    all_fail = failing**tries
    return float(all_fail + (1.0 - all_fail) * late)
