"""The comparison itself: a value that each look turns into the next one.

For every metric and every difference on a grid two claims are tested at once: that the new side is
worse by so much at most, and by so much at least (`tables.py`). Those that are rejected bound the
difference, at every look at once. A version is bad when the mean evidence of all metrics rejects
"worse by what may be at most": a mean of e-processes is one, so that looking at many metrics costs
no more than looking at one. It is good when each metric that is to be shown rejects "worse by
`Rules.fine` at least". Ramdas, Grünwald, Vovk and Shafer (2023), "Game-theoretic statistics and
safe anytime-valid inference", is the survey.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from math import log
from typing import Any

import numpy as np

from trimtab_agents.canary import saved
from trimtab_agents.canary.bets import BETS, Look
from trimtab_agents.canary.clumps import Clumps
from trimtab_agents.canary.gathered import Gathered
from trimtab_agents.canary.past import Past
from trimtab_agents.canary.reading import Side
from trimtab_agents.canary.rules import EQUAL, FINE, WORSE, Rules
from trimtab_agents.canary.trust import Trust
from trimtab_agents.canary.verdict import Call, Effect, Reason, Verdict
from trimtab_sim.profile import Floats

# What one look may add to the log of the capital: a burst that is over with it proves nothing.
MOST_GAINED = 1.75


@dataclass(frozen=True, slots=True)
class Comparison:
    """Everything that is known after some looks.

    log_capital: ``[2, K, R, G]``, by claim, metric, difference and bet; score: ``[K, R]``;
    answers: of the old side and the new one, in ``looks`` that were evidence; gathered: ticks that
    are not yet a look.
    """

    rules: Rules
    trust: Trust
    past: Past
    clumps: Clumps
    log_capital: Floats
    score: Floats
    looks: int = 0
    answers: tuple[int, int] = (0, 0)
    is_bad: bool = False
    gathered: Gathered | None = None

    @classmethod
    def begin(cls, rules: Rules) -> Comparison:
        """Nothing was seen yet."""
        metrics, differences = rules.grid.shape
        return cls(
            rules,
            Trust(),
            Past(),
            Clumps.none(metrics),
            np.zeros((2, metrics, differences, BETS)),
            np.zeros((metrics, differences)),
        )

    def after(self, old: Side | None, new: Side | None) -> Comparison:
        """One tick later; ``None`` for a side that could not be measured.

        A flawed tick is evidence for nobody.
        """
        trust = self.trust.after(old, new)
        later = replace(self, trust=trust)
        if old is None or new is None or trust.flaw:
            return later
        if self.gathered:
            gathered = self.gathered.and_(old, new)
        else:
            gathered = Gathered(self.trust.since_s(old), 1, old, new)
        if gathered.is_look(self.past.latency_s):
            return later._looked(gathered.old, gathered.new)
        return replace(later, gathered=gathered)

    def _looked(self, old: Side, new: Side) -> Comparison:
        """One look later. The first one only shows where to look; none is enough for a verdict."""
        seen = Look.of(old, new, self.past, self.rules)
        gains = np.minimum(seen.log_capital / self.clumps.size[:, None, None], MOST_GAINED)
        later = replace(
            self,
            past=self.past.after(old),
            clumps=self.clumps.after(seen.score[:, EQUAL], seen.variance),
            log_capital=self.log_capital + gains,
            score=self.score + seen.score,
            looks=self.looks + 1,
            answers=(self.answers[0] + old.answers, self.answers[1] + new.answers),
            gathered=None,
        )
        return replace(later, is_bad=self.is_bad or later.bad >= self.needed)

    def afresh(self, rules: Rules) -> Comparison:
        """Nothing is proved yet, but where to look and how requests queue together is known."""
        none = Comparison.begin(rules)
        return replace(none, trust=self.trust, past=self.past, clumps=self.clumps)

    def as_json(self) -> dict[str, Any]:
        """Everything, as plain dicts, lists, numbers and strings."""
        data: dict[str, Any] = saved.plain(asdict(self))
        return data

    @classmethod
    def from_json(cls, data: Mapping[str, Any], rules: Rules) -> Comparison:
        """What `as_json` made; `ValueError` when that was under other rules or of another version.

        It goes on as if it had never stopped.
        """
        empty = cls.begin(rules)
        try:
            found = cls(
                rules,
                saved.trust(data["trust"]),
                saved.past(data["past"]),
                saved.clumps(data["clumps"]),
                np.array(data["log_capital"]),
                np.array(data["score"]),
                data["looks"],
                (data["answers"][0], data["answers"][1]),
                data["is_bad"],
                data["gathered"] and saved.gathered(data["gathered"]),
            )
        except (KeyError, TypeError, IndexError, AttributeError) as error:
            raise ValueError(f"not a saved comparison: {error!r}: begin a new one") from error
        if data["rules"] != saved.plain(asdict(rules)) or found._shape != empty._shape:
            raise ValueError("the comparison was saved under other rules: begin a new one")
        return found

    @property
    def _shape(self) -> tuple[tuple[int, ...], ...]:
        return self.log_capital.shape, self.score.shape, self.clumps.score.shape

    @property
    def needed(self) -> float:
        """Log evidence that is enough."""
        return log(1.0 / self.rules.alpha)

    @property
    def evidence(self) -> Floats:
        """Log evidence against each claim: the mean over its bets, ``[2, K, R]``."""
        return _log_mean(self.log_capital)

    @property
    def bad(self) -> float:
        """Log evidence that something is worse by more than may be."""
        return float(_log_mean(self.evidence[0, :, WORSE]))

    @property
    def good(self) -> float:
        """Log evidence that nothing is that `Rules` wants shown."""
        return float(self.evidence[1, self.rules.to_show, FINE].min())

    def verdict(self) -> Verdict:
        """What it comes to, at any look."""
        call, reason = self._call()
        return Verdict(
            call, reason, self.bad, self.good, self.needed, self.looks, *self.answers,
            self._effects(),
        )  # fmt: skip

    def _call(self) -> tuple[Call, Reason]:
        """Bad stays bad, whatever comes after it: the evidence was there."""
        if self.is_bad:
            return Call.BAD, Reason.WORSE
        if doubt := self.trust.doubt or self.trust.flaw:
            return Call.NONE, doubt
        if min(self.answers) < self.rules.least_answers:
            return Call.NONE, Reason.TOO_LITTLE
        is_good = self.good >= self.needed
        return (Call.GOOD, Reason.FINE) if is_good else (Call.NONE, Reason.UNDECIDED)

    def _effects(self) -> tuple[Effect, ...]:
        evidence, grid = self.evidence, self.rules.grid
        rejected = evidence >= self.needed
        lows = np.where(rejected[0], grid, -np.inf).max(1)
        highs = np.where(rejected[1], grid, np.inf).min(1)
        return tuple(
            Effect(
                metric,
                # The difference of which the new side is neither ahead nor behind.
                float(np.interp(0.0, self.score[row, ::-1], grid[row, ::-1])),
                float(lows[row]),
                float(highs[row]),
                float(evidence[0, row, WORSE]),
                float(evidence[1, row, FINE]),
            )
            for row, metric in enumerate(self.rules.metrics)
        )


def _log_mean(logs: Floats) -> Floats:
    """Log of the mean of what these are the logs of, over the last axis."""
    most = logs.max(-1)
    return np.asarray(most + np.log(np.exp(logs - most[..., None]).mean(-1)))
