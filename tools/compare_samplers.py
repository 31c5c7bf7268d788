"""Would one of Optuna's own samplers find better settings? `python -m tools.compare_samplers`.

All play the full measurement of `trimtab tune postgres` (no losers stopped, the same trials and
seeds). Theirs may propose what was tried before; they are then given the nearest that was not.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution
from optuna.trial import TrialState

from trimtab_agents.bench.tuning import SEEDS, TRIED_SHARE, Played, Table, measured, random_gap
from trimtab_agents.tune_postgres.settings import space, usual

SPACE = space()
Places = tuple[int, ...]
Sampler = Callable[[int], optuna.samplers.BaseSampler]
# As many drawn at random as trimtab draws, or what suits them.
SAMPLERS: dict[str, Sampler] = {
    "GPSampler (needs torch)": lambda seed: optuna.samplers.GPSampler(
        seed=seed, n_startup_trials=4
    ),
    "GPSampler, 8 drawn": lambda seed: optuna.samplers.GPSampler(seed=seed, n_startup_trials=8),
    "TPESampler, multivariate": lambda seed: optuna.samplers.TPESampler(
        seed=seed, multivariate=True, n_startup_trials=4
    ),
    "TPESampler, multivariate, 8 drawn": lambda seed: optuna.samplers.TPESampler(
        seed=seed, multivariate=True, n_startup_trials=8
    ),
}


def distributions() -> dict[str, BaseDistribution]:
    """Ordered dials as numbers, others as kinds."""
    return {
        name: IntDistribution(0, len(dial.values) - 1)
        if dial.ordered
        else CategoricalDistribution(range(len(dial.values)))
        for name, dial in SPACE.dials.items()
    }


def gap(table: Table, sampler: optuna.samplers.BaseSampler, trials: int) -> float:
    """How far the best of so many trials is from the best of all."""
    study, scores = optuna.create_study(sampler=sampler), dict[Places, float]()
    whole = {SPACE.places(settings.choice): all_[-1] for settings, all_ in table.items()}
    _enqueue(study, SPACE.places(usual(SPACE).choice))
    while len(scores) < trials:
        trial = study.ask(distributions())
        places = tuple(trial.params[name] for name in SPACE.dials)
        if places in scores:
            study.tell(trial, state=TrialState.FAIL)
            _enqueue(study, _nearest(places, [each for each in whole if each not in scores]))
            continue
        scores[places] = whole[places]
        study.tell(trial, whole[places])
    return min(scores.values()) / min(whole.values()) - 1.0


def _enqueue(study: optuna.Study, places: Places) -> None:
    study.enqueue_trial(dict(zip(SPACE.dials, places, strict=True)))


def _nearest(places: Places, others: list[Places]) -> Places:
    apart = SPACE.apart(np.array([places], float), np.array(others, float)).sum(0)[0]
    return others[int(apart.argmin())]


def told(name: str, gaps: list[float]) -> None:
    """One line."""
    middle, mean, worst = np.median(gaps), np.mean(gaps), max(gaps)
    print(f"{name:36} median {middle:6.3f}  mean {mean:6.3f}  worst {worst:6.3f}")


def main() -> None:
    """Print the gaps of all."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
    table, seeds = measured(), range(SEEDS)
    trials = int(TRIED_SHARE * len(table))
    told("trimtab", [Played.of(table, seed, trials, stop=False).gap for seed in seeds])
    for name, sampler in SAMPLERS.items():
        told(name, [gap(table, sampler(seed), trials) for seed in seeds])
    told("at random", [random_gap(table, seed, trials) for seed in seeds])


if __name__ == "__main__":
    main()
