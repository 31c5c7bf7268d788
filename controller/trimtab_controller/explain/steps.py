"""What a service's utilisation is made of, as series, and which of them stepped before a rise.

A backend's utilisation is load x share x time per request / ready replicas. Logarithms add up, so
the step of each part, in logarithms, says how much of a rise it can account for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import isfinite, log, nan, sqrt
from statistics import median

from trimtab_controller.explain.hindsight import load_rps
from trimtab_guard.model import BackendState, State
from trimtab_sim.profile import BackendProfile

# Ticks that tell how it was before a rise, and how it was when it began.
BEFORE, DURING = 60, 5
# A smaller step is noise.
LEAST = log(1.15)
# Of a bisection: to a millionth.
HALVINGS = 20

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Step:
    """A series went from one level to another at ``time_s``."""

    time_s: float
    before: float
    after: float

    @property
    def effect(self) -> float:
        """The logarithm of what it grew by."""
        return log(self.after / self.before)


def step(points: Sequence[Point], rise_s: float) -> Step | None:
    """How the positive series ``points``, (time, value), stepped up or down before ``rise_s``.

    ``None`` where it did not, or was not measured. Its time is when it last crossed the middle.
    """
    known = [(time_s, value) for time_s, value in points if isfinite(value) and value > 0.0]
    earlier = [point for point in known if point[0] < rise_s][-BEFORE:]
    during = [value for time_s, value in known if time_s >= rise_s][:DURING]
    if not earlier or not during:
        return None
    # The first half tells of before: the step itself may be as early as the second.
    usual = median(value for _, value in earlier[: max(1, len(earlier) // 2)])
    after = median(during)
    if abs(log(after / usual)) < LEAST:
        return None
    middle, up = sqrt(usual * after), after > usual
    crossed_s = rise_s
    for time_s, value in reversed(earlier):
        if (value > middle) is not up:
            break
        crossed_s = time_s
    return Step(crossed_s, usual, after)


def series(states: Sequence[State], value: Callable[[State], float]) -> list[Point]:
    """``value`` of each state, by time."""
    return [(state.time_s, value(state)) for state in states]


def of(backend: str, value: Callable[[BackendState], float]) -> Callable[[State], float]:
    """``value`` of one backend of a state; NaN where it has none of that name."""

    def found(state: State) -> float:
        return next((value(each) for each in state.backends if each.name == backend), nan)

    return found


def share_of(backend: str) -> Callable[[State], float]:
    """What part of the load a backend gets, as measured; the route's where that is not known."""

    def share(state: State) -> float:
        load = load_rps(state)
        rate = of(backend, lambda each: each.rate_rps.value)(state)
        return rate / load if load > 0.0 else of(backend, lambda each: each.weight)(state)

    return share


def served_in_s(profile: BackendProfile) -> Callable[[BackendState], float]:
    """How long a request takes to be served, without the time that it waits for others.

    By Little's law it stays in_flight / rate. Of that, Sakasegawa's formula for a queue with
    several servers tells the waiting apart, so that busier replicas do not look like slower ones.
    An overload hides how slow they are: then it is the least that it can be. NaN without requests.
    """
    slots, exponent = profile.concurrency, sqrt(2.0 * (profile.concurrency + 1)) - 1.0

    def found(backend: BackendState) -> float:
        rate, all_slots = backend.rate_rps.value, slots * max(backend.ready, 1)
        stay_s = backend.in_flight.value / rate if rate > 0.0 else nan
        if not isfinite(stay_s):
            return nan
        low_s, high_s = 0.0, min(stay_s, all_slots / rate)
        for _ in range(HALVINGS):
            served_s = (low_s + high_s) / 2.0
            used = served_s * rate / all_slots
            waited_s = served_s * used**exponent / (slots * (1.0 - used))
            if served_s + waited_s < stay_s:
                low_s = served_s
            else:
                high_s = served_s
        return high_s

    return found
