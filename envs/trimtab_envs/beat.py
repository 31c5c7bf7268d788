"""When a load jumps: at which seconds of a minute, and of five.

Schedulers, cron jobs and meters work by the clock, so many loads rest within a minute or five
and jump where one begins. Who knows when the next jump can come needs no reserve before it.
Jumps are counted by their phase in each period; loads whose jumps keep to no clock leave the
phases alike, and then a jump may be ahead at any time.
"""

from __future__ import annotations

import numpy as np

from trimtab_envs.minutes import Bools, Floats, Ints
from trimtab_sim.rows import (
    by_row,
    each,
    part,
    ring_most,
    row_middle,
    row_most,
    those,
    where,
    whole,
)

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
        self._keep = float(np.exp(-tick_s / SCORE_S))
        self._short, self._long = (_Phases(rows, round(period / BIN_S)) for period in PERIODS_S)
        self._since_s = np.zeros(rows)
        self._foretold = np.zeros((len(PERIODS_S), rows))
        self._jumped = np.zeros((len(PERIODS_S), rows))
        self._trust = np.empty((len(PERIODS_S), rows))

    def reset(self, rows: Bools) -> None:
        """Forget the masked rows ``[R]``."""
        for phases in (self._short, self._long):
            phases.reset(rows)
        self._since_s[rows] = 0.0
        self._foretold[:, rows] = 0.0
        self._jumped[:, rows] = 0.0

    def update(self, jump: Floats, time_s: Floats, seen: Bools) -> None:
        """Add one tick's ``jump``, the logarithm of load over last load, that ended at ``time_s``.

        All ``[R]``; only where ``seen``.
        """
        _learn(
            *self._short.arrays(), *self._long.arrays(), jump, time_s, seen,
            self._since_s, self._jumped, self._foretold, self._tick_s, self._keep,
        )  # fmt: skip

    @property
    def scores(self) -> Floats:
        """Part of the jumps that came when they were foretold, ``[len(PERIODS_S), R]``."""
        return np.asarray(self._foretold / (self._jumped + DOUBT))

    def ahead(self, time_s: Floats, horizon_s: Floats) -> Floats:
        """Whether a jump may come within ``horizon_s`` after ``time_s``: 0 (no) to 1, ``[R]``."""
        ahead, short, long = np.empty(len(time_s)), self._short, self._long
        _look(
            ahead, self._trust, self._foretold, self._jumped,
            short.energy, short.middle, short.highest, long.energy, long.middle, long.highest,
            time_s, horizon_s,
        )  # fmt: skip
        return ahead


class _Phases:
    """Energy by phase of one period, of R loads; its middle and its highest follow it.

    A tick changes one phase, so those two are looked for again only where it can have moved them.
    """

    def __init__(self, rows: int, count: int) -> None:
        self.energy = np.zeros((rows, count))
        self.middle = np.zeros(rows)
        self.highest = np.zeros(rows)
        self._first: Ints = np.arange(rows) * count
        # Where the middle may have moved, and where the highest is no longer the highest.
        self._moved, self._sunk = np.zeros((2, rows), dtype=np.bool_)

    def reset(self, rows: Bools) -> None:
        """Forget the masked rows ``[R]``."""
        self.energy[rows] = 0.0
        self.middle[rows] = self.highest[rows] = 0.0

    def arrays(self) -> tuple[Floats, Floats, Ints, Floats, Floats, Bools, Bools]:
        """As ``_learn`` takes them."""
        marks = self._moved, self._sunk
        return self.energy, self.energy.ravel(), self._first, self.middle, self.highest, *marks


@by_row
def _look(
    ahead: Floats,
    trust: Floats,
    foretold: Floats,
    jumped: Floats,
    short: Floats,
    short_middle: Floats,
    short_highest: Floats,
    long: Floats,
    long_middle: Floats,
    long_highest: Floats,
    time_s: Floats,
    horizon_s: Floats,
) -> None:
    for at in each(ahead):
        ahead[at] = 1.0
        score = foretold[0, at] / (jumped[0, at] + DOUBT)
        long_score = foretold[1, at] / (jumped[1, at] + DOUBT)
        longer = long_score > score - TIE
        trust[0, at] = np.minimum(np.maximum(3.0 * score - 2.0, 0.0), 1.0) * np.logical_not(longer)
        trust[1, at] = np.minimum(np.maximum(3.0 * long_score - 2.0, 0.0), 1.0) * longer
    _rest(ahead, trust[0], short, short_middle, short_highest, time_s, horizon_s)
    _rest(ahead, trust[1], long, long_middle, long_highest, time_s, horizon_s)


