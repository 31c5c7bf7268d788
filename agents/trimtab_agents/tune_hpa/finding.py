"""Is what was found better than what is there? The held-back end of the history decides."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from trimtab_agents.training.history import History
from trimtab_agents.training.trial import CLEAR, Score, held_back, mean_and_error
from trimtab_agents.tune_hpa.dials import Dials
from trimtab_agents.tune_hpa.search import Found, Question, played

SEEDS = 8


@dataclass(frozen=True, slots=True)
class Finding:
    """How the dials that are set now, and those found, did on what was held back."""

    current: Dials
    found: Found
    before: Score
    after: Score

    @property
    def gain(self) -> tuple[float, float]:
        """J saved, and its standard error."""
        return self.after.gain_over(self.before)

    @property
    def is_better(self) -> bool:
        """Whether the gain is more than chance."""
        return self.after.clearly_beats(self.before)

    @property
    def facts(self) -> dict[str, Any]:
        """For machines."""
        gain, error = self.gain
        return {
            "best_by_trial": self.found.best_by_trial,
            "stopped": self.found.stopped,
            "left": self.found.left,
            "before": _told(self.current, self.before),
            "after": _told(self.found.dials, self.after),
            "gain": gain,
            "standard_error": error,
            "better": self.is_better,
        }


def judged(question: Question, history: History, found: Found) -> Finding:
    """Both play the end of the history, on the same load and seeds."""
    end = held_back(question.service, history)
    before, after = (played(end, dials, SEEDS) for dials in (question.current, found.dials))
    return Finding(question.current, found, before, after)


def terms(score: Score) -> dict[str, tuple[float, float]]:
    """Mean and two standard errors of J and its parts."""
    parts = {"J": score.j, "fleet": score.fleet, "miss": score.miss}
    found = {name: mean_and_error(part) for name, part in parts.items()}
    return {name: (mean, CLEAR * error) for name, (mean, error) in found.items()}


def _told(dials: Dials, score: Score) -> dict[str, Any]:
    return {"dials": asdict(dials), **terms(score)}
