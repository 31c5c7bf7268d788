"""Who plays on which cells, as jobs; and their outcomes, small enough to keep.

Every family of rules and the policy play, free and behind the guard. "The rule" is no player
of its own: on every cell it is the family that was the best on the train split.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import numpy as np

from trimtab_agents.bench.calibration import Calibrated
from trimtab_agents.bench.cells import Cell
from trimtab_agents.bench.families import FAMILIES
from trimtab_agents.bench.guarded import Guarded
from trimtab_agents.bench.play import Batch, Outcome, play, play_bound
from trimtab_agents.bench.verdict import BOUND, LEARNER, RULE, Scores, Table
from trimtab_agents.bench.work import Arrays, fingerprint
from trimtab_agents.bundle import load
from trimtab_agents.policy import Policy
from trimtab_agents.rules.static import StaticRule
from trimtab_sim.profile import Floats

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class Player:
    """A policy by name, free or behind the guard; ``bundle`` is the learner's, None the shipped."""

    name: str
    guarded: bool = False
    bundle: Path | None = None

    def policy(self, cells: Sequence[Cell]) -> Policy:
        """The policy itself, as calibrated for each cell."""
        if self.name == LEARNER:
            free: Policy = load(self.bundle)
        else:
            free = Calibrated.read().policy(self.name, cells)
        return Guarded(free) if self.guarded else free

    def identity(self, cells: Sequence[Cell]) -> str:
        """What the policy is, whatever it is called."""
        if self.name == BOUND:
            settings = ""
        elif self.name == LEARNER:
            settings = str(load(self.bundle).network.card["sha256"])
        else:
            settings = json.dumps(Calibrated.read().settings(self.name, cells))
        return f"{self.name} {self.guarded} {settings}"


@dataclass(frozen=True, slots=True)
class Match:
    """One player on one batch."""

    batch: Batch
    player: Player

    @property
    def identity(self) -> str:
        """Cells, loads and player."""
        loads = fingerprint(self.batch.rate_rps)
        return f"{self.batch.cells} {loads} {self.player.identity(self.batch.cells)}"

    @property
    def weight(self) -> float:
        """Ticks: what is done in one costs about the same for any number of cells."""
        return float(len(self.batch.rate_rps))

    def run(self) -> Arrays:
        """The scores' terms of every cell, and the whole course of the cells that are shown."""
        if self.player.name == BOUND:
            anyone = play(self.batch, StaticRule(1.0))
            outcome = play_bound(self.batch, anyone.requests)
        else:
            outcome = play(self.batch, self.player.policy(self.batch.cells))
        return _kept(outcome)


def _kept(outcome: Outcome) -> Arrays:
    rows = shown(outcome.cells)
    course = (outcome.requests, outcome.misses, outcome.replicas)
    return {
        "score": outcome.score(),
        "fleet": outcome.fleet,
        "miss": outcome.miss,
        "events_per_hour": outcome.events_per_hour,
        "course": np.stack([values[:, rows] for values in course]).astype(np.float32),
    }


def shown(cells: Sequence[Cell]) -> list[int]:
    """Per trace, the balanced cell with the slowest start-up: where foresight matters most."""
    prices = sorted({cell.miss_price for cell in cells})
    middle = prices[len(prices) // 2]

    def tells(row: int) -> tuple[bool, float, float]:
        cell = cells[row]
        return cell.miss_price == middle, cell.startup_s, cell.lag_s

    rows = [row for row, cell in enumerate(cells) if cell.seed == cell.window == 0]
    traces = dict.fromkeys(cells[row].trace for row in rows)
    return [max((r for r in rows if cells[r].trace == trace), key=tells) for trace in traces]


def players(learner: Player | None) -> list[Player]:
    """Everyone who plays; the bound is never guarded."""
    free = [*map(Player, FAMILIES), *([learner] if learner else [])]
    return [*free, *(replace(player, guarded=True) for player in free), Player(BOUND)]


@dataclass(frozen=True, slots=True)
class Course:
    """What happened on one shown cell under each policy, ``[requests, misses, replicas][T]``."""

    cell: Cell
    by_policy: Mapping[str, Floats]


@dataclass(frozen=True, slots=True)
class Contest:
    """Everyone's outcomes on all batches, in the order of the batches."""

    batches: Sequence[Batch]
    outcomes: Mapping[Player, Sequence[Arrays]]
    best: Mapping[Cell, str]  # the family that is the rule there

    @classmethod
    def of(
        cls, matches: Sequence[Match], arrays: Sequence[Arrays], best: Callable[[Cell], str]
    ) -> Contest:
        """Sort what the matches gave; every player has played the same batches."""
        outcomes: dict[Player, list[Arrays]] = {}
        for match, found in zip(matches, arrays, strict=True):
            outcomes.setdefault(match.player, []).append(found)
        batches = [match.batch for match in matches if match.player == matches[0].player]
        cells = (cell for batch in batches for cell in batch.cells)
        return cls(batches, outcomes, {cell: best(cell) for cell in cells})

    @property
    def cells(self) -> tuple[Cell, ...]:
        """Every cell."""
        return tuple(cell for batch in self.batches for cell in batch.cells)

    def table(self, *, guarded: bool) -> Table:
        """Scores of every policy, free or guarded, with the rule and the bound."""
        names = ("score", "fleet", "miss", "events_per_hour")
        scores = {
            player.name: Scores(*(np.concatenate([part[n] for part in parts]) for n in names))
            for player, parts in self._playing(guarded=guarded).items()
        }
        scores[RULE] = Scores.chosen(scores, [self.best[cell] for cell in self.cells])
        return Table(self.cells, _ordered(scores))

    def courses(self) -> list[Course]:
        """The shown cells, free."""
        found = []
        for index, batch in enumerate(self.batches):
            for column, row in enumerate(shown(batch.cells)):
                cell = batch.cells[row]
                courses = {
                    player.name: parts[index]["course"][:, :, column]
                    for player, parts in self._playing(guarded=False).items()
                }
                courses[RULE] = courses[self.best[cell]]
                found.append(Course(cell, _ordered(courses)))
        return found

    def _playing(self, *, guarded: bool) -> dict[Player, Sequence[Arrays]]:
        return {
            player: parts
            for player, parts in self.outcomes.items()
            if player.guarded == guarded or player.name == BOUND
        }


def _ordered(by_policy: Mapping[str, Value]) -> dict[str, Value]:
    """The opponents first, then the best of them, the learner and the bound."""
    last = [name for name in (RULE, LEARNER, BOUND) if name in by_policy]
    names = [name for name in by_policy if name not in last]
    return {name: by_policy[name] for name in (*names, *last)}
