"""How near the limits are: the nearest in words, and all of them behind a fold."""

from __future__ import annotations

from collections.abc import Sequence

from trimtab_controller.console.desk import Desk
from trimtab_controller.console.glance import NO_DATA
from trimtab_controller.console.parts import Tag
from trimtab_guard.reasons import Code
from trimtab_proto.v1 import controller_pb2 as pb

# What counts up towards each limit; `{}` is where the backend's name goes.
WORDS = {
    Code.MAX_REPLICAS: "{} replicas",
    Code.RATE_UP: "{} replicas added",
    Code.RATE_DOWN: "{} replicas removed",
    Code.FLAP: "{} starts and stops, way back included,",
    Code.WEIGHT_STEP: "{} points of the route moved",
    Code.BUDGET: "all services: cost of new replicas",
    Code.CROWD: "all services: services changed",
}
# Above this share a limit is near.
NEAR = 0.8
# What the default budget amounts to: none.
UNLIMITED = 1e9


class Limits:
    """The limits of the service ``name`` and those that it shares."""

    def __init__(self, desk: Desk, name: str) -> None:
        self._desk = desk
        self._name = name
        self._bars: list[Bar] = []
        with Tag("details", "limits"):
            self._nearest = Tag("summary")
            self._list = Tag("div", "bars")

    def draw(self) -> None:
        """Show how much of each is used now."""
        feed = self._desk.feed
        own = feed.services[self._name].limits
        uses = [use for use in (*(own.uses if own else ()), *feed.shared) if use.most < UNLIMITED]
        self._nearest.say(nearest(uses))
        if len(uses) != len(self._bars):
            self._list.clear()
            with self._list:
                self._bars = [Bar() for _ in uses]
        for bar, use in zip(self._bars, uses, strict=True):
            bar.draw(use)


class Bar:
    """One limit: what it is about, how much is used, and the same as a bar."""

    def __init__(self) -> None:
        with Tag("div", "use"):
            self._words = Tag("span")
            self._numbers = Tag("span", "number")
            self._bar = Tag("meter", "", min="0", low="0", high=str(NEAR), max="1", optimum="0")

    def draw(self, use: pb.LimitUse) -> None:
        """Show one use."""
        self._words.say(words(use))
        self._numbers.say(numbers(use))
        self._bar.put(value=f"{fullness(use):.2f}", aria_label=f"{words(use)} {numbers(use)}")


def nearest(uses: Sequence[pb.LimitUse]) -> str:
    """The limit that will be met first, in one line."""
    if not uses:
        return f"Limits: {NO_DATA} yet"
    use = max(uses, key=fullness)
    if fullness(use) >= 1.0:
        return f"Limits: one is met: {words(use)}, {numbers(use)}"
    return f"Limits: none met. Nearest: {words(use)}, {numbers(use)}"


def fullness(use: pb.LimitUse) -> float:
    """How much of it is used, 0 to 1; where nothing is allowed, it is full only once used."""
    if use.most <= 0:
        return float(use.used > 0)
    return min(1.0, use.used / use.most)


def words(use: pb.LimitUse) -> str:
    """What is counted, and over how long."""
    about = WORDS.get(Code(use.code), f"{{}} {use.code}").format(use.backend).strip()
    return f"{about} in {use.window_s:g} s" if use.window_s else about


def numbers(use: pb.LimitUse) -> str:
    """``4 of 4``; shares as points."""
    scale = 100.0 if use.unit == "share" else 1.0
    return f"{_short(use.used * scale)} of {_short(use.most * scale)}"


def _short(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
