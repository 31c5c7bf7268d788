"""What a run amounted to, from the stage's own counters and the daemon's: all measured."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from trimtab_proto.v1 import stage_pb2


@dataclass(frozen=True, slots=True)
class Summary:
    """One run.

    ``fleet`` is what was billed over the least that could have done the work, ``miss_share``
    the share of the requests that came late or failed. ``scale_events`` counts replicas started
    and replicas stopped on purpose, the unit of the guard's flap budget; ``route_changes``
    counts the times that Envoy acknowledged other weights.
    """

    requests: int
    miss_share: float
    fleet: float
    scale_events: int
    route_changes: int
    decisions: int
    policy: str
    seconds: float

    def score(self, miss_price: float) -> float:
        """Return J: what is to be as small as possible."""
        return self.fleet + miss_price * self.miss_share

    def as_json(self) -> dict[str, int | float | str]:
        """The fields of ``--json``, rounded to what the measurement is worth."""
        return asdict(self) | {
            "miss_share": round(self.miss_share, 6),
            "fleet": round(self.fleet, 4),
            "seconds": round(self.seconds, 1),
        }


def summarise(
    first: stage_pb2.StageStatus,
    last: stage_pb2.StageStatus,
    *,
    route_changes: int,
    decisions: int,
    policy: str,
) -> Summary:
    """Sum up what happened between two readings of the same stage."""
    requests = last.load.requests - first.load.requests
    misses = last.load.misses - first.load.misses
    return Summary(
        requests=requests,
        miss_share=misses / requests if requests else 0.0,
        fleet=fleet(first, last),
        scale_events=_scale_events(last) - _scale_events(first),
        route_changes=route_changes,
        decisions=decisions,
        policy=policy,
        seconds=last.time_s - first.time_s,
    )


def fleet(first: stage_pb2.StageStatus, last: stage_pb2.StageStatus) -> float:
    """Billed replica-seconds x price over the least cost of the same requests; 0 without any."""
    prices = {backend.name: backend.price for backend in last.profile.backends}
    before = {backend.name: backend.billed_replica_s for backend in first.backends}
    billed = sum(
        (backend.billed_replica_s - before[backend.name]) * prices[backend.name]
        for backend in last.backends
    )
    request_price = min(b.price * b.service_time_s / b.concurrency for b in last.profile.backends)
    requests = last.load.requests - first.load.requests
    return billed / (requests * request_price) if requests else 0.0


def _scale_events(status: stage_pb2.StageStatus) -> int:
    return sum(backend.started + backend.stopped for backend in status.backends)
