"""Lives of a backend that simulator and event model both play: pure data.

The event model in ``tests/sim/event_model.py`` must share no code with ``trimtab_sim``, so
nothing of it may be needed here.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

SERVICE_S = 0.050
SLO_S = 0.300
TIMEOUT_S = 10.0
BUCKET_S = 5.0


class Phase(NamedTuple):
    """So many seconds of so many requests per second, begun by adding (or draining) replicas.

    ``crashed`` replicas crash at its beginning.
    """

    seconds: float
    rate_rps: float
    added: int = 0
    crashed: int = 0


@dataclass(frozen=True, slots=True)
class Backend:
    """What replicas, the balancer before them and their clients are like.

    The first ``slow`` replicas take ``slow_factor`` times as long. A client sends a request up
    to ``retries`` times again: when it failed, or has no answer after ``patience_s``.
    """

    slots: int = 4
    scv: float = 1.0
    balancer: Literal["least_request", "round_robin", "random"] = "least_request"
    slow: int = 0
    slow_factor: float = 1.0
    error_share: float = 0.0
    retries: int = 0
    patience_s: float = 1.0


class Change(NamedTuple):
    """A backend of so many replicas that lives through phases."""

    backend: Backend
    replicas: int
    phases: tuple[Phase, ...]


# Loads in requests per second; a replica of 4 slots carries 80 of them.
CHANGES = {
    "crowd, doubled": Change(Backend(), 10, (Phase(20, 480), Phase(15, 1040), Phase(25, 1040, 10))),
    "short burst": Change(Backend(), 10, (Phase(20, 480), Phase(5, 1200), Phase(35, 480))),
    "time-outs": Change(Backend(), 5, (Phase(20, 300), Phase(20, 800), Phase(20, 300))),
    "small, doubled": Change(Backend(), 2, (Phase(20, 100), Phase(15, 240), Phase(25, 240, 2))),
    "two more of ten": Change(Backend(), 10, (Phase(20, 600), Phase(15, 880), Phase(25, 880, 2))),
    "scaled down": Change(Backend(), 20, (Phase(20, 600), Phase(20, 600, -11), Phase(20, 600, 2))),
    "scv 4": Change(Backend(scv=4.0), 10, (Phase(20, 480), Phase(15, 1040), Phase(25, 1040, 10))),
    "one slot": Change(Backend(1), 16, (Phase(20, 160), Phase(15, 420), Phase(25, 420, 16))),
    "sixteen slots": Change(
        Backend(16, 0.25), 4, (Phase(20, 640), Phase(15, 1600), Phase(25, 1600, 4))
    ),
}

ROUND_ROBIN, RANDOM = Backend(balancer="round_robin"), Backend(balancer="random")
SLOW = Backend(slow=2, slow_factor=4.0)
STORMY = Backend(retries=3, patience_s=1.0)
FAILURES = {
    "half crash": Change(Backend(), 10, (Phase(20, 480), Phase(15, 480, 0, 5), Phase(25, 480, 5))),
    "crash in a queue": Change(
        Backend(), 10, (Phase(20, 480), Phase(10, 1000), Phase(30, 600, 0, 2))
    ),
    "crash, one slot": Change(
        Backend(1), 16, (Phase(20, 160), Phase(20, 160, 0, 7), Phase(20, 160, 7))
    ),
    "storm": Change(STORMY, 10, (Phase(20, 560), Phase(10, 1200), Phase(40, 560))),
    "storm passes": Change(STORMY, 10, (Phase(20, 240), Phase(5, 1000), Phase(35, 120))),
    "storm, scaled": Change(STORMY, 10, (Phase(20, 560), Phase(10, 1000), Phase(40, 560, 25))),
    "crash, retried": Change(STORMY, 10, (Phase(20, 240), Phase(20, 240, 0, 5), Phase(20, 240, 5))),
    "round robin": Change(ROUND_ROBIN, 10, (Phase(20, 480), Phase(15, 1040), Phase(25, 1040, 10))),
    "round robin, scv 4": Change(
        replace(ROUND_ROBIN, scv=4.0), 10, (Phase(20, 400), Phase(20, 560), Phase(20, 640))
    ),
    "random": Change(RANDOM, 10, (Phase(20, 400), Phase(20, 560), Phase(20, 640))),
    "slow": Change(SLOW, 10, (Phase(20, 400), Phase(20, 560), Phase(20, 480))),
    "slow, overloaded": Change(SLOW, 10, (Phase(20, 400), Phase(10, 900), Phase(30, 400))),
    "slow, one slot": Change(
        replace(SLOW, slots=1, slow_factor=3.0),
        16,
        (Phase(20, 140), Phase(20, 220), Phase(20, 140)),
    ),
    "slow, round robin": Change(
        Backend(balancer="round_robin", slow=2, slow_factor=2.0),
        10,
        (Phase(20, 300), Phase(20, 480), Phase(20, 300)),
    ),
    "errors": Change(
        Backend(error_share=0.3), 10, (Phase(20, 480), Phase(20, 1200), Phase(20, 480))
    ),
    "errors, retried": Change(
        Backend(error_share=0.3, retries=2), 10, (Phase(20, 300), Phase(20, 560), Phase(20, 300))
    ),
}
