"""The last ten minutes of one service, in slots cut by the clock, so that charts move on calmly.

What was not measured is ``None``, and a slot without a tick is a hole: neither is ever a zero.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from trimtab_proto.v1 import controller_pb2 as pb

SPAN_S = 600.0
SLOT_S = 4.0
SLOTS = int(SPAN_S / SLOT_S)

# Where it is in the span, 0 to 1, and how much it was.
Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Sample:
    """What one tick measured: requests per second, replicas, share of misses, 95th percentile."""

    load_rps: float | None = None
    ready: float | None = None
    wanted: float | None = None
    miss_share: float | None = None
    p95_ms: float | None = None


def sample(status: pb.ServiceStatus) -> Sample:
    """What a status measured; nothing when its tick could not see the service."""
    if not status.backends:
        return Sample()
    return Sample(
        load_rps=measured(sum(backend.rate_rps for backend in status.backends)),
        ready=sum(backend.ready for backend in status.backends),
        wanted=sum(backend.wanted for backend in status.backends),
        miss_share=measured(status.miss_share),
        p95_ms=measured(status.p95_ms),
    )


def measured(value: float) -> float | None:
    """A reading, or ``None``: the daemon sends NaN for what was not measured."""
    return value if math.isfinite(value) and value >= 0 else None


@dataclass(slots=True)
class History:
    """The samples of the last slots; of a slot, its last one counts, but the most misses."""

    _slots: deque[tuple[int, Sample]] = field(default_factory=deque)

    def add(self, time_s: float, now: Sample) -> None:
        """Take in a tick; one from before the last slot is too late."""
        slot = int(time_s // SLOT_S)
        last, before = self._slots[-1] if self._slots else (slot - 1, Sample())
        if slot < last:
            return
        if slot == last:
            self._slots.pop()
            now = _merged(before, now)
        self._slots.append((slot, now))
        while self._slots[0][0] <= slot - SLOTS:
            self._slots.popleft()

    def lines(self, value: Callable[[Sample], float | None], now_s: float) -> Iterator[list[Point]]:
        """The points of a series, a new line after each hole; 1.0 is now."""
        first = int(now_s // SLOT_S) - SLOTS + 1
        line: list[Point] = []
        expected = None
        for slot, shown in self._slots:
            number = value(shown)
            if line and (number is None or slot != expected):
                yield line
                line = []
            if number is not None and slot >= first:
                line.append(((slot - first) / (SLOTS - 1), number))
            expected = slot + 1
        if line:
            yield line


def _merged(before: Sample, now: Sample) -> Sample:
    misses = [share for share in (before.miss_share, now.miss_share) if share is not None]
    return Sample(now.load_rps, now.ready, now.wanted, max(misses) if misses else None, now.p95_ms)
