"""Numbers, changes and reasons as the short words that a tired human reads."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from itertools import groupby
from math import isfinite

from trimtab_guard.modes import Change
from trimtab_guard.reasons import Code
from trimtab_proto.v1 import controller_pb2

BLOCKS = "▁▂▃▄▅▆▇█"

# Why the guard changed a proposal; the numbers before and after are added where they help.
WORDS: dict[str, str] = {
    Code.NOT_LISTED: "names something that the limits do not list",
    Code.CLOCK: "the clock went backwards",
    Code.UNSEEN: "the stage's counts are missing, wrong or too old",
    Code.MISMATCH: "the proposal names the wrong service or backends",
    Code.BAD_VALUE: "the proposal holds an impossible number",
    Code.OUT_OF_ORDER: "the proposal is older than one already seen",
    Code.EXPIRED: "the proposal is too old",
    Code.ENVELOPE: "the policy was not trained for this: baseline rule, upward only",
    Code.INVALID: "a signal is impossible",
    Code.FROZEN: "a signal has stopped moving",
    Code.STALE: "a signal is stale: hold",
    Code.BLIND: "no fresh signal for too long: baseline rule, upward only",
    Code.ROUTE_HELD: "the route is held while signals are in doubt",
    Code.MIN_REPLICAS: "the least allowed",
    Code.MAX_REPLICAS: "the most allowed",
    Code.ROUTED: "its route share must go first",
    Code.DISRUPTION: "the least that the disruption budget allows",
    Code.ROLLOUT: "nothing moves during a rollout",
    Code.NO_HISTORY: "no scale-down before a full window of history",
    Code.DROP: "the load fell too suddenly to scale down",
    Code.HOLD: "scale down only to the window's highest wish",
    Code.RATE_UP: "no faster up",
    Code.RATE_DOWN: "no faster down",
    Code.FLAP: "too many starts and stops",
    Code.WEIGHT_SUM: "shares must add up to 1",
    Code.NOT_READY: "no share without ready replicas",
    Code.CAPACITY: "no more load than its replicas carry",
    Code.WEIGHT_STEP: "share moves in small steps",
    Code.BUDGET: "the budget of all services is spent",
    Code.CROWD: "enough services change at once",
    Code.REGRESSION: "put back after a regression",
    Code.STOPPED: "trimtab is stopped",
    Code.FOREIGN_WRITER: "somebody else changed what trimtab steers",
    Code.DEPOSED: "another trimtab leads",
    Code.NOT_LEADING: "not the leader now",
    Code.LATE: "too late after the decision",
    Code.LEASE: "the autonomy lease does not hold",
    Code.COOLING: "cooling down after a rollback",
    Code.FREEZE: "a freeze is on",
    Code.CLOSED: "outside the allowed windows",
}
REPLICAS = {
    Code.MIN_REPLICAS, Code.MAX_REPLICAS, Code.ROUTED, Code.NO_HISTORY, Code.HOLD, Code.RATE_UP,
    Code.RATE_DOWN, Code.FLAP, Code.BUDGET,
}  # fmt: skip
SHARES = {Code.NOT_READY, Code.CAPACITY, Code.WEIGHT_STEP}


def mode_name(mode: int) -> str:
    """``guarded`` for MODE_GUARDED."""
    return str(controller_pb2.Mode.Name(mode)).removeprefix("MODE_").lower()


def clock_time(time_s: float) -> str:
    """Wall-clock time of day, in the local zone."""
    return f"{datetime.fromtimestamp(time_s):%H:%M:%S}"


def duration(seconds: float) -> str:
    """``2:05``, or ``1:02:05`` from an hour on, with days from a day on."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if not hours:
        return f"{minutes}:{rest:02}"
    days, hours = divmod(hours, 24)
    clock = f"{hours}:{minutes:02}:{rest:02}"
    return f"day {days + 1}, {clock}" if days else clock


def percent(share: float) -> str:
    """Whole percents from ten on, one decimal below, and never 0 for what is not nothing."""
    if 0.0 < share < 0.0005:
        return "<0.1 %"
    return f"{share:.0%}".replace("%", " %") if share >= 0.0995 else f"{share * 100:.1f} %"


