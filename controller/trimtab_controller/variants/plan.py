"""What a round runs: variants of a backend, how many copies they get, and for how long."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

# What a stage runs at once, and for how long at most.
MOST_VARIANTS = 8
LONGEST_S = 3600.0
SOME_S = 300.0


class Setting(NamedTuple):
    """What a replica is tuned to."""

    name: str
    value: float


@dataclass(frozen=True, slots=True)
class Variant:
    """``replicas`` of the backend, but with ``settings``; without, it is what is live."""

    name: str
    replicas: int = 1
    settings: tuple[Setting, ...] = ()


@dataclass(frozen=True, slots=True)
class Plan:
    """Each of the ``variants`` gets copies of the same ``rate_rps`` of the service's requests.

    So they meet the same load in every round, whatever the service has; but never more than
    ``most_share`` of its requests. Each is measured on ``requests`` of them, from ``settle_s``
    after the first; after ``seconds`` it is over anyhow. ``ValueError``: "FIELD: what it may be".
    """

    service: str
    backend: str
    experiment: str
    variants: tuple[Variant, ...]
    rate_rps: float
    requests: int = 1000
    seconds: float = SOME_S
    settle_s: float = 5.0
    most_share: float = 0.5
    who: str = ""

    def __post_init__(self) -> None:
        names = [variant.name for variant in self.variants]
        if not 1 <= len(names) <= MOST_VARIANTS or len(set(names)) < len(names):
            raise ValueError(
                f"variants: must be 1 to {MOST_VARIANTS}, each with a name of its own, and are "
                f"{names}"
            )
        if not all(variant.replicas >= 1 for variant in self.variants):
            raise ValueError("variants: must have at least one replica each")
        if not 0.0 < self.rate_rps < math.inf:
            raise ValueError(f"rate_rps: must be above 0, and is {self.rate_rps:g}")
        if not self.requests >= 1:
            raise ValueError(f"requests: must be at least 1, and is {self.requests}")
        if not 0.0 < self.seconds <= LONGEST_S:
            raise ValueError(
                f"seconds: must be above 0 and at most {LONGEST_S:g}, and is {self.seconds:g}"
            )
        if not 0.0 <= self.settle_s < self.seconds:
            raise ValueError(
                f"settle_s: must be from 0 to less than seconds, {self.seconds:g}, and is "
                f"{self.settle_s:g}"
            )
        if not 0.0 < self.most_share <= 1.0:
            raise ValueError(
                f"most_share: must be above 0 and at most 1, and is {self.most_share:g}"
            )

    @property
    def replicas(self) -> int:
        """How many run beside the service's own."""
        return sum(variant.replicas for variant in self.variants)

    def share(self, service_rps: float) -> float:
        """Of which share of so many requests each variant gets a copy."""
        if service_rps * self.most_share <= self.rate_rps:
            return self.most_share
        return self.rate_rps / service_rps
