"""Decide: asks the policy, and lives on when it fails, hangs or answers something else."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from trimtab_controller.protocols import Policy, PolicyError
from trimtab_guard.model import Proposal, State


class Budgeted:
    """A policy with a deadline; what comes later than ``budget_s`` is thrown away.

    Each call has a thread of its own, because native code that hangs cannot be interrupted.
    """

    def __init__(self, policy: Policy, budget_s: float) -> None:
        self.name = policy.name
        self._policy = policy
        self._budget_s = budget_s
        self._thread = threading.Thread()

    def propose(self, states: Sequence[State]) -> list[Proposal]:
        """As the policy's; raises `PolicyError` for whatever goes wrong."""
        if self._thread.is_alive():
            raise PolicyError(f"policy {self.name} is still busy with an earlier tick")
        answer: list[list[Proposal] | Exception] = []
        self._thread = threading.Thread(target=self._think, args=(states, answer), daemon=True)
        self._thread.start()
        self._thread.join(self._budget_s)
        if not answer:
            raise PolicyError(f"policy {self.name} gave no answer within {self._budget_s:g} s")
        return self._checked(answer[0], states)

    def _think(self, states: Sequence[State], answer: list[list[Proposal] | Exception]) -> None:
        try:
            answer.append(self._policy.propose(states))
        except Exception as error:  # whatever a policy raises must not end the loop
            answer.append(error)

    def _checked(
        self, answer: list[Proposal] | Exception, states: Sequence[State]
    ) -> list[Proposal]:
        if isinstance(answer, Exception):
            raise PolicyError(f"policy {self.name}: {answer!r}") from answer
        if [proposal.service for proposal in answer] != [state.service for state in states]:
            raise PolicyError(f"policy {self.name} proposed for other services than it was asked")
        return answer
