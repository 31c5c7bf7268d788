"""What writers have asked for, and what they may ask: pure, checked before anything changes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from math import isfinite

from trimtab_guard.authority import NO_EPOCH, Epoch
from trimtab_sim.profile import BackendProfile, Profile


class InvalidAskError(ValueError):
    """A request that cannot be granted; the message says what, where, and what would do."""


@dataclass(frozen=True, slots=True)
class Ask:
    """What one backend should have; None leaves it as it is, and ``restart`` replaces replicas."""

    backend: str
    floor: int | None = None
    weight: float | None = None
    restart: bool = False


@dataclass(frozen=True, slots=True)
class Spec:
    """Least replicas and route shares (they sum to 1) by backend, and who wrote them last.

    ``epoch`` is the highest that was written under.
    """

    floors: Mapping[str, int]
    weights: Mapping[str, float]
    version: int = 1
    writer: str = ""
    epoch: Epoch = NO_EPOCH

    @classmethod
    def initial(cls, profile: Profile) -> Spec:
        """Least replicas everywhere, equal shares."""
        floors = {backend.name: backend.min_replicas for backend in profile.backends}
        return cls(floors, dict.fromkeys(floors, 1 / len(floors)))

    def refusal(self, epoch: Epoch) -> str:
        """Why nothing may be written under ``epoch`` any more; empty when it may, or is none."""
        if epoch.number == 0 or not self.epoch.deposes(epoch):
            return ""
        return (
            f"epoch {epoch.number} of {epoch.leader} is over: "
            f"{self.epoch.leader} leads under epoch {self.epoch.number}"
        )

    def written(
        self,
        asks: Iterable[Ask],
        writer: str,
        profile: Profile,
        ready: Mapping[str, int],
        epoch: Epoch = NO_EPOCH,
    ) -> Spec:
        """Return the spec after a write, given how many replicas are ready; `InvalidAskError`."""
        asks = list(asks)
        backends = {backend.name: backend for backend in profile.backends}
        _check_names([ask.backend for ask in asks], backends)
        floors = {
            ask.backend: _checked_floor(ask.floor, backends[ask.backend])
            for ask in asks
            if ask.floor is not None
        }
        weights = {ask.backend: ask.weight for ask in asks if ask.weight is not None}
        return replace(
            self,
            floors={**self.floors, **floors},
            weights=_shares(self.weights, weights, ready) if weights else self.weights,
            version=self.version + 1,
            writer=writer,
            epoch=epoch if epoch.number else self.epoch,
        )


def _check_names(names: list[str], backends: Mapping[str, BackendProfile]) -> None:
    for name in names:
        if name not in backends:
            raise InvalidAskError(f"unknown backend {name!r}: the stage has {', '.join(backends)}")
        if names.count(name) > 1:
            raise InvalidAskError(f"backend {name!r} is listed twice: ask once for each")


def _checked_floor(floor: int, backend: BackendProfile) -> int:
    if not backend.min_replicas <= floor <= backend.max_replicas:
        raise InvalidAskError(
            f"floor {floor} of {backend.name!r} is out of bounds: "
            f"ask for {backend.min_replicas} to {backend.max_replicas}"
        )
    return floor


def _shares(
    present: Mapping[str, float], asked: Mapping[str, float], ready: Mapping[str, int]
) -> dict[str, float]:
    for backend, weight in asked.items():
        if not isfinite(weight) or weight < 0:
            raise InvalidAskError(f"weight {weight} of {backend!r}: ask for a number, 0 or more")
        if weight > 0 and not ready[backend]:
            raise InvalidAskError(
                f"weight {weight:g} of {backend!r}: it has no ready replica; wait until it has"
            )
    weights = {**present, **asked}
    total = sum(weights.values())
    if not sum(weight for backend, weight in weights.items() if ready[backend]) > 0:
        raise InvalidAskError(
            f"weights {weights} would send traffic to no ready replica: "
            "give a backend that has one a weight above 0"
        )
    if not isfinite(total):
        raise InvalidAskError(f"weights {weights} are too large: ask for shares of 0 to 1")
    return {backend: weight / total for backend, weight in weights.items()}
