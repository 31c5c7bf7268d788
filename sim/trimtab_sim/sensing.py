"""What a metrics pipeline shows of the services: late, now and then, with holes, at times wrong.

Requests, errors and misses are counters, as in Prometheus: a sample is what they gained since the
last one that arrived. Requests in flight are a gauge. A sample may be lost (NaN is seen until the
next), the pipeline may stall (the last one is seen, and its age grows) or freeze (the last one
is seen as if it were new, which only its value betrays).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from trimtab_sim.profile import Floats, Profiles

_HOUR_S = 3600.0
# Rows of the two kinds of span in which no sample arrives.
_STALL, _FREEZE = 0, 1


class Metrics:
    """Counters since the last sample, the sample that is held, and those seen after the lag."""

    def __init__(self, profiles: Profiles, tick_s: float, rng: np.random.Generator) -> None:
        self._tick_s = tick_s
        self._rng = rng
        self._head = 0
        batch, self._backends = profiles.shape
        self._batch = np.arange(batch)
        self._ones = np.ones(self._backends)
        self._ticks = 0.0
        # Ticks until a sample is due, ticks and counts since the last, and until when spans last.
        self._due_in = np.zeros(batch)
        self._since = np.zeros(batch)
        self._requests, self._errors = np.zeros((2, *profiles.shape))
        self._misses = np.zeros(batch)
        self._until = np.zeros((2, batch))
        # Rates, requests in flight and share of errors per backend, share of misses, and ticks
        # since it was taken.
        self._held = np.zeros((batch, 3 * self._backends + 2))
        self._past = np.zeros((1, *self._held.shape))
        self.adopt(profiles)

    def adopt(self, profiles: Profiles) -> None:
        """Take over how late and how well services are measured; grows the ring of the lag."""
        self._lag_s = profiles.metric_lag_s
        self._lag = np.rint(profiles.metric_lag_s / self._tick_s).astype(np.intp)
        self._period = np.maximum(profiles.sample_s / self._tick_s, 1.0)
        self._lost_share = profiles.dropout_share
        onsets_per_h = np.stack([profiles.stall_per_h, profiles.freeze_per_h])
        self._onset = -np.expm1(-onsets_per_h * self._tick_s / _HOUR_S)
        self._span_ticks = profiles.fault_mean_s / self._tick_s
        self._faulty = bool(self._lost_share.any() or self._onset.any())
        grow = int(self._lag.max()) + 1 - len(self._past)
        if grow > 0:
            past = np.roll(self._past, -self._head - 1, axis=0)
            # Before the oldest sample that is known it was no other.
            self._past = np.concatenate([np.repeat(past[:1], grow, axis=0), past])
            self._head = len(self._past) - 1

    def restart(self, rows: NDArray[np.bool_]) -> None:
        """Forget ``rows``: nothing has been measured, which is not the same as no load."""
        self._past[:, rows] = self._held[rows] = np.nan
        self._past[:, rows, -1] = self._held[rows, -1] = 0.0
        self._requests[rows] = self._errors[rows] = 0.0
        self._misses[rows] = self._since[rows] = self._until[:, rows] = 0.0
        # Samples of different services are not taken at the same moment.
        phase = 1.0 - self._rng.random(np.count_nonzero(rows))
        self._due_in[rows] = phase * self._period[rows]

    def record(self, arrived: Floats, errors: Floats, in_flight: Floats, misses: Floats) -> None:
        """Count one tick: requests, errors and those now in flight ``[B, K]``, misses ``[B]``."""
        self._ticks += 1.0
        self._requests += arrived
        self._errors += errors
        self._misses += misses
        self._since += 1.0
        self._held[:, -1] += 1.0
        self._due_in -= 1.0
        due = self._due_in <= 0.0
        self._due_in += due * self._period
        if self._faulty:
            due = self._spared(due)
        self._take(due, in_flight)
        self._head = (self._head + 1) % len(self._past)
        self._past[self._head] = self._held

    def _spared(self, due: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Which of the samples that are ``due`` arrive."""
        begins = np.nonzero(self._rng.random(self._onset.shape) < self._onset)
        if len(begins[0]):
            spans = self._rng.exponential(self._span_ticks[begins[1]])
            self._until[begins] = np.maximum(self._until[begins], self._ticks + spans)
        lasts = self._until > self._ticks
        due = due & ~lasts[_STALL]
        lost = due & (self._rng.random(len(due)) < self._lost_share)
        self._held[lost, :-1] = np.nan
        frozen = due & lasts[_FREEZE] & ~lost
        self._held[frozen, -1] = 0.0
        return np.asarray(due & ~(lost | frozen))

    def _take(self, due: NDArray[np.bool_], in_flight: Floats) -> None:
        sample = np.zeros_like(self._held)
        sample[:, : self._backends] = self._requests / (self._since * self._tick_s)[:, None]
        sample[:, self._backends : 2 * self._backends] = in_flight
        sample[:, 2 * self._backends : -2] = self._errors / np.maximum(self._requests, 1.0)
        requests = self._requests @ self._ones
        sample[:, -2] = np.minimum(self._misses / np.maximum(requests, 1.0), 1.0)
        np.copyto(self._held, sample, where=due[:, None])
        since = ~due
        self._requests *= since[:, None]
        self._errors *= since[:, None]
        self._misses *= since
        self._since *= since

    def read(self) -> tuple[Floats, Floats, Floats, Floats, Floats]:
        """Rate, requests in flight and share of errors ``[B, K]``, of misses ``[B]``, age in s."""
        seen = self._past[(self._head - self._lag) % len(self._past), self._batch]
        rate_rps, in_flight, error_share = np.split(seen[:, :-2], 3, axis=1)
        age_s = self._lag_s + seen[:, -1] * self._tick_s
        return rate_rps, in_flight, error_share, seen[:, -2], age_s