@part
def _rest(
    ahead: Floats,
    trust: Floats,
    energy: Floats,
    middle: Floats,
    highest: Floats,
    time_s: Floats,
    horizon_s: Floats,
) -> None:
    """No jump ahead, as far as that is to be trusted, but for the chance of the likeliest phase.

    Of those of ``energy`` ``[R, phases]`` that come within the horizon.
    """
    period_s = energy.shape[1] * BIN_S
    for row in those(trust):
        phase = np.mod(time_s[row], period_s) / BIN_S
        most = ring_most(energy, row, phase, horizon_s[row] / BIN_S)
        beyond = np.maximum(most - middle[row], 0.0)
        chance = beyond / np.maximum(highest[row] - middle[row], SMALL)
        ahead[row] -= trust[row] * (1.0 - chance)


@by_row
def _learn(
    short: Floats,
    short_energy: Floats,
    short_first: Ints,
    short_middle: Floats,
    short_highest: Floats,
    short_moved: Bools,
    short_sunk: Bools,
    long: Floats,
    long_energy: Floats,
    long_first: Ints,
    long_middle: Floats,
    long_highest: Floats,
    long_moved: Bools,
    long_sunk: Bools,
    jump: Floats,
    time_s: Floats,
    seen: Bools,
    since_s: Floats,
    jumped: Floats,
    foretold: Floats,
    tick_s: float,
    keep: float,
) -> None:
    """Count a tick's jump in both periods, and what foretold it."""
    _count(
        short, short_energy, short_first, short_middle, short_highest, short_moved,
        short_sunk, jump, time_s, seen, since_s, jumped[0], foretold[0], tick_s, keep,
    )  # fmt: skip
    _count(
        long, long_energy, long_first, long_middle, long_highest, long_moved,
        long_sunk, jump, time_s, seen, since_s, jumped[1], foretold[1], tick_s, keep,
    )  # fmt: skip
    for at in each(since_s):
        since_s[at] += tick_s * seen[at]


@part
def _count(
    phases: Floats,
    energy: Floats,
    first: Ints,
    middle: Floats,
    highest: Floats,
    moved: Bools,
    sunk: Bools,
    jump: Floats,
    time_s: Floats,
    seen: Bools,
    since_s: Floats,
    jumped: Floats,
    foretold: Floats,
    tick_s: float,
    keep: float,
) -> None:
    """Of the ``phases`` ``[R, count]``, which are ``energy`` as one row, each row's present one."""
    count = phases.shape[1]
    period_s = count * BIN_S
    for at in each(first):
        place = first[at] + whole((time_s[at] - 0.5 * BIN_S) / BIN_S) % count
        now = np.minimum(jump[at] * jump[at], LARGEST_JUMP**2) * seen[at]
        old = energy[place]
        believed = since_s[at] > KNOWN_CYCLES * period_s
        counted = now * (believed & (now > NOISE * middle[at]))
        # Jumps beyond the usual at this phase, as a part of the largest.
        chance = np.maximum(old - middle[at], 0.0) / np.maximum(highest[at] - middle[at], SMALL)
        kept = where(seen[at], keep, 1.0)
        jumped[at] = kept * jumped[at] + counted
        foretold[at] = kept * foretold[at] + counted * chance
        cycles = np.minimum(1.0 + since_s[at] / period_s, CYCLES)
        new = old + seen[at] / cycles * min(1.0, tick_s / BIN_S) * (now - old)
        moved[at] = np.sign(old - middle[at]) != np.sign(new - middle[at])
        sunk[at] = (old == highest[at]) & (new < old)
        highest[at] = np.maximum(highest[at], new)
        energy[place] = new
    for row in those(moved):
        middle[row] = row_middle(phases, row)
    for row in those(sunk):
        highest[row] = row_most(phases, row)
