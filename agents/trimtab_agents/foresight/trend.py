"""How a series goes on: a line in time and load, noise around it, and noise that adds up.

Memory wanders: what it gained it keeps. A line through a wandering series has far less certain a
slope than its residuals say, and that is what makes naive forecasts call leaks everywhere. So the
noise is a random walk plus white noise (the local level model with drift: Harvey 1989; Durbin and
Koopman 2012), fitted by generalised least squares for each of a few shares of either kind, which
are then weighed by their restricted likelihood. A step is a wandering that happened once, and
gives no slope; load that rises with time leaves it open which of the two it was.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from statistics import NormalDist

import numpy as np

from trimtab_sim.profile import Floats

# Which share of the noise adds up, per block: from none of it to nearly all.
WANDERING = (0.0, 0.003, 0.01, 0.03, 0.1, 0.3, 0.6, 0.99)
# Load that moves by less than this share of what is usual explains nothing.
LEAST_LOAD = 0.05
# Nothing is known better than to this share of how much it moved: a ramp without noise is rounded.
FINEST = 1e-3
# So that load which is time itself leaves the slope open, and not the matrix singular.
RIDGE = 1e-9
# Where a level may be, for the chance that it touches a limit.
NODES = 40

_NORMAL = NormalDist()


@dataclass(frozen=True, slots=True)
class Fit:
    """One ``share`` of wandering: ``mean`` and ``cov`` of intercept, slope and load.

    ``gain``, ``shift`` and ``pull`` are what the last values say of where the walk is now.
    """

    share: float
    weight: float
    mean: Floats
    cov: Floats
    gain: Floats
    shift: float
    pull: float
    noise: float

    def ahead(self, at: Floats) -> tuple[Floats, Floats]:
        """Mean and standard deviation of the level at times ``at`` (m,), the load being usual.

        What the load will be is not known: it may stay high or low for as long as is asked about.
        """
        rows = np.zeros((len(at), len(self.mean)))
        rows[:, 0], rows[:, 1] = 1.0, at
        apart = rows - self.gain
        wandered = np.maximum(self.share * at - self.pull, 0.0)
        unsure = np.einsum("ij,jk,ik->i", apart, self.cov, apart)
        load = float(self.mean[2]) ** 2 if len(self.mean) > 2 else 0.0
        variance = np.maximum(self.noise * wandered + unsure + load, 0.0)  # rounding may go below
        return rows @ self.mean + self.shift, np.sqrt(variance)

    @property
    def scatter(self) -> float:
        """How far the white noise takes single blocks from the level."""
        return float(np.sqrt(self.noise * (1.0 - self.share)))

    def touched(self, limit: float, at: Floats, nodes: Floats) -> Floats:
        """The chance that some block until each of ``at`` was at ``limit``.

        Where the level goes is one uncertainty, here in ``nodes`` (k,) that are equally likely;
        about it each block has a chance of its own.
        """
        mean, spread = self.ahead(at)
        above = (mean + nodes[:, None] * spread - limit) / self.scatter
        spared = np.cumprod(1.0 - _below(above), axis=1)
        chances: Floats = 1.0 - spared.mean(axis=0)
        return chances


@dataclass(frozen=True, slots=True)
class Trend:
    """What was seen until ``last``, in blocks since the first."""

    fits: tuple[Fit, ...]
    last: float
    dof: int

    @classmethod
    def fit(cls, times: Floats, values: Floats, load: Floats) -> Trend:
        """Of one value per block, at ``times`` in blocks; all of shape (n,), n at least 5.

        ``load`` is about its mean and in its spread, as they are usually.
        """
        since = times - times[0]
        design = _design(since, load)
        fits = [_fitted(share, since, values, design) for share in WANDERING]
        likelihood = np.array([fit.weight for fit in fits])
        weights = np.exp(likelihood - likelihood.max())
        weights = (weights / weights.sum()).tolist()
        weighed = (replace(fit, weight=weight) for fit, weight in zip(fits, weights, strict=True))
        return cls(tuple(weighed), float(since[-1]), len(times) - design.shape[1])

    @property
    def pace(self) -> float:
        """Rise per block, at the same load."""
        return sum(fit.weight * float(fit.mean[1]) for fit in self.fits)

    @property
    def rising(self) -> float:
        """How sure it is that the pace is above zero."""
        paces = ((fit, float(fit.mean[1] / np.sqrt(fit.cov[1, 1]))) for fit in self.fits)
        return sum(fit.weight * self._sure(pace) for fit, pace in paces)

    def level(self, blocks: float = 0.0) -> float:
        """What is expected so many blocks from now: without white noise, at the usual load."""
        at = np.array([self.last + blocks])
        return sum(fit.weight * float(fit.ahead(at)[0][0]) for fit in self.fits)

    def reached(self, limit: float, blocks: int) -> Floats:
        """The chance that ``limit`` was met within the next 1, 2, … ``blocks``, of that shape."""
        at, nodes = self.last + np.arange(1.0, blocks + 1.0), self._nodes()
        chances = [fit.weight * fit.touched(limit, at, nodes) for fit in self.fits]
        total: Floats = np.sum(chances, axis=0)
        return total

    def _nodes(self) -> Floats:
        """Student's t at equally likely places, by the first term of Fisher's expansion."""
        z = np.array([_NORMAL.inv_cdf((k + 0.5) / NODES) for k in range(NODES)])
        nodes: Floats = z + (z**3 + z) / (4 * self.dof)
        return nodes

    def _sure(self, t: float) -> float:
        """Student's t distribution, by Wallace's approximation (1959): good to 0.001 from 8 on."""
        dof = self.dof
        z = (8 * dof + 1) / (8 * dof + 3) * np.sqrt(dof * np.log1p(t * t / dof))
        return _NORMAL.cdf(float(np.copysign(z, t)))


def _below(z: Floats) -> Floats:
    """The normal distribution, by Page's approximation (1977): good to 0.0002."""
    part: Floats = np.tanh(np.sqrt(2.0 / np.pi) * (z + 0.044715 * z**3))
    return (1.0 + part) / 2.0


def _design(times: Floats, load: Floats) -> Floats:
    """Columns: one, time, and load where it moves."""
    columns = [np.ones_like(times), times]
    if float(load.std()) > LEAST_LOAD:
        columns.append(load)
    return np.column_stack(columns)


def _fitted(share: float, times: Floats, values: Floats, design: Floats) -> Fit:
    """Generalised least squares; its ``weight`` is the log of the restricted likelihood."""
    dof = design.shape[0] - design.shape[1]
    covariance = (1.0 - share) * np.eye(len(times)) + share * np.minimum.outer(times, times)
    root = np.linalg.cholesky(covariance)
    whitened = np.linalg.solve(root, np.column_stack([design, values, share * times]))
    x, y, walk = whitened[:, :-2], whitened[:, -2], whitened[:, -1]
    inverse = np.linalg.inv(x.T @ x + RIDGE * np.eye(x.shape[1]))
    mean = inverse @ (x.T @ y)
    rest = y - x @ mean
    noise = max(float(rest @ rest) / dof, _finest(values) ** 2)
    likelihood = np.linalg.slogdet(inverse)[1] / 2 - np.log(np.diag(root)).sum()
    return Fit(
        share=share,
        weight=float(likelihood - dof / 2 * np.log(noise)),
        mean=mean,
        cov=noise * inverse,
        gain=x.T @ walk,
        shift=float(walk @ rest),
        pull=float(walk @ walk),
        noise=noise,
    )


def _finest(values: Floats) -> float:
    return FINEST * max(float(np.ptp(values)), FINEST * abs(float(values.mean())), 1e-12)