def rate(rps: float) -> str:
    """Requests per second: a decimal only where it matters."""
    return f"{rps:.1f} rps" if 0.0 < rps < 10.0 else f"{rps:,.0f} rps"


def sparkline(points: Iterable[tuple[float, float]], block_s: float) -> str:
    """One block per ``block_s`` seconds of (time, value), as high as the largest value in it.

    Blocks are cut by the clock, so that the picture moves on and does not boil.
    """
    blocks = [
        max(value for _, value in part)
        for _, part in groupby(points, key=lambda point: int(point[0] / block_s))
    ]
    top = max(blocks, default=0.0)
    steps = len(BLOCKS) - 1
    return "".join(BLOCKS[round(steps * value / top)] if top else BLOCKS[0] for value in blocks)


def change(status: controller_pb2.ServiceStatus) -> str:
    """From what is to what was decided: ``on-demand 8→10 · spot 36→40 %``."""
    present = {backend.name: backend for backend in status.backends}
    moves = [_move(present.get(wish.name), wish) for wish in status.decision]
    kept = "keep " + " · ".join(f"{wish.name} {wish.replicas}" for wish in status.decision)
    return " · ".join(move for move in moves if move) or kept


def _move(now: controller_pb2.BackendStatus | None, wish: controller_pb2.BackendDecision) -> str:
    replicas, share = str(wish.replicas), f"{wish.weight * 100:.0f}"
    was_replicas, was_share = (
        (str(now.wanted), f"{now.weight * 100:.0f}") if now is not None else ("", "")
    )
    moves = [f"{was_replicas}→{replicas}"] if replicas != was_replicas else []
    moves += [f"{was_share}→{share} %"] if share != was_share else []
    return f"{wish.name} {', '.join(moves)}" if moves else ""


def reason(reason: controller_pb2.GuardReason) -> str:
    """One limit in words: ``no faster up (spot 9→6)``; an unknown code as it is."""
    code = reason.code
    if code in REPLICAS:
        numbers = f" {reason.before:.0f}→{reason.after:.0f}"
    elif code in SHARES:
        numbers = f" {reason.before * 100:.0f}→{reason.after * 100:.0f} %"
    else:
        numbers = ""
    what = f"{reason.backend}{numbers}".strip()
    return WORDS.get(code, code) + (f" ({what})" if what else "")


def reasons(changes: Sequence[controller_pb2.GuardReason]) -> str:
    """Each limit once, with all the backends that it changed: ``no faster up (spot 9→6)``."""
    return "; ".join(reason(change) for change in changes)


def asked(envelope: controller_pb2.Envelope) -> str:
    """What an approval would grant: ``web/spot scale-up, 2 to 12 replicas, until 15:00:00``."""
    if envelope.change == Change.ROUTE:
        bounds = f"{envelope.min_weight * 100:.0f} to {envelope.max_weight * 100:.0f} %"
    elif envelope.change == Change.RESTART:
        bounds = f"all {envelope.max_replicas} replicas one by one"
    else:
        bounds = f"{envelope.min_replicas} to {envelope.max_replicas} replicas"
    until = clock_time(envelope.expires_s)
    return f"{envelope.service}/{envelope.backend} {envelope.change}, {bounds}, until {until}"


def effect_words(metric: str, worse: float, *bounds: float) -> str:
    """How much worse a version is in one thing, and between which bounds."""
    low, high = (f"{end:+.1%}" if isfinite(end) else "?" for end in bounds)
    return f"{metric} {worse:+.1%} ({low} to {high})"


def variant_words(
    result: controller_pb2.VariantResult, variant: controller_pb2.Variant | None
) -> str:
    """How a variant does; without one, what is live: "v1 threads=8, 1 replica: measuring, …"."""
    settings = sorted(variant.settings.items()) if variant else ()
    named = " ".join((result.name, *(f"{name}={value:g}" for name, value in settings)))
    unit = "replica" if result.replicas == 1 else "replicas"
    how = f"{named}, {result.replicas:.3g} {unit}: {result.step}"
    if not result.requests:
        return how
    missed = result.misses / result.requests
    return f"{how}, {result.requests} requests, {missed:.1%} missed, p95 {result.p95_ms:.0f} ms"
