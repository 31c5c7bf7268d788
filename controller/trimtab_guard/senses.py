"""Which readings may be believed.

A broken metric must never look like no load: a reading that is impossible, or that stands
still while the world moves, is as if it had not come, and its signal simply grows old.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cache
from typing import NamedTuple

from trimtab_guard.limits import LONGEST_WINDOW_S, Limits
from trimtab_guard.model import Reading, State
from trimtab_guard.reasons import Code

LARGEST = 1e9
"""No rate, count or latency in ms of a service is larger; a bigger one is a fault."""
WHOLE_SHARE = 1.0 + 1e-6
"""The largest share of a route, rounding included."""
SKEW_S = 1.0
"""How far the clocks of two machines may be apart."""
FROZEN_READINGS = 30
"""So many equal rates in a row, while other signals move, are a frozen exporter."""


Signal = tuple[str, Reading, float, bool]
"""A name, its reading, the largest value, and whether it is needed: else it may be missing, as NaN.

A plain tuple: each service has five of them, twice a tick.
"""


class Known(NamedTuple):
    """The last believable reading of a signal, and how long it has stood still."""

    value: float
    time_s: float
    moved_s: float
    equal: int


UNKNOWN = Known(math.nan, 0.0, 0.0, 0)
"""Of a signal that was never believable."""


class Doubt(NamedTuple):
    """Why a signal is not trusted: INVALID, FROZEN, STALE or BLIND, and its age in seconds."""

    code: Code
    signal: str
    age_s: float


def possible(value: float, most: float = LARGEST) -> bool:
    """False for NaN, infinite, negative (a counter was reset) and out of range, in one look."""
    return 0.0 <= value <= most


def countable(value: float) -> bool:
    """Whether ``value`` can be a number of replicas."""
    return 0.0 <= value <= LARGEST and value % 1 == 0


def signals(state: State) -> list[Signal]:
    """Every signal of a state.

    Latencies and misses may be missing: a service that is idle, or so overloaded that it
    answers nothing, has none, and the second is no time to stop scaling.
    """
    found: list[Signal] = []
    for backend in state.backends:
        rate, in_flight = _names(backend.name)
        found.append((rate, backend.rate_rps, LARGEST, True))
        found.append((in_flight, backend.in_flight, LARGEST, True))
    found.append(("p50_ms", state.p50_ms, LARGEST, False))
    found.append(("p95_ms", state.p95_ms, LARGEST, False))
    found.append(("miss_share", state.miss_share, WHOLE_SHARE, False))
    return found


@cache
def _names(backend: str) -> tuple[str, str]:
    """Of its rate and its requests in flight: put together once, not thousands of times a tick.

    No more than there are backends: a caller's report is refused where it names others.
    """
    return f"{backend}.rate_rps", f"{backend}.in_flight"


def learn(known: Mapping[str, Known], seen: Sequence[Signal], now_s: float) -> dict[str, Known]:
    """What is known after ``seen`` at ``now_s``: believable readings replace older ones.

    Times of a clock that has been set back are cut to ``now_s``, and what is older than the
    longest window is forgotten.
    """
    oldest_s, latest_s = now_s - LONGEST_WINDOW_S, now_s + SKEW_S
    learned = {
        # What was read by now has moved no later.
        name: old if old.time_s <= now_s else _cut(old, now_s)
        for name, old in known.items()
        if old.time_s >= oldest_s
    }
    for name, (value, time_s), most, _ in seen:
        if possible(value, most):
            old = learned.get(name, UNKNOWN)
            if old.time_s <= time_s <= latest_s:
                learned[name] = _after(old, value, min(time_s, now_s))
    return learned


def _cut(old: Known, now_s: float) -> Known:
    return Known(old.value, now_s, min(old.moved_s, now_s), old.equal)


def _after(old: Known, value: float, time_s: float) -> Known:
    if value != old.value:
        return Known(value, time_s, time_s, 1)
    is_new = time_s > old.time_s
    return Known(value, time_s, old.moved_s, old.equal + is_new)


def frozen(name: str, known: Mapping[str, Known]) -> bool:
    """Whether a rate has stood still while a witness moved.

    Its own backend's requests in flight are a witness, and so are the other rates, except
    against a rate of zero: a backend may be idle while others work. Requests in flight may
    rest (idle, or long streams) and are never accused.
    """
    if known.get(name, UNKNOWN).equal < FROZEN_READINGS:
        return False
    backend, _, kind = name.rpartition(".")
    if kind != "rate_rps":
        return False
    witnesses = [f"{backend}.in_flight"]
    if known[name].value > 0:
        witnesses += [other for other in known if other.endswith(".rate_rps")]
    return any(known[other].equal < FROZEN_READINGS for other in witnesses if other in known)


def believed_s(name: str, known: Mapping[str, Known]) -> float:
    """Event time up to which a signal can be believed; 0 when it never could."""
    last = known.get(name, UNKNOWN)
    return last.moved_s if frozen(name, known) else last.time_s


def trusted_s(known: Mapping[str, Known], seen: Sequence[Signal]) -> float:
    """Event time up to which every needed one of the signals ``seen`` can be believed."""
    needed = [believed_s(name, known) for name, _, _, is_needed in seen if is_needed]
    return min(needed, default=0.0)


def doubts(
    state: State, known: Mapping[str, Known], limits: Limits, now_s: float
) -> tuple[Doubt, ...]:
    """The signals of ``state`` that are not trusted, ``known`` having learned from it."""
    found = []
    for name, (value, _), _, needed in signals(state):
        last = known.get(name, UNKNOWN)
        believable = last.value == value
        if not needed and (believable or math.isnan(value)):
            continue
        is_frozen = frozen(name, known)
        age_s = now_s - (last.moved_s if is_frozen else last.time_s)
        code = _doubt(age_s, limits, believable=believable, is_frozen=is_frozen)
        if code:
            found.append(Doubt(code, name, age_s))
    return tuple(found)


def _doubt(age_s: float, limits: Limits, *, believable: bool, is_frozen: bool) -> Code | None:
    if age_s > limits.blind_s:
        return Code.BLIND
    if not believable:
        return Code.INVALID
    if is_frozen:
        return Code.FROZEN
    return Code.STALE if age_s > limits.stale_s else None
