"""What to try next, for Optuna: the choice that is expected to save most on the best so far."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.trial import FrozenTrial, TrialState

from trimtab_agents.search.belief import believed
from trimtab_agents.search.space import Space

# Trials that are drawn at random before there is something to learn from.
DRAWN = 4
Places = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Next:
    """What comes next: where each dial stands, and the share of the best score it should save.

    saving is ``None`` while nothing is known; places are when every choice was tried.
    """

    places: Places | None
    saving: float | None


def proposal(space: Space, trials: list[FrozenTrial], seed: int) -> Next:
    """What to try after these; what somebody is trying now is taken to be middling.

    The same trials and seed give the same answer, so that a search that was killed goes on alike.
    """
    scores, open_ = scored(space, trials)
    rng = np.random.default_rng((seed, len(scores) + len(open_)))
    best = min(scores, key=scores.__getitem__, default=(0,) * len(space.dials))
    candidates = space.candidates(scores.keys() | open_, best, rng)
    if not candidates:
        return Next(None, None)
    finite = [score for score in scores.values() if isfinite(score)]
    if len(scores) < DRAWN or not finite:
        return Next(candidates[rng.integers(len(candidates))], None)
    known = scores | dict.fromkeys(open_, float(np.median(finite)))
    tried, measured = np.array(list(known), float), np.array(list(known.values()))
    belief = believed(space, tried, measured, np.array(candidates, float), rng)
    saving = belief.saving(scores[best])
    most = int(np.argmax(saving))
    return Next(candidates[most], float(saving[most]))


def scored(space: Space, trials: list[FrozenTrial]) -> tuple[dict[Places, float], set[Places]]:
    """The scores of what was tried, and what is being tried or waits for it."""
    placed = [(trial, places_of(space, trial)) for trial in trials]
    scores = {
        places: trial.values[0]
        for trial, places in placed
        if places and trial.state == TrialState.COMPLETE
    }
    going = {p for t, p in placed if p and t.state in (TrialState.RUNNING, TrialState.WAITING)}
    return scores, going - scores.keys()


def places_of(space: Space, trial: FrozenTrial) -> Places | None:
    """Where each dial stands in a trial, ``None`` in one that has only just begun."""
    params = trial.system_attrs.get("fixed_params", trial.params)
    return (
        tuple(params[name] for name in space.dials) if params.keys() >= space.dials.keys() else None
    )


def distributions(space: Space) -> dict[str, BaseDistribution]:
    """A dial is its settings' places for Optuna, whatever they are."""
    return {
        name: CategoricalDistribution(range(len(dial.values))) for name, dial in space.dials.items()
    }


@dataclass(frozen=True, slots=True)
class Sampler(optuna.samplers.BaseSampler):
    """Gives Optuna's studies the proposal."""

    space: Space
    seed: int

    def infer_relative_search_space(
        self,
        study: optuna.Study,  # noqa: ARG002  # Optuna's signature
        trial: FrozenTrial,  # noqa: ARG002
    ) -> dict[str, BaseDistribution]:
        """All dials, from the first trial on."""
        return distributions(self.space)

    def sample_relative(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        search_space: dict[str, BaseDistribution],  # noqa: ARG002  # the space is known
    ) -> dict[str, Any]:
        """The next choice, but for this very trial."""
        others = [
            other for other in study.get_trials(deepcopy=False) if other.number != trial.number
        ]
        places = proposal(self.space, others, self.seed).places
        if places is None:
            raise LookupError("every choice was tried")
        return dict(zip(self.space.dials, places, strict=True))

    def sample_independent(
        self,
        study: optuna.Study,  # noqa: ARG002  # Optuna's signature
        trial: FrozenTrial,  # noqa: ARG002
        param_name: str,
        param_distribution: BaseDistribution,  # noqa: ARG002
    ) -> Any:
        """No dial is set by itself."""
        raise LookupError(f"{param_name} is not a dial of this search")
