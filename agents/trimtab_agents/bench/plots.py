"""Pictures of a benchmark run; matplotlib comes with ``trimtab[train]``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from trimtab_agents.bench.cells import TICK_S
from trimtab_agents.bench.play import Outcome
from trimtab_agents.bench.verdict import BOUND, Table

COLOURS = {"hpa": "#8c8c8c", "rule": "#d98a00", "ppo": "#0b6fb8", "bound": "#2a9d4a"}
# A miss share is noise over one tick of a few requests.
MISS_WINDOW_S = 60.0


def draw(table: Table, played: Sequence[Mapping[str, Outcome]], folder: Path) -> list[Path]:
    """The Pareto front, and one timeline per trace; returns the files written."""
    paths = [folder / "pareto.png"]
    _pareto(table, paths[0])
    for batch in played:
        cells = next(iter(batch.values())).cells
        for trace in dict.fromkeys(cell.trace for cell in cells):
            paths.append(folder / f"timeline_{trace}.png")
            _timeline(batch, _shown(batch, trace), paths[-1])
    return list(dict.fromkeys(paths))


def _figure(rows: int, height: float) -> tuple[Any, Any]:
    # Figure, not pyplot: no display, no state, nothing to close.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, height), layout="constrained")
    FigureCanvasAgg(figure)
    ratios = [3, 1][:rows]
    return figure, figure.subplots(rows, 1, sharex=True, squeeze=False, height_ratios=ratios)[:, 0]


def _pareto(table: Table, path: Path) -> None:
    """Fleet against miss, one line per policy through its lambdas."""
    figure, (axes,) = _figure(1, 7)
    prices = sorted({cell.miss_price for cell in table.cells})
    for name in table.scores:
        points = []
        for price in prices:
            rows = [i for i, cell in enumerate(table.cells) if cell.miss_price == price]
            mean = table.where(rows).policies()[name]
            points.append((100 * mean["miss"], mean["fleet"]))
            if name != BOUND:  # its points lie almost on one another
                axes.annotate(f"λ {price:g}", points[-1], textcoords="offset points", xytext=(6, 6))
        axes.plot(*zip(*points, strict=True), "o-", label=name, color=COLOURS.get(name))
    axes.set(xlabel="late or failed requests, %", ylabel="fleet (1 = the least possible)")
    axes.set_title("Fewer replicas or fewer late requests: lower left is better")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=110)


def _shown(batch: Mapping[str, Outcome], trace: str) -> int:
    """The balanced cell with the slowest start-up: where foresight matters most."""
    cells = next(iter(batch.values())).cells
    rows = [row for row, cell in enumerate(cells) if cell.trace == trace]
    prices = sorted({cells[row].miss_price for row in rows})
    middle = prices[len(prices) // 2]
    return max(rows, key=lambda row: (cells[row].miss_price == middle, cells[row].startup_s))


def _timeline(batch: Mapping[str, Outcome], row: int, path: Path) -> None:
    """Load and replicas of each policy above, late requests below."""
    figure, (above, below) = _figure(2, 7)
    first = next(iter(batch.values()))
    cell = first.cells[row]
    backend = cell.profile.backends[0]
    full = first.requests[:, row] * backend.service_time_s / backend.concurrency / TICK_S
    hours = np.arange(1, len(full) + 1) * TICK_S / 3600.0
    above.fill_between(hours, full, color="#dddddd", label="load, in full replicas")
    window = np.ones(round(MISS_WINDOW_S / TICK_S))
    for name, outcome in batch.items():
        label = f"{name}: J {outcome.score()[row]:.2f}, fleet {outcome.fleet[row]:.2f}"
        colour = COLOURS.get(name)
        above.step(hours, outcome.replicas[:, row], label=label, color=colour, lw=1.2)
        late = np.convolve(outcome.misses[:, row], window, "same")
        came = np.convolve(outcome.requests[:, row], window, "same")
        label = f"{name}: {100 * outcome.miss[row]:.2f} %"
        below.plot(hours, 100 * late / np.maximum(came, 1.0), label=label, color=colour, lw=1)
    above.set(ylabel="ready replicas")
    above.set_title(f"{cell.trace}: start-up {cell.startup_s:g} s, λ {cell.miss_price:g}")
    below.set(ylabel="late, % of a minute", xlabel="hours")
    for axes in (above, below):
        axes.grid(alpha=0.3)
        axes.margins(x=0.0)
        axes.legend(loc="upper right", fontsize="small", ncols=4)
        axes.set_ylim(0.0, 1.2 * axes.get_ylim()[1])
    figure.savefig(path, dpi=110)
