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
        self._phases = [_Phases(rows, round(period / BIN_S)) for period in PERIODS_S]
        self._since_s = np.zeros(rows)
        self._foretold = np.zeros((len(PERIODS_S), rows))
        self._jumped = np.zeros((len(PERIODS_S), rows))

    def reset(self, rows: Bools) -> None:
        """Forget the masked rows ``[R]``."""
        for phases in self._phases:
            phases.reset(rows)
        self._since_s[rows] = 0.0
        self._foretold[:, rows] = 0.0
        self._jumped[:, rows] = 0.0

    def update(self, jump: Floats, time_s: Floats, seen: Bools) -> None:
        """Add one tick's ``jump``, the logarithm of load over last load, that ended at ``time_s``.

        All ``[R]``; only where ``seen``.
        """
        energy = np.minimum(jump * jump, LARGEST_JUMP**2) * seen
        keep = np.where(seen, np.exp(-self._tick_s / SCORE_S), 1.0)
        bins = np.floor((time_s - 0.5 * BIN_S) / BIN_S).astype(np.intp)
        for index, period_s in enumerate(PERIODS_S):
            phases = self._phases[index]
            phase = bins % phases.count
            believed = self._since_s > KNOWN_CYCLES * period_s
            counted = energy * (believed & (energy > NOISE * phases.middle))
            told = counted * phases.chance_at(phase)
            self._jumped[index] = keep * self._jumped[index] + counted
            self._foretold[index] = keep * self._foretold[index] + told
            cycles = np.minimum(1.0 + self._since_s / period_s, CYCLES)
            gain = seen / cycles * min(1.0, self._tick_s / BIN_S)
            phases.update(phase, gain, energy)
        self._since_s += self._tick_s * seen

    @property
    def scores(self) -> Floats:
        """Part of the jumps that came when they were foretold, ``[len(PERIODS_S), R]``."""
        return np.asarray(self._foretold / (self._jumped + DOUBT))

    def ahead(self, time_s: Floats, horizon_s: Floats) -> Floats:
        """Whether a jump may come within ``horizon_s`` after ``time_s``: 0 (no) to 1, ``[R]``."""
        scores = self.scores
        chosen = (scores[1] > scores[0] - TIE).astype(np.intp)
        trust = np.clip(3.0 * np.where(chosen, scores[1], scores[0]) - 2.0, 0.0, 1.0)
        ahead = np.ones(len(trust))
        for index, phases in enumerate(self._phases):
            rows = (trust * (chosen == index)).nonzero()[0]
            if rows.size:
                within = phases.within(rows, time_s[rows], horizon_s[rows])
                ahead[rows] -= trust[rows] * (1.0 - within)
        return ahead


class _Phases:
    """Energy by phase of one period, of R loads; its middle and its highest follow it.

    A tick changes one phase, so those two are looked for again only where it can have moved them.
    """

    def __init__(self, rows: int, count: int) -> None:
        self.count = count
        self._energy = np.zeros((rows, count))
        self.middle = np.zeros(rows)
        self._highest = np.zeros(rows)
        self._rows = np.arange(rows)

    def reset(self, rows: Bools) -> None:
        """Forget the masked rows ``[R]``."""
        self._energy[rows] = 0.0
        self.middle[rows] = self._highest[rows] = 0.0

    def update(self, phase: NDArray[np.intp], gain: Floats, energy: Floats) -> None:
        """Move the ``phase`` that a tick lies in towards its ``energy``; all ``[R]``."""
        cell = self._rows, phase
        old = self._energy[cell]
        new = old + gain * (energy - old)
        self._energy[cell] = new
        middle = self.middle
        moved = (np.sign(old - middle) != np.sign(new - middle)).nonzero()[0]
        if moved.size:
            half = self.count // 2
            middle[moved] = np.partition(self._energy[moved], half, axis=1)[:, half]
        sunk = ((old == self._highest) & (new < old)).nonzero()[0]
        np.maximum(self._highest, new, out=self._highest)
        if sunk.size:
            self._highest[sunk] = self._energy[sunk].max(axis=1)

    def chance_at(self, phase: NDArray[np.intp]) -> Floats:
        """Jumps beyond the usual at ``phase``, as a part of the largest: 0 to 1, ``[R]``."""
        beyond = np.maximum(self._energy[self._rows, phase] - self.middle, 0.0)
        return np.asarray(beyond / np.maximum(self._highest - self.middle, SMALL))

    def within(self, rows: NDArray[np.intp], time_s: Floats, horizon_s: Floats) -> Floats:
        """The highest chance of ``rows`` at any phase until ``horizon_s`` after ``time_s``."""
        phase = np.mod(time_s, self.count * BIN_S) / BIN_S
        until = np.arange(self.count) + 0.5 - phase[:, None]
        until_s = np.where(until < 0.0, until + self.count, until) * BIN_S
        middle = self.middle[rows]
        beyond = np.maximum(self._energy[rows] - middle[:, None], 0.0)
        highest = np.where(until_s <= horizon_s[:, None], beyond, 0.0).max(axis=1)
        return np.asarray(highest / np.maximum(self._highest[rows] - middle, SMALL))
