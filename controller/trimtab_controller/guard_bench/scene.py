"""What the present allows of replicas and shares, and what other services leave to this one."""

from __future__ import annotations

from dataclasses import dataclass

from trimtab_controller.guard_bench.ceilings import Means
from trimtab_controller.guard_bench.moment import Moment
from trimtab_controller.guard_bench.routing import NOWHERE, Routing
from trimtab_controller.guard_bench.scaling import Scaling


@dataclass(frozen=True, slots=True)
class Scene:
    """One moment as a perfect memory sees it. ``doubt`` is none, held or blind.

    Where the present is not ``known`` there is nothing more to say.
    """

    at: Moment
    means: Means
    known: bool = False
    doubt: str = "none"
    scaling: tuple[Scaling, ...] = ()
    routing: Routing = NOWHERE

    @classmethod
    def of(cls, at: Moment, means: Means) -> Scene:
        """All at once, because the past goes on."""
        if not at.is_known():
            return cls(at, means)
        doubt = at.doubt()
        scaling = tuple(Scaling.of(at, here, bounds, doubt) for here, bounds in at.pairs)
        return cls(at, means, True, doubt, scaling, Routing.of(at, doubt))
