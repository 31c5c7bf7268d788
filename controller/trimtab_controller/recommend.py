"""`Recommend`: the same policy and guard for whoever has an autoscaler of their own.

Its memory is apart from the loop's, so that a caller can neither teach the loop nor use up its
budgets. It starts empty with the daemon: until a full window has been reported, the guard lets
nothing go down, and the answer says so.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass

from trimtab_agents.rules.baseline import baseline
from trimtab_controller.config import ServiceConfig
from trimtab_controller.journal import Journal
from trimtab_controller.protocols import Clock, Policy
from trimtab_controller.records import pack
from trimtab_guard.guard import judge
from trimtab_guard.history import History
from trimtab_guard.model import Proposal, State, Verdict
from trimtab_guard.reasons import Code

NO_HISTORY = "no scale-down before a full window has been reported"


@dataclass(frozen=True, slots=True)
class Recommendation:
    """What the policy proposes for a reported state, and what the guard makes of it."""

    proposal: Proposal
    verdict: Verdict
    why: str


class Recommender:
    """Recommends for one service; calls of several threads take turns."""

    def __init__(
        self, config: ServiceConfig, policy: Policy, journal: Journal, clock: Clock
    ) -> None:
        self.config = config
        self._policy = policy
        self._journal = journal
        self._clock = clock
        self._history = History.empty(clock())
        self._turn = threading.Lock()

    @property
    def backends(self) -> tuple[str, ...]:
        """The backends that must be reported, by their configured names."""
        return self.config.backends

    def recommend(self, state: State) -> Recommendation:
        """Decide for ``state``; writes nothing but the journal. Raises `PolicyError`."""
        with self._turn:
            now_s = self._clock()
            (proposal,) = self._policy.propose([state])
            rule = baseline(state, self.config.profile)
            verdict = judge(proposal, rule, state, self.config.limits, self._history, now_s)
            body = {"state": pack(state), "proposal": pack(proposal), "verdict": pack(verdict)}
            self._journal.append("recommend", body, now_s)
            self._history = self._history.with_state(state).with_proposal(proposal)
        held = any(reason.code == Code.NO_HISTORY for reason in verdict.reasons)
        why = f"{proposal.why}; {NO_HISTORY}" if held else proposal.why
        return Recommendation(proposal, verdict, why)
