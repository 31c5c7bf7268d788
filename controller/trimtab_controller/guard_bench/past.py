"""What a guard with a perfect memory would know: all that was shown, proposed and done.

Nothing is summarised, and nothing but the promise that the memory is an hour long is forgotten.
Written from SAFETY.md; it shares data types with the guard, and no code.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from trimtab_guard.model import Proposal, Reading, State

LARGEST, WHOLE, SKEW_S, HOUR_S = 1e9, 1 + 1e-6, 1.0, 3600.0
FROZEN_AFTER = 30

Log = list[tuple[float, float]]
"""(time_s, value) in order of time."""


def within(value: float, most: float) -> bool:
    """Whether ``value`` is possible; NaN and infinity never are."""
    return math.isfinite(value) and 0 <= value <= most


def is_count(value: float) -> bool:
    """Whether there can be so many replicas."""
    return within(value, LARGEST) and float(value).is_integer()


def since(log: Log, from_s: float) -> Iterator[float]:
    """What was noted at or after ``from_s``, latest first."""
    for time_s, value in reversed(log):
        if time_s < from_s:
            return
        yield value


def in_force(log: Log, from_s: float) -> Iterator[float]:
    """Every level that held at or after ``from_s``, or ended just then, latest first."""
    for time_s, value in reversed(log):
        yield value
        if time_s < from_s:
            return


@dataclass(slots=True)
class Signal:
    """The last reading that could be believed; ``equal`` times in a row it was this value."""

    value: float
    time_s: float
    moved_s: float
    equal: int = 1

    def take(self, value: float, time_s: float) -> None:
        """A newer reading."""
        if value != self.value:
            self.value, self.moved_s, self.equal = value, time_s, 1
        elif time_s > self.time_s:
            self.equal += 1
        self.time_s = time_s

    @property
    def rests(self) -> bool:
        """Whether it has stood still for suspiciously long."""
        return self.equal >= FROZEN_AFTER


@dataclass(slots=True)
class Past:
    """One service's past; ``before_s`` is the clock as it was seen before the latest state."""

    now_s: float
    before_s: float = field(init=False)
    heard_s: float = field(init=False)
    proposed_s: float = 0.0
    strayed_s: float = 0.0
    names: list[str] = field(default_factory=list)
    levels: dict[str, Log] = field(default_factory=lambda: defaultdict(list))
    shares: dict[str, Log] = field(default_factory=lambda: defaultdict(list))
    asked: dict[str, Log] = field(default_factory=lambda: defaultdict(list))
    loads: Log = field(default_factory=list)
    dark: Log = field(default_factory=list)
    signals: dict[str, Signal] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.before_s = self.now_s
        self.heard_s = self.now_s - HOUR_S

    def see(self, state: State) -> None:
        """``state`` was shown to the guard, whether it can be believed or not."""
        self.before_s = self.now_s
        if not math.isfinite(state.time_s):
            return
        self._set_clock(state.time_s)
        self.names = [backend.name for backend in state.backends]
        for name, reading, most, _ in readings(state):
            self._read(name, reading, most)
        for backend in state.backends:
            levels, shares = self.levels[backend.name], self.shares[backend.name]
            read_s = min(state.replicas_time_s, self.now_s)
            if is_count(backend.wanted) and self._is_news(levels, state):
                _add(levels, read_s, backend.wanted)
            if within(backend.weight, WHOLE) and self._is_news(shares, state):
                shares.append((read_s, backend.weight))
        rates = [backend.rate_rps.value for backend in state.backends]
        if all(within(rate, LARGEST) for rate in rates):
            self.loads.append((self.now_s, sum(rates)))
        believed_s = (self.believed_s(name) for name, _, _, needed in readings(state) if needed)
        self.dark.append((self.now_s, self.now_s - min(self.heard_s, *believed_s, math.inf)))

    def hear(self, proposal: Proposal) -> None:
        """``proposal`` was in force at the latest state; a broken one is none."""
        if not self.is_sound(proposal, self.names, self.now_s):
            return
        self.proposed_s = proposal.time_s
        if not proposal.in_envelope:
            self.strayed_s = self.now_s
            return
        self.heard_s = self.now_s
        for want in proposal.backends:
            self.asked[want.name].append((self.now_s, want.replicas))

    def change(self, time_s: float, name: str, before: int, after: int) -> None:
        """Replicas were really changed."""
        for level in (before, after):
            _add(self.levels[name], time_s, level)

    def is_sound(self, proposal: Proposal, names: Iterable[str], now_s: float) -> bool:
        """Whether ``proposal`` is for just these backends, possible, and in order."""
        return (
            sorted(want.name for want in proposal.backends) == sorted(names)
            and all(is_count(w.replicas) and within(w.weight, WHOLE) for w in proposal.backends)
            and (not proposal.backends or any(want.weight for want in proposal.backends))
            and self.proposed_s <= proposal.time_s <= now_s + SKEW_S
        )

    def is_frozen(self, name: str) -> bool:
        """A rate rests while its requests in flight move, or, unless it is zero, another rate."""
        backend, _, kind = name.rpartition(".")
        rate = self.signals.get(name)
        if kind != "rate_rps" or rate is None or not rate.rests:
            return False
        return any(
            not witness.rests and (of == f"{backend}.in_flight" or rate.value > 0)
            for of, witness in self.signals.items()
            if of == f"{backend}.in_flight" or of.endswith(".rate_rps")
        )

    def believed_s(self, name: str) -> float:
        """Up to which event time a signal is known; 0 when it never was."""
        signal = self.signals.get(name)
        if signal is None:
            return 0.0
        return signal.moved_s if self.is_frozen(name) else signal.time_s

    def _read(self, name: str, reading: Reading, most: float) -> None:
        last = self.signals.get(name)
        after_s = last.time_s if last else 0.0
        if within(reading.value, most) and after_s <= reading.time_s <= self.now_s + SKEW_S:
            time_s = min(reading.time_s, self.now_s)
            if last:
                last.take(reading.value, time_s)
            else:
                self.signals[name] = Signal(reading.value, time_s, time_s)

    def _is_news(self, log: Log, state: State) -> bool:
        """Whether counts and shares were not read before the last entry."""
        return (log[-1][0] if log else 0.0) <= state.replicas_time_s <= self.now_s + SKEW_S

    def _set_clock(self, now_s: float) -> None:
        """What seemed to lie ahead happened now; what is older than an hour is forgotten."""
        if now_s < self.now_s:
            named = (*self.levels.values(), *self.shares.values(), *self.asked.values())
            for log in (*named, self.loads, self.dark):
                log[:] = [(min(time_s, now_s), value) for time_s, value in log]
            for signal in self.signals.values():
                signal.time_s = min(signal.time_s, now_s)
                signal.moved_s = min(signal.moved_s, now_s)
            self.dark.append((now_s, self.heard_s - now_s))
        self.heard_s = min(self.heard_s, now_s)
        self.proposed_s = min(self.proposed_s, now_s)
        self.strayed_s = min(self.strayed_s, now_s)
        self.signals = {n: s for n, s in self.signals.items() if s.time_s >= now_s - HOUR_S}
        self.now_s = now_s


def readings(state: State) -> Iterator[tuple[str, Reading, float, bool]]:
    """(name, reading, largest value, whether it is needed) of every signal."""
    for backend in state.backends:
        yield f"{backend.name}.rate_rps", backend.rate_rps, LARGEST, True
        yield f"{backend.name}.in_flight", backend.in_flight, LARGEST, True
    yield "p50_ms", state.p50_ms, LARGEST, False
    yield "p95_ms", state.p95_ms, LARGEST, False
    yield "miss_share", state.miss_share, WHOLE, False


def _add(log: Log, time_s: float, value: float) -> None:
    if not log or log[-1][1] != value:
        log.append((max(time_s, log[-1][0]) if log else time_s, value))
