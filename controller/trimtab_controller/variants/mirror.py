"""What a stage must do for a round: run replicas beside a service, on copies of its requests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, runtime_checkable

from trimtab_controller.variants.plan import Variant
from trimtab_guard.authority import Epoch

# The stage lets go of what nobody has asked for again by then.
LEASE_S = 15.0


@dataclass(frozen=True, slots=True)
class Wanted:
    """All variants of a backend that should run, by the stage's names; each gets this share."""

    backend: str
    variants: Mapping[str, Variant]
    share: float
    epoch: Epoch
    lease_s: float = LEASE_S


class Running(NamedTuple):
    """A variant as the stage has it: its name there, and the cluster that Envoy counts."""

    name: str
    cluster: str
    ready: int
    crashed: int


@runtime_checkable
class Mirror(Protocol):
    """A stage that can; it lets go by itself after ``lets_go_s``, infinity where it never does."""

    @property
    def lets_go_s(self) -> float: ...  # noqa: D102  # said above

    def mirror(self, wanted: Wanted) -> Sequence[Running]:
        """Have just these, for a lease; raises `StageError`, and `StageRefusedError` for good.

        What takes another call until it is gone is among those returned.
        """
