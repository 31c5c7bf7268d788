"""What the loop needs of the world: a stage to act on, a sensor to see with, a policy to ask.

Each can be swapped (Envoy or Prometheus, local stage or Kubernetes, a learned bundle or a
rule) as long as it keeps these few promises. All of them may block, but never for long:
whoever implements one sets its own deadline.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Protocol

from trimtab_guard.authority import NO_EPOCH, Epoch
from trimtab_guard.model import Proposal, Reading, State, Want

# Wall-clock seconds since the epoch.
Clock = Callable[[], float]

# The field manager under which trimtab writes.
WRITER = "trimtab"

# What is measured ("rate_rps", "in_flight", "p50_ms", …) and of which backend ("" = the service).
Signal = tuple[str, str]


class SensorError(Exception):
    """The signals cannot be read now; what was read before grows old."""


class StageError(Exception):
    """The stage did not answer: whether a write arrived is unknown until it is settled."""


class StageRefusedError(StageError):
    """The stage refused the write as invalid: nothing was changed."""


class StageMovedError(StageRefusedError):
    """Somebody else wrote since the decision was based on what is: nothing was changed."""


class PolicyError(Exception):
    """The policy gave no answer in its time, or an answer to another question."""


class BackendReport(NamedTuple):
    """One backend as the stage reports it. ``floor`` is the field that trimtab owns.

    ``disruption_min`` is the fewest replicas that somebody else needs it to keep. Memory, where the
    stage knows it, is that of the replica which holds most, and what each may hold.
    """

    name: str
    wanted: int
    starting: int
    ready: int
    draining: int
    floor: int
    weight: float
    disruption_min: int = 0
    memory_bytes: float = math.nan
    memory_limit_bytes: float = math.nan


class StageReport(NamedTuple):
    """What the stage holds now, and the version that a write must be based on.

    ``writer`` is who wrote last, empty when nobody has; ``metrics`` is where a sensor finds
    the data plane (for the local stage: the Unix socket of Envoy's admin endpoint); ``epoch``
    the highest that was written under; ``rollout``: somebody is replacing replicas right now.
    ``barred`` is why nothing may be written, whoever decides, and ``warning`` what a human should
    know: both in words, and empty when all is well. ``restarts``: an `Ask` may restart replicas.
    """

    time_s: float
    version: str
    writer: str
    backends: tuple[BackendReport, ...]
    metrics: str
    epoch: Epoch = NO_EPOCH
    rollout: bool = False
    barred: str = ""
    warning: str = ""
    restarts: bool = False


class Ask(NamedTuple):
    """The fields of one backend to write; ``None`` leaves a field as it is.

    ``wanted``: replicas that were asked for before, by whomever; ``restart`` replaces each of them,
    one after the other.
    """

    backend: str
    wanted: int
    floor: int | None
    weight: float | None
    restart: bool = False


class Intent(NamedTuple):
    """A write that is about to happen. The same ``request_id`` is never applied twice.

    ``before`` are the fields, of all backends, that it finds; ``undoes`` what was written before;
    a stage that saw a newer leader than ``epoch``'s refuses it. ``cost`` is the price of the
    replicas that it adds, and ``why`` the policy's reason, for whoever looks at what was written.
    """

    request_id: str
    service: str
    time_s: float
    version: str
    asks: tuple[Ask, ...]
    before: tuple[Want, ...] = ()
    undoes: bool = False
    epoch: Epoch = NO_EPOCH
    cost: float = 0.0
    why: str = ""

    @property
    def changes(self) -> bool:
        """Whether replicas or shares may move at once: a floor up to what is there keeps it."""
        floors = {want.name: want.replicas for want in self.before}
        return any(
            ask.floor is None
            or ask.weight is not None
            or not floors.get(ask.backend, ask.floor) <= ask.floor <= ask.wanted
            for ask in self.asks
        )


class Stage(Protocol):
    """Where one service's replicas and route live."""

    def status(self) -> StageReport:
        """What is, now; raises `StageError`."""

    def apply(self, intent: Intent) -> str:
        """Write all or nothing and return the new version.

        Idempotent by request_id; raises `StageMovedError`, `StageRefusedError` or `StageError`.
        """


class Sensor(Protocol):
    """Reads one service's signals."""

    def read(self, report: StageReport) -> Mapping[Signal, Reading]:
        """Return the signals that could be measured now; raises `SensorError`.

        A signal without a valid measurement is left out: it is never reported as zero.
        """


class Policy(Protocol):
    """Maps states to proposals; one object may keep memory from call to call."""

    @property
    def name(self) -> str:
        """Who proposes, as shown to humans and bound into approvals."""

    def propose(self, states: Sequence[State]) -> list[Proposal]:
        """Return one proposal per state, in the same order."""
