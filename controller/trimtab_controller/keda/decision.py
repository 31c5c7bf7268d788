"""The number that a trigger reports, or why there is none.

KEDA reads NaN and what is negative as no load, and the HPA obeys every number. So a number is only
given for a decision that is fresh, rests on readings that are fresh, and is not a hold.
"""

from __future__ import annotations

import math

from trimtab_controller.keda.trigger import Metric, Trigger
from trimtab_controller.memory import TickRecord
from trimtab_controller.refusals import InDoubtError
from trimtab_guard.model import State, Verdict
from trimtab_guard.modes import Mode
from trimtab_guard.reasons import Code

DOUBTS = {Code.STALE, Code.FROZEN, Code.INVALID, Code.BLIND}
# What lowers a wish for more: nothing is added on top of what these allow.
CEILINGS = {Code.MAX_REPLICAS, Code.RATE_UP, Code.BUDGET}


def replicas(trigger: Trigger, tick: TickRecord | None, now_s: float) -> int:
    """What the HPA is to be told; raises `InDoubtError`."""
    state, verdict = _sound(trigger, tick, now_s)
    wanted = sum(want.replicas for want in verdict.backends if want.name in trigger.backends)
    present = sum(b.wanted for b in state.backends if b.name in trigger.backends)
    if trigger.mode is Mode.ASSIST:
        wanted = max(wanted, present)
    capped = any(r.code in CEILINGS and r.backend in trigger.backends for r in verdict.reasons)
    if trigger.metric is Metric.EXACT or capped:
        return wanted
    return past_tolerance(wanted, present, _most(trigger))


def past_tolerance(wanted: int, present: int, most: int) -> int:
    """``wanted``, or the least above it that makes the HPA add any, up to ``most``.

    Within 10 % of what is there it does nothing: 20 stay 20 when 21 or 22 are wanted, and 23 is the
    first that it goes to. Down there is no such need: what stays is at most a tenth too much.
    """
    if wanted <= present:
        return wanted
    return max(wanted, min(present + present // 10 + 1, most))


def _most(trigger: Trigger) -> int:
    limits = trigger.service.limits.backends
    return sum(backend.max_replicas for backend in limits if backend.name in trigger.backends)


def _sound(trigger: Trigger, tick: TickRecord | None, now_s: float) -> tuple[State, Verdict]:
    """The state and the verdict of a tick that may be acted on."""
    name, stale_s = trigger.service.name, trigger.service.limits.stale_s
    if tick is None:
        raise InDoubtError("NO_DECISION", f"{name}: nothing was decided yet")
    if not abs(now_s - tick.time_s) <= stale_s:
        raise InDoubtError(
            "STALE", f"{name}: decided {now_s - tick.time_s:.0f} s ago: does it hang?"
        )
    if tick.state is None or tick.verdict is None or not tick.verdict.backends:
        raise InDoubtError("HELD", f"{name}: held: {tick.error or 'the present is not known'}")
    if late := _late(tick.state, stale_s):
        raise InDoubtError("STALE", f"{name}: {late} was not measured for {stale_s:g} s")
    for reason in tick.verdict.reasons:
        if reason.code in DOUBTS:
            raise InDoubtError(reason.code, f"{name}: held: a reading is {reason.code}")
    return tick.state, tick.verdict


def _late(state: State, stale_s: float) -> str:
    """The first needed reading that is missing or too old."""
    for backend in state.backends:
        for signal in ("rate_rps", "in_flight"):
            reading = getattr(backend, signal)
            fresh = abs(state.time_s - reading.time_s) <= stale_s
            if not (fresh and math.isfinite(reading.value)):
                return f"{signal} of {backend.name}"
    return ""
