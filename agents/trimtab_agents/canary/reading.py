"""What one look brings of one side: everything that ended there since the look before."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from math import isfinite

import numpy as np

from trimtab_sim.profile import Floats

# Bins up to so wide, for where they begin: Envoy's are a tenth at most.
NARROW = 0.15


@dataclass(frozen=True, slots=True)
class Histogram:
    """Answers by latency: ``counts[i]`` took from ``edges_s[i]`` to ``edges_s[i + 1]`` seconds.

    The last edge may be infinite. `ValueError` when edges do not ascend or a count is negative.
    """

    edges_s: tuple[float, ...]
    counts: tuple[int, ...]

    def __post_init__(self) -> None:
        if len(self.edges_s) != len(self.counts) + 1 and (self.edges_s or self.counts):
            raise ValueError(f"{len(self.counts)} bins need {len(self.counts) + 1} edges")
        if any(not low < high for low, high in pairwise(self.edges_s)):
            raise ValueError(f"edges of latency bins must ascend: {self.edges_s}")
        if any(count < 0 for count in self.counts):
            raise ValueError("a latency bin has a negative count: was a counter reset?")

    @classmethod
    def of(cls, bins: Mapping[tuple[float, float], int]) -> Histogram:
        """Of counts by (lower edge, width) in seconds, as Envoy tells them; holes are empty."""
        uppers = {lower: lower + width for lower, width in bins}
        edges = sorted({*uppers, *uppers.values()})
        counts = {lower: count for (lower, _), count in bins.items()}
        return cls(tuple(edges), tuple(counts.get(edge, 0) for edge in edges[:-1]))

    def and_(self, other: Histogram) -> Histogram:
        """Both together; bins of the one may lack in the other, but not lie across its edges."""
        counts: dict[float, int] = {}
        for one in (self, other):
            for edge_s, count in zip(one.edges_s[:-1], one.counts, strict=True):
                counts[edge_s] = counts.get(edge_s, 0) + count
        edges = sorted({*self.edges_s, *other.edges_s})
        return Histogram(tuple(edges), tuple(counts.get(edge, 0) for edge in edges[:-1]))

    @property
    def total(self) -> int:
        """All answers."""
        return sum(self.counts)

    def beyond(self, cut_s: Floats) -> tuple[Floats, Floats]:
        """How many answers at least, and how many at most, took longer than each ``cut_s``.

        The two differ where a cut falls into a wide bin; within a narrow one answers are taken
        to lie evenly, which is wrong by less than a hundredth of those beyond.
        """
        if not self.counts:
            return np.zeros_like(cut_s), np.zeros_like(cut_s)
        edges, counts = np.asarray(self.edges_s), np.asarray(self.counts, float)
        after = np.append(np.cumsum(counts[::-1])[::-1], 0.0)
        place = np.clip(np.searchsorted(edges, cut_s, side="right") - 1, 0, len(counts) - 1)
        low, high, inside = edges[place], edges[place + 1], counts[place]
        is_narrow = high - low <= NARROW * low
        with np.errstate(invalid="ignore"):  # endless bins are not narrow
            share = np.clip((high - cut_s) / np.where(is_narrow, high - low, 1.0), 0.0, 1.0)
        least = after[place + 1] + inside * np.where(is_narrow, share, low >= cut_s)
        most = after[place + 1] + inside * np.where(is_narrow, share, high > cut_s)
        return least, most


@dataclass(frozen=True, slots=True)
class Side:
    """One side since the look before.

    ``latency``: of the answers; ``errors`` of ``answers`` failed; ``in_flight``: requests inside
    its ``ready`` replicas now; ``time_s``: when this was measured, by the clock of who measured.
    `ValueError` for what cannot be: hand in ``None`` instead of a side that was not measured.
    """

    latency: Histogram
    answers: int
    errors: int
    in_flight: float
    ready: int
    time_s: float

    def __post_init__(self) -> None:
        numbers = (self.answers, self.errors, self.in_flight, self.ready)
        if not all(isfinite(number) and number >= 0 for number in numbers):
            raise ValueError(f"a side's numbers must be finite and 0 or more, are {numbers}")
        if self.errors > self.answers:
            raise ValueError(f"{self.errors} errors of {self.answers} answers")

    @property
    def saturation(self) -> float:
        """Requests inside per ready replica, of which there must be some."""
        return self.in_flight / self.ready

    @property
    def fingerprint(self) -> str:
        """The same for two measurements that agree in all that chance decides; time is not."""
        chance = self.answers, self.errors, self.latency.edges_s, self.latency.counts
        return hashlib.sha256(repr(chance).encode()).hexdigest()[:16]
