"""What a metrics pipeline shows of the services: late, now and then, with holes, at times wrong.

Requests, errors and misses are counters, as in Prometheus: a sample is what they gained since the
last one that arrived. Requests in flight are a gauge. A sample may be lost (NaN is seen until the
next), the pipeline may stall (the last one is seen, and its age grows) or freeze (the last one
is seen as if it were new, which only its value betrays).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from trimtab_sim.compiled import compiled
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
        batch, backends = profiles.shape
        self._batch = np.arange(batch)
        self._ticks = 0.0
        # Ticks until a sample is due, ticks and counts since the last, and until when spans last.
        self._due_in = np.zeros(batch)
        self._since = np.zeros(batch)
        self._requests, self._errors = np.zeros((2, *profiles.shape))
        self._misses = np.zeros(batch)
        self._until = np.zeros((2, batch))
        # Rates, requests in flight and share of errors per backend, share of misses, and ticks
        # since it was taken.
        self._held = np.zeros((batch, 3 * backends + 2))
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
        self._head = (self._head + 1) % len(self._past)
        chance = self._begin_spans() if self._faulty else self._lost_share
        _sample(
            self._held,
            self._due_in,
            self._period,
            self._until,
            self._ticks,
            chance,
            self._lost_share,
            self._since,
            self._requests,
            self._errors,
            self._misses,
            arrived,
            errors,
            misses,
            in_flight,
            self._tick_s,
            self._past[self._head],
        )

    def _begin_spans(self) -> Floats:
        """Begin to stall and to freeze here and there; draws which of the samples are lost."""
        begin = self._rng.random(self._onset.shape) < self._onset
        if begin.any():
            begins = np.nonzero(begin)
            spans = self._rng.exponential(self._span_ticks[begins[1]])
            self._until[begins] = np.maximum(self._until[begins], self._ticks + spans)
        return self._rng.random(len(self._since))

    def read(self) -> tuple[Floats, Floats, Floats, Floats, Floats]:
        """Rate, requests in flight and share of errors ``[B, K]``, of misses ``[B]``, age in s."""
        seen = np.empty((3, *self._requests.shape))
        miss_share, age_s = np.empty((2, len(self._held)))
        _read(self._past, self._head, self._lag, self._lag_s, self._tick_s, seen, miss_share, age_s)
        return *seen, miss_share, age_s


@compiled
def _read(
    past: Floats,
    head: int,
    lag: NDArray[np.intp],
    lag_s: Floats,
    tick_s: float,
    seen: Floats,
    miss_share: Floats,
    age_s: Floats,
) -> None:
    backends = seen.shape[2]
    for b in range(len(age_s)):
        at = (head - lag[b]) % len(past)
        for kind in range(3):
            for k in range(backends):
                seen[kind, b, k] = past[at, b, kind * backends + k]
        miss_share[b], age_s[b] = past[at, b, -2], lag_s[b] + past[at, b, -1] * tick_s


@compiled
def _sample(
    held: Floats,
    due_in: Floats,
    period: Floats,
    until: Floats,
    ticks: float,
    chance: Floats,
    lost_share: Floats,
    since: Floats,
    requests: Floats,
    errors: Floats,
    misses: Floats,
    arrived: Floats,
    failed: Floats,
    missed: Floats,
    in_flight: Floats,
    tick_s: float,
    now: Floats,
) -> None:
    """Let one tick pass in every pipeline, and take the samples that are due and arrive.

    What is held ``now`` is kept for later.
    """
    for b in range(len(held)):
        since[b] += 1.0
        misses[b] += missed[b]
        for k in range(requests.shape[1]):
            requests[b, k] += arrived[b, k]
            errors[b, k] += failed[b, k]
        held[b, -1] += 1.0
        due_in[b] -= 1.0
        if due_in[b] > 0.0:
            continue
        due_in[b] += period[b]
        if until[_STALL, b] > ticks:
            continue
        if chance[b] < lost_share[b]:
            held[b, :-1] = np.nan
        elif until[_FREEZE, b] > ticks:
            held[b, -1] = 0.0
        else:
            seconds = since[b] * tick_s
            _take(held[b], seconds, requests[b], errors[b], misses[b], in_flight[b])
            requests[b] = errors[b] = 0.0
            misses[b] = since[b] = 0.0
    for b in range(len(held)):
        for column in range(held.shape[1]):
            now[b, column] = held[b, column]


@compiled
def _take(
    held: Floats,
    seconds: float,
    requests: Floats,
    errors: Floats,
    misses: float,
    in_flight: Floats,
) -> None:
    backends = len(requests)
    for k in range(backends):
        held[k] = requests[k] / seconds
        held[backends + k] = in_flight[k]
        held[2 * backends + k] = errors[k] / max(requests[k], 1.0)
    held[-2] = min(misses / max(requests.sum(), 1.0), 1.0)
    held[-1] = 0.0
