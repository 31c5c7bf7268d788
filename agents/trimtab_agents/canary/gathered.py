"""Ticks that are too short to be a look of their own.

Requests of two ticks are strangers only when the first ones are gone: a second of a service that
takes five to answer says little that the second before did not. So ticks are put together until
some latencies have gone by.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from trimtab_agents.canary.reading import Side

# Mean latencies of the old side that make a look.
LATENCIES = 2.0


@dataclass(frozen=True, slots=True)
class Gathered:
    """Both sides over the ticks since ``since_s``, the end of the last one before them."""

    since_s: float
    ticks: int
    old: Side
    new: Side

    def and_(self, old: Side, new: Side) -> Gathered:
        """With one tick more."""
        return Gathered(
            self.since_s,
            self.ticks + 1,
            self._together(self.old, old),
            self._together(self.new, new),
        )

    def is_look(self, latency_s: float) -> bool:
        """Whether that was long enough, where answers take so long."""
        return self.old.time_s - self.since_s >= LATENCIES * latency_s

    def _together(self, before: Side, now: Side) -> Side:
        """Answers add up; what was inside is the mean over the ticks."""
        inside = (self.ticks * before.saturation + now.saturation) / (self.ticks + 1)
        return replace(
            now,
            latency=before.latency.and_(now.latency),
            answers=before.answers + now.answers,
            errors=before.errors + now.errors,
            in_flight=inside * now.ready,
        )
