"""Everything that was seen of a run so far: what the view draws and the summary adds up."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from trimtab_controller.up.notes import Notes
from trimtab_controller.up.summary import Summary, summarise
from trimtab_proto.v1 import controller_pb2, stage_pb2

HISTORY_S = 180.0
NOW_S = 5.0


@dataclass(frozen=True, slots=True)
class Sample:
    """One moment of the history."""

    time_s: float
    offered_rps: float
    ready: int
    requests: int
    misses: int


@dataclass(slots=True)
class Record:
    """What stage and daemon said, in the order in which it arrived.

    ``stage`` is the stage's latest status and ``first`` the one when everything served at last;
    ``daemon`` is the daemon's latest, kept while it is away (then ``away`` says why).
    """

    miss_price: float
    first: stage_pb2.StageStatus | None = None
    stage: stage_pb2.StageStatus | None = None
    daemon: controller_pb2.ServiceStatus | None = None
    away: str = ""
    pending: Sequence[controller_pb2.Envelope] = ()
    route_changes: int = 0
    history: deque[Sample] = field(default_factory=deque)
    notes: Notes = field(default_factory=Notes)

    def begin(self) -> None:
        """Measure from here on: everything serves."""
        self.first, self.route_changes = self.stage, 0

    def see_stage(self, status: stage_pb2.StageStatus) -> None:
        """Take in the stage's status."""
        if self.stage is not None:
            self.route_changes += _weights(status) != _weights(self.stage)
        self.stage = status
        load, ready = status.load, sum(backend.ready for backend in status.backends)
        self.history.append(
            Sample(status.time_s, load.offered_rps, ready, load.requests, load.misses)
        )
        while self.history[0].time_s < status.time_s - HISTORY_S:
            self.history.popleft()

    def see_daemon(
        self,
        status: controller_pb2.ServiceStatus,
        pending: Sequence[controller_pb2.Envelope] = (),
    ) -> None:
        """Take in one tick of the daemon; the same answer again only counts up."""
        self.daemon, self.pending, self.away = status, pending, ""
        self.notes.see(status)

    def tell(self, time_s: float, text: str, why: str = "") -> None:
        """Take in something that happened to the daemon itself."""
        self.notes.tell(time_s, text, why)

    @property
    def miss_share_now(self) -> float:
        """Misses over requests in the last few seconds, by the stage's own count."""
        if not self.history:
            return 0.0
        now = self.history[-1]
        then = next(sample for sample in self.history if sample.time_s >= now.time_s - NOW_S)
        return (now.misses - then.misses) / max(1, now.requests - then.requests)

    def summary(self) -> Summary | None:
        """What the run amounts to so far; ``None`` before it has begun."""
        if self.first is None or self.stage is None:
            return None
        daemon = self.daemon or controller_pb2.ServiceStatus()
        return summarise(
            self.first,
            self.stage,
            route_changes=self.route_changes,
            decisions=daemon.decisions,
            policy=daemon.policy,
        )


def _weights(status: stage_pb2.StageStatus) -> list[tuple[str, float]]:
    return [(backend.name, round(backend.weight, 6)) for backend in status.backends]
