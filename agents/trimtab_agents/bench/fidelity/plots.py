"""Pictures of the comparison: all that rests in one, all that changes in another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from trimtab_agents.bench.fidelity.cases import BUCKET_S
from trimtab_agents.bench.fidelity.changes import Course, Pair
from trimtab_agents.bench.fidelity.rows import ABSOLUTE, EVENT_MODEL, RELATIVE, Row
from trimtab_agents.bench.plots import STYLE

COLOURS = {"M/M/c": "#0b6fb8", "M/G/1": "#2a9d4a", EVENT_MODEL: "#d98a00"}
AXES = {"wait": "mean wait, service times", "late": "share late"}
COLUMNS = 5


def draw(steady: Sequence[Row], changes: Mapping[str, Pair], folder: Path) -> list[Path]:
    """``steady.png`` and ``changes.png`` in ``folder``; returns the files."""
    from matplotlib import rc_context

    with rc_context(STYLE):
        return [_steady(steady, folder / "steady.png"), _changes(changes, folder / "changes.png")]


def _figure(rows: int, columns: int, size: tuple[float, float], **shared: Any) -> tuple[Any, Any]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.subplots(rows, columns, squeeze=False, **shared)


def _steady(rows: Sequence[Row], path: Path) -> Path:
    """Simulator over reference; the band is the bar."""
    figure, ((waits, lates),) = _figure(1, 2, (12.0, 5.6))
    for axes, quantity in ((waits, "wait"), (lates, "late")):
        least = ABSOLUTE[quantity] / 3.0
        chosen = [row for row in rows if row.quantity == quantity]
        line = np.geomspace(least, max(row.expected.value for row in chosen), 200)
        bar = np.maximum(RELATIVE * line, ABSOLUTE[quantity])
        low = np.maximum(line - bar, least)
        axes.fill_between(line, low, line + bar, color="#000000", alpha=0.12, lw=0, label="bar")
        for source, colour in COLOURS.items():
            points = [
                (max(row.expected.value, least), max(row.found.value, least))
                for row in chosen
                if row.source == source
            ]
            if points:
                axes.plot(*zip(*points, strict=True), "o", ms=5, color=colour, label=source)
        axes.set(xscale="log", yscale="log", xlabel=f"{AXES[quantity]}: reference")
        axes.set(ylabel="simulator", xlim=(least, None), ylim=(least, None))
        axes.legend(loc="upper left")
    figure.savefig(path, dpi=100)
    return path


def _changes(changes: Mapping[str, Pair], path: Path) -> Path:
    """Share late over time, one panel for each change."""
    lines = -(-len(changes) // COLUMNS)
    figure, panels = _figure(lines, COLUMNS, (14.0, 2.4 * lines), sharey=True)
    for axes in panels.flat[len(changes) :]:
        axes.set_axis_off()
    for axes, (name, (expected, found)) in zip(panels.flat, changes.items(), strict=False):
        _course(axes, expected, color=COLOURS[EVENT_MODEL], lw=4, alpha=0.6, label="event model")
        _course(axes, found, color="#000000", lw=1.3, label="simulator")
        axes.set_title(name, loc="left", fontsize=12)
    panels[0, 0].legend(fontsize=10)
    for axes in panels[:, 0]:
        axes.set_ylabel("share late")
    figure.supxlabel("seconds", fontsize=12)
    figure.savefig(path, dpi=100)
    return path


def _course(axes: Any, course: Course, **look: Any) -> None:
    edges = BUCKET_S * np.arange(len(course.late) + 1)
    axes.stairs(course.late, edges, **look)
