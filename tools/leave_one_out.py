"""What strangers can expect: each train trace, judged against rules that were chosen without it.

The benchmark's rules are the best in hindsight on the train split, so what a policy closes there
says little. Here "the rule" for a trace is the family and setting that did best on the others.
The policy has seen loads like it in training; nobody has tuned anything on this comparison.
``python tools/leave_one_out.py [--policy BUNDLE]``, the quick grid, eleven minutes of one core.
"""

from __future__ import annotations

from pathlib import Path

import click
import numpy as np

from trimtab_agents.bench.cells import QUICK, Grid, make_cells, read_traces
from trimtab_agents.bench.families import FAMILIES, Family, Settings
from trimtab_agents.bench.play import MAX_ROWS, batches, play, play_bound
from trimtab_agents.bundle import load
from trimtab_agents.training.config import TRAIN_TRACES
from trimtab_sim.profile import Floats
from trimtab_sim.traces import Trace

PRICES = np.array(QUICK.miss_prices)
TRACES: dict[str, Trace] = {n: t for n, t in read_traces(None).items() if n in TRAIN_TRACES}


def chosen_without(startup_s: float) -> Floats:
    """J on each trace of the rule that is the best on all others, ``[lambdas, traces]``."""
    found = [_best_per_left_out(family, startup_s) for family in FAMILIES.values()]
    on_others, on_it = (np.stack(part) for part in zip(*found, strict=True))
    family = on_others.argmin(0)
    return np.asarray(np.take_along_axis(on_it, family[None], 0)[0])


def _best_per_left_out(family: Family, startup_s: float) -> tuple[Floats, Floats]:
    """The family's best setting without each trace: its J on the others, and on that trace."""
    coarse = family.settings
    best = _others(_scores(family, coarse, startup_s)).argmin(-1)
    fine = np.unique(np.concatenate([family.around(coarse[i]) for i in np.unique(best)]), axis=0)
    scores = _scores(family, np.concatenate([coarse, fine]), startup_s)
    others = _others(scores)
    best = others.argmin(-1)[..., None]
    return np.take_along_axis(others, best, 2)[..., 0], np.take_along_axis(scores, best, 2)[..., 0]


def _others(scores: Floats) -> Floats:
    """Mean over all traces but one, for each one."""
    return np.asarray((scores.sum(1, keepdims=True) - scores) / (scores.shape[1] - 1))


def _scores(family: Family, settings: Settings, startup_s: float) -> Floats:
    """J of every setting on every trace, ``[lambdas, traces, settings]``."""
    names, scores = list(TRACES), np.empty((len(PRICES), len(TRACES), len(settings)))
    # The rules know no lambda, so one run serves all.
    grid = Grid(QUICK.windows, (startup_s,), QUICK.sizes, QUICK.lags_s, (0.0,), 1)
    for batch in batches(make_cells(TRACES, grid), TRACES):
        count = len(batch.cells)
        at_once = max(1, MAX_ROWS // count)
        places = [names.index(cell.trace) for cell in batch.cells]
        for first in range(0, len(settings), at_once):
            part = settings[first : first + at_once]
            outcome = play(batch.tiled(len(part)), family.policy(np.repeat(part, count, axis=0)))
            for row, price in enumerate(PRICES):
                scores[row, places, first : first + len(part)] = (
                    outcome.score(price).reshape(len(part), count).T
                )
    return scores


def played(bundle: Path | None, startup_s: float) -> tuple[Floats, Floats]:
    """J of the policy and of the clairvoyant bound, each ``[lambdas, traces]``."""
    names = list(TRACES)
    policy, bound = np.empty((2, len(PRICES), len(TRACES)))
    grid = Grid(QUICK.windows, (startup_s,), QUICK.sizes, QUICK.lags_s, QUICK.miss_prices, 1)
    for batch in batches(make_cells(TRACES, grid), TRACES):
        outcome = play(batch, load(bundle) if bundle else load())
        least = play_bound(batch, outcome.requests)
        places = [(grid.miss_prices.index(c.miss_price), names.index(c.trace)) for c in batch.cells]
        rows, columns = zip(*places, strict=True)
        policy[rows, columns], bound[rows, columns] = outcome.score(), least.score()
    return policy, bound


@click.command()
@click.option("--policy", "bundle", type=click.Path(exists=True, file_okay=False, path_type=Path))
def main(bundle: Path | None) -> None:
    """Print what the policy closes of the way from rule to bound, by trace and lambda."""
    gained, possible = np.zeros((2, len(PRICES), len(TRACES)))
    for startup_s in QUICK.startups_s:
        rule = chosen_without(startup_s)
        policy, bound = played(bundle, startup_s)
        gained += rule - policy
        possible += rule - bound
    closed = gained / possible
    for name, row in zip(TRACES, closed.T, strict=True):
        by_price = "  ".join(f"{value:7.3f}" for value in row)
        click.echo(f"{name:24} {by_price}   mean {row.mean():.3f}")
    click.echo(f"mean {closed.mean():.3f}, worst trace {closed.mean(0).min():.3f}")


if __name__ == "__main__":
    main()
