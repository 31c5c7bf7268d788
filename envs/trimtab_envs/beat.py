"""When a load jumps: at which seconds of a minute, and of five.

Schedulers, cron jobs and meters work by the clock, so many loads rest within a minute or five
and jump where one begins. Who knows when the next jump can come needs no reserve before it.
Jumps are counted by their phase in each period; loads whose jumps keep to no clock leave the
phases alike, and then a jump may be ahead at any time.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from trimtab_envs.minutes import Bools, Floats

PERIODS_S = (60.0, 300.0)
BIN_S = 5.0
# The phases of a period are believed after this many of them, and forgotten over as many more.
KNOWN_CYCLES = 3.0
CYCLES = 8.0
# How long a prediction counts in the score, in seconds.
SCORE_S = 2400.0
LARGEST_JUMP = 1.5
# A jump of 5 % is not worth a clock.
SMALL = 0.05**2
# Below this many times the energy that any phase has, a jump is chance: three deviations.
NOISE = 9.0
# What a score starts against: a jump of a fifth that nothing foretold.
DOUBT = 0.2**2
# The longer period is believed when it foretells about as well: it leaves more time in between.
TIE = 0.1


class Beat:
    """Energy of the jumps (squared logarithms) by phase, and how well it foretells them."""

    def __init__(self, rows: int, tick_s: float) -> None:
        self._tick_s = tick_s
        self._energy = [np.zeros((rows, round(period / BIN_S))) for period in PERIODS_S]
        self._chance = [np.zeros_like(energy) for energy in self._energy]
        self._middle = np.zeros((len(PERIODS_S), rows))
        self._since_s = np.zeros(rows)
        self._foretold = np.zeros((len(PERIODS_S), rows))
        self._jumped = np.zeros((len(PERIODS_S), rows))
        self._rows = np.arange(rows)

    def reset(self, rows: Bools) -> None:
        """Forget the masked rows ``[R]``."""
        for table in (*self._energy, *self._chance):
            table[rows] = 0.0
        self._middle[:, rows] = 0.0
        self._since_s[rows] = 0.0
        self._foretold[:, rows] = 0.0
        self._jumped[:, rows] = 0.0

    def update(self, jump: Floats, time_s: Floats, seen: Bools) -> None:
        """Add one tick's ``jump``, the logarithm of load over last load, that ended at ``time_s``.

        All ``[R]``; only where ``seen``.
        """
        energy = np.minimum(jump * jump, LARGEST_JUMP**2) * seen
        keep = np.where(seen, np.exp(-self._tick_s / SCORE_S), 1.0)
        for index, period_s in enumerate(PERIODS_S):
            phase = _phase(time_s, period_s)
            chance = self._chance[index]
            believed = self._since_s > KNOWN_CYCLES * period_s
            counted = energy * (believed & (energy > NOISE * self._middle[index]))
            told = counted * chance[self._rows, phase]
            self._jumped[index] = keep * self._jumped[index] + counted
            self._foretold[index] = keep * self._foretold[index] + told
            cycles = np.minimum(1.0 + self._since_s / period_s, CYCLES)
            gain = seen / cycles * min(1.0, self._tick_s / BIN_S)
            known = self._energy[index]
            known[self._rows, phase] += gain * (energy - known[self._rows, phase])
            half = known.shape[1] // 2
            self._middle[index] = np.partition(known, half, axis=1)[:, half]
            beyond = np.maximum(known - self._middle[index][:, None], 0.0)
            chance[:] = beyond / np.maximum(beyond.max(1, keepdims=True), SMALL)
        self._since_s += self._tick_s * seen

    @property
    def scores(self) -> Floats:
        """Part of the jumps that came when they were foretold, ``[len(PERIODS_S), R]``."""
        return np.asarray(self._foretold / (self._jumped + DOUBT))

    def ahead(self, time_s: Floats, horizon_s: Floats) -> Floats:
        """Whether a jump may come within ``horizon_s`` after ``time_s``: 0 (no) to 1, ``[R]``."""
        short, long = (self._ahead(i, time_s, horizon_s) for i in range(len(PERIODS_S)))
        scores = self.scores
        return np.where(scores[1] > scores[0] - TIE, long, short)

    def _ahead(self, index: int, time_s: Floats, horizon_s: Floats) -> Floats:
        trust = np.clip(3.0 * self.scores[index] - 2.0, 0.0, 1.0)
        rows = np.flatnonzero(trust)
        chance = self._chance[index][rows]
        bins = chance.shape[1]
        phase = np.mod(time_s[rows], PERIODS_S[index]) / BIN_S
        until_s = np.mod(np.arange(bins) + 0.5 - phase[:, None], bins) * BIN_S
        within = (chance * (until_s <= horizon_s[rows, None])).max(1)
        ahead = np.ones(len(trust))
        ahead[rows] -= trust[rows] * (1.0 - within)
        return ahead


def _phase(time_s: Floats, period_s: float) -> NDArray[np.int64]:
    """The bin in which a tick lies that ended at ``time_s``; one on the minute lies before it."""
    bins = np.floor((time_s - 0.5 * BIN_S) / BIN_S).astype(np.int64)
    return np.asarray(bins % round(period_s / BIN_S))
