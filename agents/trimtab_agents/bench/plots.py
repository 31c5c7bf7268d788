"""Pictures of a benchmark run, fit for a slide; matplotlib comes with ``trimtab[train]``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from trimtab_agents.bench.cells import TICK_S
from trimtab_agents.bench.contest import Contest, Course
from trimtab_agents.bench.verdict import BOUND, LEARNER, RULE, Table
from trimtab_sim.profile import Floats

HPA = "hpa"
COLOURS = {HPA: "#9a9a9a", RULE: "#d98a00", LEARNER: "#0b6fb8", BOUND: "#2a9d4a"}
TITLES = {HPA: "HPA", RULE: "calibrated rule", LEARNER: "trimtab", BOUND: "clairvoyant bound"}
OTHERS = "#c4c4c4"
STYLE = {
    "font.size": 13,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "legend.frameon": False,
}


def draw(contest: Contest, folder: Path) -> list[Path]:
    """The Pareto front, and one timeline per trace; returns the files written."""
    # Figure, not pyplot: no display, no state, nothing to close.
    from matplotlib import rc_context

    pareto = folder / "pareto.png"
    table = contest.table(guarded=False)
    held_back = table.split(train=False)
    with rc_context(STYLE):
        _pareto(held_back if held_back.cells else table, pareto)
        paths = [
            _timeline(course, table.where([table.cells.index(course.cell)]), folder)
            for course in contest.courses()
        ]
    return [pareto, *paths]


def _figure(heights: list[float]) -> tuple[Any, list[Any]]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 7.3), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(heights), 1, sharex=True, squeeze=False, height_ratios=heights)
    return figure, list(axes[:, 0])


def _pareto(table: Table, path: Path) -> None:
    """Fleet against miss, one line per policy through its lambdas."""
    figure, (axes,) = _figure([1.0])
    prices = sorted({cell.miss_price for cell in table.cells})
    for name, scores in table.scores.items():
        rows = [[i for i, c in enumerate(table.cells) if c.miss_price == p] for p in prices]
        miss = [100.0 * float(scores.miss[some].mean()) for some in rows]
        fleet = [float(scores.fleet[some].mean()) for some in rows]
        colour, is_main = COLOURS.get(name, OTHERS), name in COLOURS
        width = 3.0 if name in (RULE, LEARNER) else 1.5
        axes.plot(miss, fleet, "o-", color=colour, lw=width, zorder=2 + is_main, clip_on=False)
        place = {"textcoords": "offset points", "color": colour, "fontweight": "bold"}
        end, offset = (0, (8, -14)) if is_main else (-1, (6, 6))
        at = miss[end], fleet[end]
        axes.annotate(TITLES.get(name, name), at, xytext=offset, fontsize=12, **place)
        if name in (RULE, LEARNER):
            for price, point in zip(prices, zip(miss, fleet, strict=True), strict=True):
                axes.annotate(f"λ {price:g}", point, xytext=(8, 6), fontsize=11, **place)
    axes.set(xlabel="late or failed requests, %", ylabel="fleet (1 = the least possible)")
    axes.set_xlim(left=0.0)
    axes.set_title("Fewer replicas or fewer late requests: lower left is better", loc="left")
    figure.savefig(path, dpi=110)


def _timeline(course: Course, table: Table, folder: Path) -> Path:
    """Load and replicas of each policy above, late requests so far below.

    ``table`` is that of the one cell.
    """
    figure, (above, below) = _figure([3.0, 1.2])
    cell, backend = course.cell, course.cell.profile.backends[0]
    load_rps = _minutes(next(iter(course.by_policy.values()))[0]) / TICK_S
    hours = (np.arange(len(load_rps)) + 0.5) / 60.0
    full = load_rps * backend.service_time_s / backend.concurrency
    above.fill_between(hours, full, color="#e3e3e3", lw=0, label="load, in full replicas")
    for name in (name for name in COLOURS if name in course.by_policy):
        _, misses, replicas = map(_minutes, course.by_policy[name])
        scores = table.scores[name]
        label = f"{TITLES[name]}\nJ {scores.score[0]:.2f}, {100.0 * scores.miss[0]:.2f} % late"
        style = {"color": COLOURS[name], "lw": 2.2 if name in (RULE, LEARNER) else 1.2}
        above.plot(hours, replicas, label=label, **style)
        late = 100.0 * np.cumsum(misses) / (load_rps * TICK_S).sum()
        below.plot(hours, late, **style)
    what = f"start-up {cell.startup_s:g} s, metrics {cell.lag_s:g} s late, λ {cell.miss_price:g}"
    above.set_title(f"{cell.trace}   ({what})", loc="left")
    above.set(ylabel="ready replicas", ylim=(0.0, 1.08 * _highest(course, full)))
    below.set(ylabel="late so far, %", xlabel="hours", ylim=(0.0, None))
    below.set_xlim(0.0, len(full) / 60.0)
    figure.legend(loc="outside right upper", labelspacing=0.9, handlelength=1.2)
    path = folder / f"timeline_{cell.trace}.png"
    figure.savefig(path, dpi=110)
    return path


def _highest(course: Course, full: Floats) -> float:
    """What has to fit in: an HPA that shoots far beyond the load would flatten all the rest."""
    shown = [course.by_policy[name][2] for name in (RULE, LEARNER) if name in course.by_policy]
    return float(max(full.max(), *(replicas.max() for replicas in shown)))


def _minutes(values: Floats) -> Floats:
    """Means over minutes: ticks are too fine for a picture of hours."""
    per_minute = round(60.0 / TICK_S)
    whole = len(values) // per_minute * per_minute
    return np.asarray(values[:whole].reshape(-1, per_minute).mean(1))
