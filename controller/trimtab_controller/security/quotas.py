"""How much one caller may ask for: calls per second, and streams at once."""

from __future__ import annotations

import threading
from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from trimtab_controller.protocols import Clock
from trimtab_controller.security.callers import Denied

# A caller may be quiet for a while and then send so many seconds' worth at once.
BURST_S = 2.0
STREAMS = 100
# Unknown callers have an address for a name, and may have many: the longest quiet are forgotten.
CALLERS = 10_000


class TooMany(Denied):
    """More than a caller may ask for; a second later there is room again."""


@dataclass(slots=True)
class Bucket:
    """A token bucket: ``left`` calls as of ``time_s``."""

    left: float
    time_s: float


class Quotas:
    """What every caller has left; threads may share it."""

    def __init__(self, rate_rps: float, clock: Clock) -> None:
        """``clock`` must never go back."""
        self._rate_rps = rate_rps
        self._clock = clock
        self._buckets: OrderedDict[str, Bucket] = OrderedDict()
        self._streams: Counter[str] = Counter()
        self._turn = threading.Lock()

    def spend(self, caller: str) -> None:
        """Take one call; raises `TooMany`."""
        with self._turn:
            bucket = self._filled(caller)
            if bucket.left < 1.0:
                raise TooMany(f"more than {self._rate_rps:g} calls per second", caller)
            bucket.left -= 1.0

    def open_stream(self, caller: str) -> Callable[[object], None]:
        """Take one stream; what it returns gives it back. Raises `TooMany`."""
        with self._turn:
            if self._streams[caller] >= STREAMS:
                raise TooMany(f"{STREAMS} streams are open: end one of them", caller)
            self._streams[caller] += 1
        return lambda _: self._close_stream(caller)

    def _close_stream(self, caller: str) -> None:
        with self._turn:
            self._streams[caller] -= 1
            if not self._streams[caller]:
                del self._streams[caller]

    def _filled(self, caller: str) -> Bucket:
        now_s, most = self._clock(), BURST_S * self._rate_rps
        bucket = self._buckets.setdefault(caller, Bucket(most, now_s))
        self._buckets.move_to_end(caller)
        if len(self._buckets) > CALLERS:
            self._buckets.popitem(last=False)
        bucket.left = min(most, bucket.left + (now_s - bucket.time_s) * self._rate_rps)
        bucket.time_s = now_s
        return bucket
