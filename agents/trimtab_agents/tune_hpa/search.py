"""The search for the best dials: a study that can be interrupted, and knows when to stop.

Every trial is written to the study's file as soon as it is over; the same question asked again
goes on there, another question gets a study of its own in the same file.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import optuna
from optuna.distributions import IntDistribution

from trimtab_agents.rules.hpa import HpaRule
from trimtab_agents.training.history import History, Service
from trimtab_agents.training.trial import Score, Stretch
from trimtab_agents.training.tuned_rule import rule_stretch
from trimtab_agents.tune_hpa.dials import Dials, space

# Windows of the past, and how often each is played: the rule sees weeks, not only the peak's day.
WINDOWS, REPEATS = 12, 2
# Enough when so many trials together saved less than this share of J; and what a dial must
# save not to be left as it is.
PATIENCE, WORTH = 15, 0.005
# Trials before the sampler has something to learn from.
DRAWN = 8


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked: the best dials on this past, given those that are set now."""

    service: Service
    stretch: Stretch
    current: Dials
    space: dict[str, IntDistribution]

    @classmethod
    def of(cls, service: Service, history: History, current: Dials) -> Question:
        """The question that a recorded history poses."""
        stretch = rule_stretch(service, history, WINDOWS, REPEATS)
        return cls(service, stretch, current, space(history, service, current))

    @property
    def name(self) -> str:
        """Of the study: the same question, the same name."""
        facts = repr((self.service, self.current, self.space)).encode()
        digest = hashlib.sha256(facts + self.stretch.rate_rps.tobytes()).hexdigest()
        return f"{self.service.profile.name} {digest[:12]}"

    def score(self, dials: Dials) -> float:
        """J of these dials on the past."""
        return float(played(self.stretch, dials, 1).j.mean())


def played(stretch: Stretch, dials: Dials, copies: int) -> Score:
    """How an HPA with these dials does on a stretch."""
    config = dials.config
    rule = HpaRule(config.target, config.down_stabilization_s, config=config)
    return replace(stretch, service=dials.bounded(stretch.service)).play(rule, copies)


@dataclass(frozen=True, slots=True)
class Search:
    """A study of a question, in ``file``."""

    question: Question
    file: Path
    seed: int

    @property
    def study(self) -> optuna.Study:
        """As far as it has come; the first trial is what is set now."""
        study = optuna.create_study(
            storage=f"sqlite:///{self.file}", study_name=self.question.name, load_if_exists=True
        )
        if not done(study):
            study.enqueue_trial(asdict(self.question.current))
        return study

    def run(self, trials: int, advance: Callable[[list[float]], None]) -> Found:
        """Try until ``trials`` are done or more are not worth it; ``advance`` sees each best J."""
        study = self.study
        while not (why := reason(best_by_trial(study), trials)):
            # A sampler that goes on must not draw again what the one before it has drawn.
            study.sampler = sampler(self.seed + len(study.trials))
            study.optimize(self._objective, n_trials=1)
            advance(best_by_trial(study))
        curve = best_by_trial(study)
        return Found(curve, self._spared(study), why, closed(curve))

    def _objective(self, trial: optuna.Trial) -> float:
        drawn = {
            name: trial.suggest_int(name, range_.low, range_.high, step=range_.step, log=range_.log)
            for name, range_ in self.question.space.items()
        }
        return self.question.score(_dials(drawn))

    def _spared(self, study: optuna.Study) -> Dials:
        """The best dials, but as they are set now wherever that costs next to nothing."""
        best, most = _dials(study.best_params), study.best_value * (1.0 + WORTH)
        for name, value in asdict(self.question.current).items():
            candidate = _dials(asdict(best) | {name: value})
            # No trials: what is spared must not move the best that it is measured by.
            if candidate != best and self.question.score(candidate) <= most:
                best = candidate
        return best


@dataclass(frozen=True, slots=True)
class Found:
    """What a search came to.

    best_by_trial: the best J after each trial; stopped: why there were no more; left: the share of
    J that the last ``PATIENCE`` saved, more than which the next are not likely to, if known.
    """

    best_by_trial: list[float]
    dials: Dials
    stopped: str
    left: float | None


def sampler(seed: int) -> optuna.samplers.BaseSampler:
    """What proposes the next trial."""
    return optuna.samplers.TPESampler(seed=seed, multivariate=True, n_startup_trials=DRAWN)


def done(study: optuna.Study) -> list[optuna.trial.FrozenTrial]:
    """The trials that have a value; one that was interrupted has none."""
    return study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.COMPLETE,))


def best_by_trial(study: optuna.Study) -> list[float]:
    """The best J after each trial."""
    scores = [trial.values[0] for trial in done(study)]
    return [float(best) for best in np.minimum.accumulate(scores)] if scores else []


def closed(best: list[float]) -> float | None:
    """The share of J that the last trials saved, None while too few were more than drawn."""
    return 1.0 - best[-1] / best[-1 - PATIENCE] if len(best) > DRAWN + PATIENCE else None


def reason(best: list[float], trials: int) -> str:
    """Why no more are tried, or nothing."""
    saved = closed(best)
    if saved is not None and saved < WORTH:
        return f"the last {PATIENCE} trials saved {saved:.1%} of J, less than {WORTH:.1%}"
    return f"{trials} trials were asked for" if len(best) >= trials else ""


def _dials(drawn: dict[str, int]) -> Dials:
    """As drawn, but for a minimum above the maximum."""
    return Dials(**drawn | {"min_replicas": min(drawn["min_replicas"], drawn["max_replicas"])})
