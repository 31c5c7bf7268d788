"""What would matter, and how sure one wants to be: all that a user may say of a comparison."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from trimtab_sim.profile import Floats

Bools = NDArray[np.bool_]

# Differences that are tested beside those that the rules name. As shares of what is usual, below
# them and above; of all answers where they are errors.
BETTER, MUCH_WORSE = (-0.5, -0.3, -0.15, -0.05, 0.0), (0.15, 0.35, 0.75, 1.5, 3.0)
FEWER_ERRORS, MORE_ERRORS = (-0.1, -0.03, -0.01, -0.003, 0.0), (0.007, 0.03, 0.1, 0.3, 0.6)
# What of `alpha` is for the last of several shares of the route: it has most of the answers.
LAST = 0.9
# Where on the grid there is no difference, where what does not matter ends, and what is fine.
EQUAL, WORSE, FINE = 4, 5, 6


@dataclass(frozen=True, slots=True)
class Tolerance:
    """How much worse the new side may be: latency and saturation as shares, errors in shares of
    all answers (0.001 is a tenth of a point).
    """

    latency: float
    errors: float
    saturation: float


@dataclass(frozen=True, slots=True)
class Rules:
    """``worse``: smaller differences do not matter, so that none of them makes a version bad.

    ``fine``: a version is good when it is shown not to be worse by as much as this, in errors and
    in latency up to the quantile ``shown``; slower tails and replicas that fill up are only looked
    for, since to show that there are none takes more requests than most canaries get.
    ``alpha``: how often an equal version may be called bad, however often one looks; the same for
    one that is worse than ``fine`` and called good. ``least_answers``: of each side, for GOOD.
    `ValueError` unless what does not matter is 0 or more, and below what is fine.
    """

    worse: Tolerance = Tolerance(latency=0.05, errors=0.001, saturation=0.10)
    fine: Tolerance = Tolerance(latency=0.15, errors=0.003, saturation=0.30)
    quantiles: tuple[float, ...] = (0.25, 0.5, 0.75, 0.9, 0.95, 0.99)
    shown: float = 0.95
    alpha: float = 0.01
    least_answers: int = 200

    def __post_init__(self) -> None:
        for field in fields(Tolerance):
            worse, fine = (getattr(of, field.name) for of in (self.worse, self.fine))
            if not 0.0 <= worse < fine:
                raise ValueError(
                    f"{field.name}: {worse:g} more does not matter and {fine:g} more is fine: "
                    "the first must be 0 or more and below the second"
                )

    def at(self, share: int, shares: int) -> Rules:
        """The same for one of so many shares of the route, each compared by itself.

        All comparisons together are false as seldom as `alpha` says.
        """
        if shares == 1:
            return self
        part = LAST if share == shares - 1 else (1.0 - LAST) / (shares - 1)
        return replace(self, alpha=part * self.alpha)

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of the K things that are compared."""
        names = (f"latency p{100.0 * quantile:g}" for quantile in self.quantiles)
        return (*names, "errors", "saturation")

    @property
    def to_show(self) -> Bools:
        """Which of the metrics must be shown to be fine, ``[K]``."""
        return np.array([*(quantile <= self.shown for quantile in self.quantiles), True, False])

    @property
    def grid(self) -> Floats:
        """The differences that are tested for each metric, ascending, ``[K, R]``."""

        def shares(worse: float, fine: float) -> list[float]:
            return [
                *BETTER,
                worse,
                fine,
                *((1.0 + fine) * (1.0 + more) - 1.0 for more in MUCH_WORSE),
            ]

        latency = shares(self.worse.latency, self.fine.latency)
        saturation = shares(self.worse.saturation, self.fine.saturation)
        errors = [*FEWER_ERRORS, self.worse.errors, self.fine.errors]
        errors += [self.fine.errors + more for more in MORE_ERRORS]
        return np.array([*[latency] * len(self.quantiles), errors, saturation])
