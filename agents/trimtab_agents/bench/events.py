"""Is the verdict one of the simulator's making? Some cells again, request by request.

The busiest hour of seeded cells, at the load of a few replicas, so that fifty take minutes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from trimtab_agents.bench.calibration import Calibrated
from trimtab_agents.bench.cells import TICK_S, Cell
from trimtab_agents.bench.contest import Player
from trimtab_agents.bench.event_model import EventModel
from trimtab_agents.bench.play import Batch, play
from trimtab_agents.bench.work import Arrays, fingerprint
from trimtab_sim.profile import Floats, Profiles
from trimtab_sim.traces import Trace

CELLS, QUICK_CELLS = 50, 12
HOUR_TICKS = round(3600.0 / TICK_S)
SIZE = 4.0


@dataclass(frozen=True, slots=True)
class Rerun:
    """One cell's rule and learner, in the simulator and in the event model."""

    cell: Cell  # as it was calibrated for
    batch: Batch
    rule: Player
    learner: Player

    @property
    def identity(self) -> str:
        """Cell, load and players."""
        players = (player.identity([self.cell]) for player in (self.rule, self.learner))
        return f"events {self.cell} {fingerprint(self.batch.rate_rps)} {list(players)}"

    @property
    def weight(self) -> float:
        """In ticks of the simulator."""
        return 12.0 * len(self.batch.rate_rps)

    def run(self) -> Arrays:
        """J of rule and learner, ``[2]``, in either model."""

        def scores(*world: Any) -> Floats:
            players = self.rule, self.learner
            outcomes = [play(self.batch, p.policy([self.cell]), *world) for p in players]
            return np.concatenate([outcome.score() for outcome in outcomes])

        return {"simulator": scores(), "events": scores(EventModel)}


def reruns(
    cells: Sequence[Cell], traces: Mapping[str, Trace], learner: Player, count: int
) -> list[Rerun]:
    """So many of the cells, always the same."""
    calibrated = Calibrated.read()
    rng = np.random.default_rng(0)
    drawn = rng.choice(len(cells), size=min(count, len(cells)), replace=False)
    return [
        Rerun(cell, _busiest(cell, traces[cell.trace]), Player(calibrated.best(cell)), learner)
        for cell in (cells[index] for index in sorted(drawn))
    ]


def _busiest(cell: Cell, trace: Trace) -> Batch:
    """The hour with the most load of a cell's window, scaled to ``SIZE``."""
    whole = replace(cell, size=SIZE).load(trace)
    ticks = min(HOUR_TICKS, len(whole))
    totals = np.convolve(whole, np.ones(ticks), "valid")
    start = int(totals.argmax())
    load = whole[start : start + ticks]
    rate_rps = load * (whole.mean() / load.mean())
    return Batch((cell,), Profiles.stack([cell.profile]), rate_rps[:, None])


def agreement(found: Sequence[Arrays]) -> dict[str, Any]:
    """How far the gain of the learner over the rule is the same in both models."""
    gains = {
        name: np.array([arrays[name][0] - arrays[name][1] for arrays in found])
        for name in ("simulator", "events")
    }
    simulated, requested = gains["simulator"], gains["events"]
    return {
        "cells": len(found),
        "sign_agreement": float((np.sign(simulated) == np.sign(requested)).mean()),
        "ratio": float(requested.sum() / simulated.sum()),
        "simulator": float(simulated.mean()),
        "events": float(requested.mean()),
    }
