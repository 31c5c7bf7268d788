"""The one protocol behind which everything that decides stands: rules and learned policies."""

from __future__ import annotations

from typing import Protocol

from trimtab_sim.profile import Floats, Profiles
from trimtab_sim.signals import Sensed, Wanted


class Policy(Protocol):
    """Maps what is sensed of B services to what is wanted of them, tick by tick.

    A policy remembers; ``reset`` makes it forget and tells it what it decides for.
    ``miss_price`` is lambda of the score, ``[B]``.
    """

    name: str

    def reset(self, profiles: Profiles, miss_price: Floats, tick_s: float) -> None:
        """Forget everything and prepare for B new services, sensed every ``tick_s`` seconds."""

    def act(self, sensed: Sensed) -> Wanted:
        """Decide for one tick; called exactly once per tick, in order."""
