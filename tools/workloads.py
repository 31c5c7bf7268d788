"""Draws docs/workloads.png: what each generator of loads makes, and what they make together.

python tools/workloads.py docs/workloads.png
"""

from __future__ import annotations

import sys

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from trimtab_sim.traces import read_trace, shipped_traces
from trimtab_sim.workloads import GENERATORS, random_workload

TICK_S, HOURS, COLUMNS, SEED = 30.0, 8.0, 3, 1
TRACE = "worldcup98_group_60s"


def main() -> None:
    """One panel for each shape, one for their compositions, one for a trace."""
    ticks = round(HOURS * 3600.0 / TICK_S)
    generators = {**GENERATORS, "random_workload: composed, metered": random_workload}
    panels = {
        name: [generate(np.random.default_rng(SEED), ticks, TICK_S)]
        for name, generate in generators.items()
    }
    trace = read_trace(shipped_traces()[TRACE])
    scaled = [trace.scaled(load, time) for load, time in ((1.0, 1.0), (0.5, 1.0), (1.0, 0.5))]
    panels[f"trace {TRACE}, scaled"] = [one.rates(TICK_S)[:ticks] for one in scaled]
    figure = Figure(figsize=(12.0, 1.9 * -(-len(panels) // COLUMNS)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(-(-len(panels) // COLUMNS), COLUMNS, sharex=True)
    for place, (name, loads) in zip(axes.flat, panels.items(), strict=True):
        for load in loads:
            place.plot(np.arange(len(load)) * TICK_S / 3600.0, load / loads[0].mean(), lw=0.9)
        place.set_title(name, loc="left", fontsize=10)
        place.set_ylim(bottom=0.0)
    figure.supxlabel("hours")
    figure.supylabel("load")
    figure.savefig(sys.argv[1], dpi=72)


if __name__ == "__main__":
    main()
