"""What a run is judged by, kept alike on the real stage and in its model: totals that only grow."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from trimtab_sim.profile import Profile

# The opening, left out: nothing may be scaled down in it, and the policy remembers nothing.
WARM_UP_S = 10.0


class Score(NamedTuple):
    """``fleet``: billed over the least that could have done the work; ``miss``: a share."""

    fleet: float
    miss: float

    def total(self, miss_price: float) -> float:
        """Return J: what is to be as small as possible."""
        return self.fleet + miss_price * self.miss


@dataclass(slots=True)
class Total:
    """One total at the times when it was read, seconds since the first arrival could come."""

    times_s: list[float] = field(default_factory=list)
    totals: list[float] = field(default_factory=list)

    def read(self, time_s: float, total: float) -> None:
        """Take in a reading; times must grow."""
        self.times_s.append(time_s)
        self.totals.append(total)

    def between(self, begin_s: float, end_s: float) -> float:
        """The growth from ``begin_s`` to ``end_s``, linear between the readings."""
        begin, end = np.interp([begin_s, end_s], self.times_s, self.totals)
        return float(end - begin)


@dataclass(slots=True)
class Books:
    """``billed`` in replica-seconds x price, requests, and those that came late or failed."""

    billed: Total = field(default_factory=Total)
    requests: Total = field(default_factory=Total)
    misses: Total = field(default_factory=Total)

    def covers(self, end_s: float) -> bool:
        """Whether every total was read at or after ``end_s``."""
        totals = (self.billed, self.requests, self.misses)
        return all(total.times_s and total.times_s[-1] >= end_s for total in totals)

    def score(self, profile: Profile, seconds: float) -> Score:
        """Of the ``seconds`` after the warm-up; ``ValueError`` when no request came in them."""
        span_s = WARM_UP_S, WARM_UP_S + seconds
        requests = self.requests.between(*span_s)
        if requests <= 0:
            raise ValueError("no request came in the time that is judged")
        request_price = min(b.price * b.service_time_s / b.concurrency for b in profile.backends)
        return Score(
            fleet=self.billed.between(*span_s) / (requests * request_price),
            miss=self.misses.between(*span_s) / requests,
        )
