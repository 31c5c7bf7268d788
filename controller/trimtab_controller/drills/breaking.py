"""What a stage must be able to do where a drill is to break replicas."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol, runtime_checkable

from trimtab_guard.authority import Epoch


class StageFault(NamedTuple):
    """A fault of so many replicas, or of the proxy: ``kind`` as `Stage.Break` names it."""

    id: str
    kind: str
    backend: str
    replicas: int
    factor: float


@runtime_checkable
class Breakable(Protocol):
    """A stage that can break what is its own, for as long as it is asked again."""

    def have_broken(
        self, faults: Sequence[StageFault], lease_s: float, epoch: Epoch
    ) -> Mapping[str, Sequence[str]]:
        """Break just these from now on; by id, the replicas that each is on. `StageError`."""
