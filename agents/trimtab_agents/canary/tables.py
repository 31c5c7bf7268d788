"""The evidence in one look: an e-variable of two proportions.

Of ``n_new`` answers ``y_new`` took too long (or failed), of ``n_old`` it was ``y_old``. The claim:
the new side's share is at most the old one's plus ``shift``, whatever that is in this very look.
Turner, Ly and Grünwald (2024), "Generic E-variables for exact sequential k-sample tests that
allow for optional stopping", divide the likelihood under an alternative by the one under its
nearest common share. Written as a bet, as here, each answer multiplies a capital by
``1 + (y - share) * stake``. Whatever the common share is, the capital cannot be expected to grow
while ``n_new * stake_new + n_old * stake_old = 0``, for the logarithm is concave; with a shift, and
for new shares below what is claimed, neither. So capital is evidence against the claim: by Ville's
inequality it ever comes to 1/alpha with probability alpha at most.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from trimtab_sim.profile import Floats

# Shares that one bets on stay so far away from 0 and 1, and capital from 0.
EDGE, MOST_LOST = 1e-6, 0.9


@dataclass(frozen=True, slots=True)
class Tables:
    """Two-by-two tables, of shapes that broadcast: how many of how many, on both sides."""

    y_new: Floats
    n_new: Floats
    y_old: Floats
    n_old: Floats

    def parts(self) -> tuple[Floats, Floats, Floats, Floats]:
        """The four counts."""
        return self.y_new, self.n_new, self.y_old, self.n_old

    def score(self, shift: Floats) -> Floats:
        """How many more there are of the new side than claimed, each answer counting once."""
        both = np.maximum(self.n_new + self.n_old, 1.0)
        ahead = self.y_new * self.n_old - self.y_old * self.n_new
        return np.asarray((ahead - shift * self.n_new * self.n_old) / both)

    def variance(self) -> Floats:
        """The variance of `score` where both shares are equal and answers independent."""
        both = np.maximum(self.n_new + self.n_old, 1.0)
        share = (self.y_new + self.y_old) / both
        return np.asarray(share * (1.0 - share) * self.n_new * self.n_old / both)

    def log_capital(self, expected: Floats, shift: Floats, odds: Floats) -> Floats:
        """Log of what one look makes of a capital of 1.

        ``expected`` is the old side's share as it was before; ``odds`` is what the bet is on: the
        new side's odds beyond those claimed. At 1 or less, the claim is the opposite one: that the
        new side's share is at least the old one's plus ``shift``.
        """
        low, high = np.maximum(-shift, 0.0) + EDGE, np.minimum(1.0 - shift, 1.0) - EDGE
        old = np.clip(expected, low, high)
        new = old + shift
        new = np.clip(odds * new / (1.0 - new + odds * new), EDGE, 1.0 - EDGE)
        n_new, n_old = self.n_new, np.maximum(self.n_old, 1.0)
        fair = np.clip((n_old * old + n_new * (new - shift)) / (n_old + n_new), low, high)
        claimed = fair + shift
        stake = (new - claimed) / (claimed * (1.0 - claimed))
        # What clipping turned round would be a bet on the claim; to one side alone none is fair.
        is_fair = ((stake > 0.0) == (odds > 1.0)) & (self.n_old > 0.0)
        stake = np.where(is_fair, stake, 0.0)
        against = -stake * n_new / n_old
        loss = np.maximum(-against * (1.0 - fair), against * fair)
        held = np.minimum(1.0, MOST_LOST / np.maximum(loss, EDGE))
        return _log(self.y_new, n_new, claimed, held * stake) + _log(
            self.y_old, self.n_old, fair, held * against
        )


def _log(y: Floats, n: Floats, share: Floats, stake: Floats) -> Floats:
    return np.asarray(y * np.log1p((1.0 - share) * stake) + (n - y) * np.log1p(-share * stake))
