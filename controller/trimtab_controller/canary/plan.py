"""What is put on trial: which backend runs the new version, beside which one, and how far."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

# Half each is where two versions compare best; more would leave too little for the old one.
LARGEST_SHARE = 0.5


@dataclass(frozen=True, slots=True)
class Plan:
    """``new`` gets growing shares of what ``old`` and ``new`` have of the route together.

    It stays at one of the ``shares`` until ``requests`` of the new version were answered there. A
    latency that is longer by less than ``margin``, as a share, does not matter. After
    ``most_requests`` of the new version without a verdict the trial is over. ``ValueError`` names
    a field and what it may be.
    """

    service: str
    old: str
    new: str
    shares: tuple[float, ...] = (0.05, 0.2, 0.5)
    requests: int = 500
    most_requests: int = 20_000
    margin: float = 0.05
    who: str = ""

    def __post_init__(self) -> None:
        if self.old == self.new:
            raise ValueError(f"old and new are both {self.new!r}: name two backends of the service")
        rising = all(low < high for low, high in pairwise((0.0, *self.shares)))
        if not (self.shares and rising and self.shares[-1] <= LARGEST_SHARE):
            raise ValueError(
                f"shares are {list(self.shares)}: give rising ones, above 0 and at most "
                f"{LARGEST_SHARE:g}"
            )
        if not 1 <= self.requests <= self.most_requests <= 10_000_000:
            raise ValueError(
                f"requests is {self.requests} and most_requests {self.most_requests}: the first "
                "must be at least 1, the second no smaller and at most 10000000"
            )
        if not 0.0 <= self.margin <= 1.0:
            raise ValueError(f"margin is {self.margin:g}: it must be from 0 to 1")
