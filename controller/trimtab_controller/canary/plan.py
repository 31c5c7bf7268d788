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
    ``most_requests`` at the last share without a verdict the trial is over. ``ValueError``:
    "FIELD: what it may be".
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
            raise ValueError(
                f"new: must be another backend than {self.old!r}, which is the old one"
            )
        rising = all(low < high for low, high in pairwise((0.0, *self.shares)))
        if not (self.shares and rising and self.shares[-1] <= LARGEST_SHARE):
            raise ValueError(
                f"shares: must rise, above 0 and at most {LARGEST_SHARE:g}, and are "
                f"{list(self.shares)}"
            )
        if not 1 <= self.requests <= self.most_requests:
            raise ValueError(
                f"requests: must be from 1 to most_requests, {self.most_requests}, and is "
                f"{self.requests}"
            )
        if not 0.0 <= self.margin <= 1.0:
            raise ValueError(f"margin: must be from 0 to 1, and is {self.margin:g}")
