"""The part `lease` of trimtab.yaml."""

from __future__ import annotations

from dataclasses import dataclass

from trimtab_sim.schema import Count, Positive

# As in client-go: who renews must be able to fail once.
RETRIES = 1.2


@dataclass(frozen=True, slots=True)
class LeaseSpec:
    """The Lease that one of several daemons holds.

    Nobody takes it over before it was left alone for ``duration_s``; who holds it writes nothing
    once it could not be renewed for ``renew_s``; all look every ``retry_s``.
    """

    namespace: str
    name: str = "trimtab"
    duration_s: Count = 8
    renew_s: Positive = 5.0
    retry_s: Positive = 1.5

    def __post_init__(self) -> None:
        if not (self.namespace and self.name):
            raise ValueError("namespace and name must not be empty: write those of the Lease")
        if not RETRIES * self.retry_s < self.renew_s < self.duration_s:
            raise ValueError(
                f"retry_s x {RETRIES}, renew_s and duration_s must grow in this order, and are "
                f"{RETRIES * self.retry_s:g}, {self.renew_s:g} and {self.duration_s}"
            )

    def __str__(self) -> str:
        return f"Lease {self.namespace}/{self.name}"
