"""What a tired human must know in five seconds, as one line and what it means."""

from __future__ import annotations

import math
from dataclasses import dataclass

from trimtab_controller.console.feed import Feed, Seen
from trimtab_controller.console.history import measured
from trimtab_controller.up.words import clock_time, duration, mode_name, percent

NO_DATA = "no data"


@dataclass(frozen=True, slots=True)
class Glance:
    """``kind`` is "good", "warn" or "bad"; it comes with a sign of its own, not only a colour."""

    kind: str
    headline: str
    detail: str = ""


def glance(feed: Feed, now_s: float) -> Glance:
    """The most urgent thing that is so now."""
    if feed.away_since_s is not None:
        return _away(feed, now_s)
    if feed.stopped:
        return Glance("bad", "Stopped", "trimtab writes nothing. Your autoscaler carries on.")
    count = len(feed.pending)
    asks = f"{'1 change waits' if count == 1 else f'{count} changes wait'} for approval"
    for name, seen in sorted(feed.services.items()):
        if problem := _problem(seen):
            return Glance("warn", f"{name}: {problem}", f"{asks}." * bool(count))
    if count:
        return Glance("warn", asks, "Nothing of it happens until you answer.")
    return Glance("good", "All calm", f"{_kept(feed)}; nothing waits for you.")


def _away(feed: Feed, now_s: float) -> Glance:
    since_s = feed.away_since_s or now_s
    if not feed.services:
        return Glance(
            "bad", "Waiting for the daemon", "Nothing is known yet. This page reconnects."
        )
    gone = f"for {duration(now_s - since_s)}, since {clock_time(since_s)}"
    meaning = (
        "Nothing is decided or written meanwhile; the service carries on with your autoscaler. "
        "What you see below is from then. This page reconnects by itself."
    )
    return Glance("bad", f"The daemon is away {gone}", meaning)


def _problem(seen: Seen) -> str:
    status, misses = seen.status, measured(seen.status.miss_share)
    if not status.backends or (status.error and not status.decision):
        return f"no decision at the last tick: {status.error or NO_DATA}"
    if seen.limits and misses is not None and misses > allowed_misses(seen.limits.slo.share):
        allowed = percent(allowed_misses(seen.limits.slo.share))
        return f"{percent(misses)} of requests miss, the SLO allows {allowed}"
    if status.error:
        return status.error
    if status.lowered:
        return f"lowered to {mode_name(status.mode)}, {status.lowered}"
    return ""


def _kept(feed: Feed) -> str:
    """How many services keep their SLO, as far as that was measured."""
    told = [measured(seen.status.miss_share) is not None for seen in feed.services.values()]
    kept, unknown = told.count(True), told.count(False)
    within = f"{kept} service{'s' * (kept != 1)} within the SLO"
    return f"{within}, {NO_DATA} of {unknown}" if unknown else within


def allowed_misses(share: float) -> float:
    """What an SLO leaves, without the noise of subtracting binary fractions."""
    return round(1.0 - share, 9)


def shown(value: float | None, text: str) -> str:
    """A number with its unit; what was not measured is no number."""
    return NO_DATA if value is None else text.format(value)


def left(until_s: float, now_s: float) -> str:
    """A countdown: ``4:05``, ``2 h 10 min`` or ``over``."""
    seconds = math.ceil(until_s - now_s)
    if seconds <= 0:
        return "over"
    if seconds < 3600:
        return f"{seconds // 60}:{seconds % 60:02}"
    return f"{seconds // 3600} h {seconds % 3600 // 60} min"
