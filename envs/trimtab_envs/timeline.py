"""Draws an episode: load, replicas and late requests over time, one service below another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from gymnasium.error import DependencyNotInstalled
from numpy.typing import NDArray

from trimtab_envs.minutes import Floats
from trimtab_envs.world import World

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LOAD, WANTED, LATE = "#dcdcdc", "#d98a00", "#c0392b"
READY = ("#0b6fb8", "#2a9d4a", "#7d5ba6", "#5b6b7a")
STYLE = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    "figure.dpi": 100,
}


class Moment(NamedTuple):
    """One decision: requests and late ones per service ``[B]``, replicas ``[B, K]``."""

    time_s: float
    rate_rps: Floats
    late_share: Floats
    ready: Floats
    wanted: Floats


class Timeline:
    """What one environment went through since its episode began."""

    def __init__(self) -> None:
        self._moments: list[Moment] = []

    def record(self, world: World) -> None:
        """Add the decision that ``world`` has just lived through."""
        requests = sum(tick.requests for tick in world.ticks)
        misses = sum(tick.misses for tick in world.ticks)
        seen = world.ticks[-1].sensed
        duration_s = world.tick_s * len(world.ticks)
        self._moments.append(
            Moment(
                float(seen.time_s[0]),
                np.asarray(requests / duration_s),
                np.asarray(misses / np.maximum(requests, 1.0)),
                seen.ready,
                seen.wanted,
            )
        )

    def draw(self, world: World) -> NDArray[np.uint8]:
        """As an image ``[height, width, 3]``."""
        try:
            from matplotlib import rc_context
            from matplotlib.backends.backend_agg import FigureCanvasAgg
            from matplotlib.figure import Figure
        except ImportError as error:
            raise DependencyNotInstalled(
                "render() draws with matplotlib: pip install 'trimtab[train]'"
            ) from error
        services = world.services
        with rc_context(STYLE):
            # Figure, not pyplot: no display, no state, nothing to close.
            figure = Figure(figsize=(9.0, 1.2 + 1.9 * services), layout="constrained")
            canvas = FigureCanvasAgg(figure)
            self._fill(figure, world)
            canvas.draw()
        return np.asarray(canvas.buffer_rgba())[..., :3].copy()

    def _fill(self, figure: Figure, world: World) -> None:
        panels = figure.subplots(
            2 * world.services,
            1,
            sharex=True,
            squeeze=False,
            height_ratios=[3.0, 1.0] * world.services,
        )[:, 0]
        if self._moments:
            time_s, *columns = (np.array(column) for column in zip(*self._moments, strict=True))
            for service in range(world.services):
                above, below = panels[2 * service : 2 * service + 2]
                of_one = [column[:, service] for column in columns]
                _replicas(above, below, time_s / 60.0, of_one, world, service)
            handles, labels = panels[0].get_legend_handles_labels()
            figure.legend(handles, labels, loc="outside upper center", ncols=len(labels))
        panels[-1].set_xlabel("minutes")


def _replicas(
    above: Any, below: Any, minutes: Floats, columns: Sequence[Floats], world: World, service: int
) -> None:
    """One service: what its load fills and what it has above, the share of late requests below."""
    rate_rps, late, ready, wanted = columns
    profiles = world.profiles
    shown = np.flatnonzero(profiles.present[service])
    full = rate_rps / profiles.replica_rps[service, shown].mean()
    above.fill_between(minutes, full, color=LOAD, step="pre", lw=0, label="load, in full replicas")
    for backend in shown:
        label = "ready" if len(shown) == 1 else f"ready on backend {backend}"
        colour = READY[backend % len(READY)]
        above.step(minutes, ready[:, backend], color=colour, lw=1.6, label=label)
    label = "wanted" if len(shown) == 1 else "wanted in all"
    above.step(minutes, wanted.sum(1), color=WANTED, lw=1.0, ls="--", label=label)
    above.set(ylabel=f"service {service}" if world.services > 1 else "replicas", ylim=(0.0, None))
    below.fill_between(minutes, 100.0 * late, color=LATE, step="pre", lw=0)
    below.set(ylabel="late, %", ylim=(0.0, max(1.0, 100.0 * float(late.max()))))
    below.margins(x=0.0)
