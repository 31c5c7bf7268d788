"""A line for each service, above all else: is it well, and how far may trimtab go?"""

from __future__ import annotations

from trimtab_controller.console.desk import Desk
from trimtab_controller.console.glance import NO_DATA, allowed_misses
from trimtab_controller.console.history import sample
from trimtab_controller.console.parts import Tag
from trimtab_controller.up.words import mode_name, percent, rate
from trimtab_proto.v1 import controller_pb2 as pb


class Line:
    """The line of the service ``name``, which leads to its card."""

    def __init__(self, desk: Desk, name: str) -> None:
        self._desk = desk
        self._name = name
        with Tag("a", "line", href=f"#service-{name}"):
            Tag("strong", "", name)
            self._mode = Tag("span", "mode")
            self._load, self._misses, self._replicas = (Tag("span", "fact") for _ in range(3))
            self._lowered = Tag("span", "quiet")

    def draw(self) -> None:
        """Show how it is now."""
        seen = self._desk.feed.services[self._name]
        status, now = seen.status, sample(seen.status)
        show_mode(self._mode, status)
        self._load.say(f"load: {NO_DATA}" if now.load_rps is None else rate(now.load_rps))
        misses = (
            f"misses: {NO_DATA}" if now.miss_share is None else f"{percent(now.miss_share)} miss"
        )
        limit = _allowed(seen.limits) if seen.limits else ""
        self._misses.say(misses + limit)
        if now.ready is None:
            self._replicas.say(f"replicas: {NO_DATA}")
        else:
            self._replicas.say(f"{now.ready:.0f} of {now.wanted:.0f} replicas ready")
        self._lowered.say("" if status.stopped else status.lowered)


def _allowed(limits: pb.ServiceLimits) -> str:
    return f" (SLO allows {percent(allowed_misses(limits.slo.share))})"


def show_mode(spot: Tag, status: pb.ServiceStatus) -> None:
    """The mode that holds, or that nothing is written at all."""
    mode = "STOPPED" if status.stopped else mode_name(status.mode)
    spot.say(mode)
    spot.dress(f"mode {mode.lower()}")
