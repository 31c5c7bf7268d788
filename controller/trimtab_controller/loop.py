"""The loop: sense, decide, gate, ask, act, remember. `Loop.tick` is the whole story.

It runs in one thread. Whatever fails (stage, sensor, policy, journal) holds the tick and is
shown; nothing is written then, and the autoscaler underneath carries on.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

from trimtab_controller.board import Board
from trimtab_controller.journal import Journal, JournalError
from trimtab_controller.memory import Outcome, TickRecord, limits_record, write_ticks
from trimtab_controller.protocols import Clock, Policy, PolicyError
from trimtab_controller.sense import Sight
from trimtab_controller.service import Service
from trimtab_guard.limits import ClusterLimits, Limits
from trimtab_guard.model import Proposal
from trimtab_guard.ration import Purse


class Loop:
    """Steers all services; ``policy`` proposes for them in this order."""

    def __init__(
        self,
        services: Sequence[Service],
        policy: Policy,
        journal: Journal,
        board: Board,
        clock: Clock,
    ) -> None:
        self._services = services
        self._policy = policy
        self._journal = journal
        self._board = board
        self._clock = clock
        self._declared: list[ClusterLimits | Limits] = []

    def tick(self) -> None:
        """One tick of every service: sense, decide, and under the lock all the rest."""
        sights = [service.sense() for service in self._services]
        proposals, failure = self._decide(sights)
        with self._board.lock:
            try:
                self._board.keep_time(self._clock())
                self._declare_limits()
                failures = self._settle(sights, failure)
                ticks = self._gate(sights, proposals, failures)
                self._remember(ticks)
                ticks = self._act(ticks)
                self._end_abort(ticks)
            except JournalError as error:
                ticks = self._hold(sights, str(error))
            self._show(ticks)

    def _decide(self, sights: Sequence[Sight]) -> tuple[Sequence[Proposal | None], str]:
        """A proposal for each service, or none for any and why."""
        try:
            return self._policy.propose([sight.state for sight in sights]), ""
        except PolicyError as error:
            return [None] * len(sights), str(error)

    def _declare_limits(self) -> None:
        """Journal what verdicts are made with from now on: a replay needs it."""
        services = (service.config.limits for service in self._services)
        present: list[ClusterLimits | Limits] = [self._board.cluster, *services]
        if present != self._declared:
            known = self._declared
            records = [
                limits_record(now, recalled=not known)
                for place, now in enumerate(present)
                if not known or now != known[place]
            ]
            self._journal.append_all(records, self._clock())
            self._declared = present

    def _settle(self, sights: Sequence[Sight], failure: str) -> list[str]:
        """Close what earlier ticks left open; per service what still is, or else the failure."""
        rows = zip(self._services, sights, strict=True)
        return [service.settle(sight) or failure for service, sight in rows]

    def _gate(
        self,
        sights: Sequence[Sight],
        proposals: Sequence[Proposal | None],
        failures: Sequence[str],
    ) -> list[TickRecord]:
        """Guard, mode and approvals: what may be done; the rest is asked or only recorded.

        All services share one purse: who is listed first is served first.
        """
        spent = chain.from_iterable(service.memory.spent for service in self._services)
        purse, ticks = Purse.counted(self._board.cluster, spent, sights[0].state.time_s), []
        rows = zip(self._services, sights, proposals, failures, strict=True)
        for service, sight, proposal, failure in rows:
            ticks.append(service.gate(sight, proposal, failure, purse))
            if begins := ticks[-1].begins:
                purse = purse.after(*begins)
        return ticks

    def _remember(self, ticks: Sequence[TickRecord]) -> None:
        """The decisions and what is intended: on the disk before anything is done."""
        write_ticks(self._journal, ticks, self._clock())
        for service, tick in zip(self._services, ticks, strict=True):
            service.memory.after_tick(tick)

    def _act(self, ticks: Sequence[TickRecord]) -> list[TickRecord]:
        """Write what is intended; each outcome is remembered before the next write."""
        return [service.act(tick) for service, tick in zip(self._services, ticks, strict=True)]

    def _end_abort(self, ticks: Sequence[TickRecord]) -> None:
        """An abort ends in a stop, once everything is undone."""
        undone = (Outcome.APPLIED, Outcome.UNCHANGED)
        open_ = (f"{tick.service}: {tick.error}" for tick in ticks if tick.outcome not in undone)
        self._board.mandate.end_abort("; ".join(open_), self._clock())

    def _hold(self, sights: Sequence[Sight], failure: str) -> list[TickRecord]:
        rows = zip(self._services, sights, strict=True)
        return [service.held(sight, failure) for service, sight in rows]

    def _show(self, ticks: Sequence[TickRecord]) -> None:
        for service, tick in zip(self._services, ticks, strict=True):
            service.log_news(tick.error)
        self._board.publish(ticks, self._policy.name)
