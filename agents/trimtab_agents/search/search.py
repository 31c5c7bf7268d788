"""A search that outlives its process: trials in SQLite, or in PostgreSQL when several share it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import inf
from typing import Self

import optuna
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.exc import SQLAlchemyError

from trimtab_agents.search.sampler import Sampler, distributions, proposal, scored
from trimtab_agents.search.space import Choice, Space, Value

# No more trials when one is expected to save less than this share of the best score.
WORTH = 0.001
# … but so many are tried, since a belief from few trials may be too sure of itself.
LEAST = 12
# A trial whose score so far is so many times the best need not be measured to its end.
LOSING = 1.25
# Who shares a study may be measuring for so long; what began before that has died.
LONGEST = timedelta(hours=1)
EMBEDDED, SHARED = "sqlite:///", "postgresql://"
# The driver that the journal uses.
PSYCOPG = "postgresql+psycopg://"
SPACE, STOPPED = "space", "stopped early"


class SearchError(Exception):
    """A study that cannot be had; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Tried:
    """A choice and its score, ``inf`` if it failed; stopped: early, so that it is an estimate."""

    choice: Choice
    score: float
    stopped: bool


@dataclass(frozen=True, slots=True)
class Trying:
    """A choice that is to be measured now; best: the score to beat."""

    choice: Choice
    trial: optuna.Trial
    best: float

    def losing(self, part: int, score: float) -> bool:
        """Whether the score of what was measured up to this part is hopeless: stop, and tell it."""
        self.trial.report(score, part)
        return score > LOSING * self.best


@dataclass(frozen=True, slots=True)
class Search:
    """Lower scores are better; they are positive, since it is ratios that count."""

    space: Space
    study: optuna.Study
    seed: int

    @classmethod
    def open(
        cls, space: Space, name: str, location: str, *, seed: int = 0, first: Sequence[Choice] = ()
    ) -> Self:
        """Begin the study ``name``, or go on with it.

        location: a file, of which one process at a time makes use, or the URL of a PostgreSQL
        database, in which several may share a study. first: choices to try before all others,
        as what is set now. Raises `SearchError` and `SpaceError`.
        """
        optuna.logging.set_verbosity(optuna.logging.ERROR)  # Who searches tells of it.
        shared = location.startswith(SHARED)
        try:
            study = optuna.create_study(
                storage=location.replace(SHARED, PSYCOPG) if shared else EMBEDDED + location,
                study_name=name,
                sampler=Sampler(space, seed),
                load_if_exists=True,
            )
            search = cls(space, study, seed)
            search._claim(LONGEST if shared else timedelta(0), first)
        except SQLAlchemyError as error:
            raise SearchError(
                f"{location}: cannot keep a study ({error.__cause__ or error}): name another file"
            ) from error
        return search

    def _claim(self, longest: timedelta, first: Sequence[Choice]) -> None:
        """See that the study is this space's, end what died in it, and line up what is first."""
        described = json.dumps({name: dial.values for name, dial in self.space.dials.items()})
        if self.study.user_attrs.setdefault(SPACE, described) != described:
            raise SearchError(f"study {self.study.study_name!r}: of other choices: name another")
        self.study.set_user_attr(SPACE, described)
        for trial in self.study.get_trials(states=(TrialState.RUNNING,)):
            if trial.datetime_start is None or datetime.now() - trial.datetime_start >= longest:
                self.study.tell(trial.number, state=TrialState.FAIL)
        scores, going = scored(self.space, self.study.get_trials())
        for choice in first:
            places = self.space.places(choice)
            if places not in scores.keys() | going:
                self.study.enqueue_trial(dict(zip(self.space.dials, places, strict=True)))

    def ask(self) -> Trying:
        """What to try next; ask several times to try several at once. Raises `SearchError`."""
        try:
            trial = self.study.ask(distributions(self.space))
        except LookupError as error:
            raise SearchError(f"study {self.study.study_name!r}: {error}") from error
        best = self.best
        return Trying(self._choice(trial), trial, best.score if best else inf)

    def tell(self, trying: Trying, score: float, *, stopped: bool = False) -> None:
        """Keep the score of what was asked: ``inf`` if it failed. Raises `SearchError`.

        stopped: it was losing, and the score is of what was measured.
        """
        if not score > 0.0:
            raise SearchError(f"a score must be positive (lower is better), not {score}")
        if stopped:
            trying.trial.set_user_attr(STOPPED, True)
        self.study.tell(trying.trial, score)

    @property
    def tried(self) -> list[Tried]:
        """All that was told, in that order."""
        trials = self.study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        return [
            Tried(self._choice(trial), trial.values[0], trial.user_attrs.get(STOPPED, False))
            for trial in trials
        ]

    @property
    def best(self) -> Tried | None:
        """The best that was measured to its end."""
        whole = [tried for tried in self.tried if not tried.stopped and tried.score < inf]
        return min(whole, key=lambda tried: tried.score, default=None)

    @property
    def left(self) -> int:
        """How many choices nobody has tried."""
        scores, going = scored(self.space, self.study.get_trials(deepcopy=False))
        return self.space.size - len(scores.keys() | going)

    @property
    def saving(self) -> float | None:
        """The share of the best score that one more trial is expected to save, if that is known."""
        return proposal(self.space, self.study.get_trials(deepcopy=False), self.seed).saving

    def done(self, trials: int) -> str:
        """Why no more should be tried, or nothing."""
        if len(self.tried) >= trials:
            return f"{trials} trials were asked for"
        if not self.left:
            return "every choice was tried"
        if len(self.tried) >= LEAST and (saving := self.saving) is not None and saving < WORTH:
            return f"one more trial is expected to save {saving:.2%}, less than {WORTH:.1%}"
        return ""

    def _choice(self, trial: optuna.Trial | FrozenTrial) -> dict[str, Value]:
        return self.space.choice(tuple(trial.params[name] for name in self.space.dials))
