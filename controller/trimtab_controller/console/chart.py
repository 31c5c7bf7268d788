"""One small chart of the last ten minutes, as an image that the server draws: no script at all.

Lines differ in dash and not only in colour, and the numbers stand beside it in words.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from trimtab_controller.console.history import History, Point, Sample
from trimtab_controller.console.parts import Tag

WIDTH, HEIGHT = 300.0, 60.0
# So that a line at the very top or bottom is not cut in half.
EDGE = 2.0


@dataclass(frozen=True, slots=True)
class Series:
    """A line: its name, the class that styles it, and what of a sample it shows."""

    name: str
    style: str
    value: Callable[[Sample], float | None]


class Chart:
    """``write`` puts a value into words; the scale begins at 0 and reaches at least ``least``."""

    def __init__(
        self, title: str, series: Iterable[Series], write: Callable[[float], str], least: float
    ) -> None:
        self._series = tuple(series)
        self._write = write
        self._least = least
        self._limit: float | None = None
        with Tag("figure", "chart") as self._figure:
            with Tag("figcaption"):
                Tag("span", "title", title)
                self._top = Tag("span", "quiet")
            box = f"0 0 {WIDTH:g} {HEIGHT:g}"
            with Tag("svg", viewBox=box, preserveAspectRatio="none", role="img") as self._image:
                self._rule = Tag("path", "line limit", d="")
                self._paths = [Tag("path", f"line {each.style}", d="") for each in self._series]
            with Tag("div", "legend quiet"):
                Tag("span", "", "10 min ago")
                with Tag("span"):
                    for each in self._series if len(self._series) > 1 else ():
                        Tag("span", f"key {each.style}", each.name)
                Tag("span", "", "now")

    def limit(self, value: float) -> None:
        """Draw a rule where a promise ends."""
        self._limit = value

    def draw(self, history: History, now_s: float) -> None:
        """Show what is known now."""
        drawn = [list(history.lines(each.value, now_s)) for each in self._series]
        values = [y for lines in drawn for line in lines for _, y in line]
        top = max([*values, self._least, self._limit or 0.0]) or 1.0
        for path, lines in zip(self._paths, drawn, strict=True):
            path.put(d=" ".join(_path(line, top) for line in lines))
        if self._limit is not None:
            self._rule.put(d=_path([(0.0, self._limit), (1.0, self._limit)], top))
        self._top.say(f"to {self._write(top)}" if values else "no data")
        self._image.put(aria_label=self._words(drawn))

    def _words(self, drawn: list[list[list[Point]]]) -> str:
        """What a screen reader says: the last value and the span of each line."""
        said = []
        for each, lines in zip(self._series, drawn, strict=True):
            values = [y for line in lines for _, y in line]
            if values:
                low, high, last = map(self._write, (min(values), max(values), values[-1]))
                said.append(f"{each.name}: {last} now, between {low} and {high} in ten minutes")
        return "; ".join(said) or "no data"


def _path(line: list[Point], top: float) -> str:
    spots = [
        f"{x * WIDTH:.1f} {HEIGHT - EDGE - y / top * (HEIGHT - 2 * EDGE):.1f}" for x, y in line
    ]
    # A single point would be no line: this draws a dot.
    return f"M{spots[0]}h0" if len(spots) == 1 else "M" + "L".join(spots)
