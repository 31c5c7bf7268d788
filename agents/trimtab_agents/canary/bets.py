"""What one look is worth, for every metric, difference and bet.

The first axis is the claim: 0, that the new side is worse by so much at most; 1, at least. An
answer in a wide bin, which may or may not be beyond a threshold, counts for the claim.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from trimtab_agents.canary.past import Past
from trimtab_agents.canary.reading import Side
from trimtab_agents.canary.rules import EQUAL, Rules
from trimtab_agents.canary.tables import MOST_LOST, Tables
from trimtab_sim.profile import Floats

# How much worse the new side is, if the claim is wrong: as odds of being late, or of failing.
ODDS = np.array([1.25, 1.6, 3.0, 8.0])
# What part of the capital is laid on saturation.
STAKES = np.array([0.1, 0.25, 0.55, 0.9])
BETS = len(ODDS)


@dataclass(frozen=True, slots=True)
class Look:
    """``log_capital`` of bets of 1, ``[2, K, R, G]``; ``score``: how far ahead of each difference
    the new side is, ``[K, R]``; ``variance`` of that where there is none, ``[K]``.
    """

    log_capital: Floats
    score: Floats
    variance: Floats

    @classmethod
    def of(cls, old: Side, new: Side, past: Past, rules: Rules) -> Look:
        """What is seen at one look; ``past`` is what was seen before it."""
        capital, score, variance = _shares(old, new, past, rules)
        inside = _inside(old, new, past, rules)
        return cls(
            np.concatenate([capital, inside[0]], 1),
            np.concatenate([score, inside[1]]),
            np.concatenate([variance, inside[2]]),
        )


def _shares(old: Side, new: Side, past: Past, rules: Rules) -> tuple[Floats, Floats, Floats]:
    """Latency and errors: how many answers were too late, or failed."""
    grid = rules.grid[:-1]
    cuts, late = past.thresholds(rules.quantiles)
    usable = np.append(np.isfinite(cuts), True)
    expected = np.append(late, past.error_share)
    # Latencies differ by where they are cut, errors by how many there are.
    shift = np.zeros_like(grid)
    shift[-1] = grid[-1]
    new_least, new_most = new.latency.beyond(cuts[:, None] * (1.0 + grid[:-1]))
    old_least, old_most = old.latency.beyond(cuts[:, None])
    tables = Tables(
        y_new=_with_errors(np.stack([new_least, new_most]), new.errors),
        n_new=_counted(new, usable),
        y_old=_with_errors(np.stack([old_most, old_least]), old.errors),
        n_old=_counted(old, usable),
    )
    score = tables.score(shift).mean(0)
    bets = np.stack([ODDS, 1.0 / ODDS])[:, None, None]
    wider = Tables(*(part[..., None] for part in tables.parts()))
    log_capital = wider.log_capital(expected[:, None, None], shift[..., None], bets)
    return log_capital, score, tables.variance().mean(0)[:, EQUAL]


def _with_errors(late: Floats, errors: int) -> Floats:
    """``[2, Q, R]`` and the row of the errors below."""
    return np.concatenate([late, np.full_like(late[:, :1], errors)], 1)


def _counted(side: Side, usable: Floats) -> Floats:
    """How many answers the rows are of, ``[K - 1, 1]``."""
    late = np.full(len(usable) - 1, side.latency.total)
    return np.where(usable, np.append(late, side.answers), 0.0)[:, None]


def _inside(old: Side, new: Side, past: Past, rules: Rules) -> tuple[Floats, Floats, Floats]:
    """Saturation: how many more requests were inside a replica than claimed.

    The mean of a bounded variable, tested by betting: Waudby-Smith and Ramdas (2024), "Estimating
    means of bounded random variables by betting". A version that hangs answers nothing: only this
    sees it.
    """
    grid = rules.grid[-1:]
    usual = past.saturation
    if not usual > 0.0:
        return np.zeros((2, *grid.shape, BETS)), 0.0 * grid, np.zeros(1)
    ahead = new.saturation - (1.0 + grid) * old.saturation
    ahead /= np.maximum(1.0 + grid, 1.0) * usual
    # Gains are cut off, which the claim does not mind; losses only where all would be lost.
    won = np.minimum(np.stack([ahead, -ahead]), 1.0)[..., None] * STAKES
    return np.log1p(np.maximum(won, -MOST_LOST)), ahead, ahead[:, EQUAL] ** 2
