"""Confidence sequences: intervals that hold the truth at every look at once, however often.

The t-test's, for days alike and independent: its e-value is the Bayes factor of a normal prior on
the effect, in standard deviations, with the right Haar prior on the scale; by Ville's inequality
it ever exceeds 1/alpha with probability alpha at most. Lai (1976), "On confidence sequences";
Pérez-Ortiz et al. (2024), "E-statistics, group invariance and anytime-valid testing"; Wang and
Ramdas (2024), "Anytime-valid t-tests and confidence sequences for Gaussian means with unknown
variance". No library on PyPI has it that is more than one author's first year.
"""

from __future__ import annotations

import numpy as np

from trimtab_sim.profile import Floats

# Variance of the prior on the effect: within 7 % of the tightest from five days to four weeks.
PRIOR = 4.0


def half_widths(days: Floats, alpha: float) -> Floats:
    """After each day, how far the truth may lie from the mean so far, ``[D, ...]`` as ``days``."""
    count = np.arange(1.0, len(days) + 1.0).reshape(-1, *[1] * (days.ndim - 1))
    variance = np.cumsum(days * days, 0) / count - (np.cumsum(days, 0) / count) ** 2
    spread = np.sqrt(np.maximum(variance, 0.0))
    shrink = 1.0 + count * PRIOR
    ratio = (shrink / alpha**2) ** (1.0 / count)
    with np.errstate(divide="ignore", invalid="ignore"):
        reach = np.sqrt((ratio - 1.0) / (1.0 - ratio / shrink))
    return np.where(ratio < shrink, reach * spread, np.inf)


def looks(days: Floats, alpha: float) -> tuple[Floats, Floats]:
    """The interval's ends after each day, ``[D, ...]``: all hold the mean with 1 - ``alpha``."""
    count = np.arange(1.0, len(days) + 1.0).reshape(-1, *[1] * (days.ndim - 1))
    mean, width = np.cumsum(days, 0) / count, half_widths(days, alpha)
    return mean - width, mean + width
