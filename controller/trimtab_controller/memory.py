"""What a service's ticks leave behind, and how it is rebuilt after a crash.

The journal holds a `TickRecord` per tick, written before any action, and an `OutcomeRecord`
per action. The memory is nothing but the fold of those records: live and restored memory come
from the same two functions, so a restarted daemon continues with the windows, the counts and
the open write that the old one had.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import NamedTuple

from trimtab_controller.journal import Entry, Journal, Record
from trimtab_controller.protocols import Intent
from trimtab_controller.records import pack, packed_text, unpack
from trimtab_guard.history import History
from trimtab_guard.limits import LONGEST_WINDOW_S, ClusterLimits, Limits
from trimtab_guard.model import Proposal, State, Verdict, Want
from trimtab_guard.modes import Mode
from trimtab_guard.ration import Change, recent

# The kinds of records that a memory is folded from.
REMEMBERED = ("tick", "outcome")
# How much of the past a policy watches again after a restart.
REWATCHED_TICKS = 1000
# For this long after it was written a change may still be what hurts: an abort undoes it.
RUNNING_S = 60.0


class Outcome(StrEnum):
    """What became of a tick's decision."""

    APPLIED = "applied"
    UNCHANGED = "unchanged"
    SHADOW = "shadow"
    ASKED = "asked"
    STOPPED = "stopped"
    HELD = "held"
    FAILED = "failed"


class TickRecord(NamedTuple):
    """One service's tick. ``outcome`` is final unless there is an ``intent`` to write.

    ``baseline`` is what the plain rule wanted: with state, proposal, limits and memory it is all
    that the verdict was made of. ``floors`` are those that the stage held, in its backends' order.
    """

    service: str
    time_s: float
    mode: Mode
    outcome: Outcome
    error: str = ""
    state: State | None = None
    proposal: Proposal | None = None
    verdict: Verdict | None = None
    intent: Intent | None = None
    version: str = ""
    decisions: int = 0
    actions: int = 0
    baseline: tuple[Want, ...] = ()
    floors: tuple[int, ...] = ()

    @property
    def begins(self) -> tuple[Change, ...]:
        """What is about to change by this tick; an older write may be open still."""
        return changed(self.intent) if self.outcome is Outcome.APPLIED else ()


@dataclass(frozen=True, slots=True)
class OutcomeRecord:
    """What became of an intent: ``applied`` tells whether the stage has it."""

    service: str
    time_s: float
    request_id: str
    applied: bool
    version: str
    error: str = ""


@dataclass(slots=True)
class Memory:
    """One service's past. ``version`` is the last that is known to be ours or adopted.

    ``intent`` is a write whose outcome is unknown; ``applied`` are the recent ones that arrived
    and were not undone, as long as nobody else has written; the counts are since the journal began;
    ``changes`` are what counts against the budget of all services.
    """

    history: History
    version: str = ""
    intent: Intent | None = None
    applied: tuple[Intent, ...] = ()
    decisions: int = 0
    actions: int = 0
    changes: tuple[Change, ...] = ()
    _known: tuple[State, History, History] | None = None

    def known(self, state: State) -> History:
        """The history after ``state``: made once a tick, though guard and memory both need it."""
        if not (self._known and self._known[0] is state and self._known[1] is self.history):
            self._known = state, self.history, self.history.with_state(state)
        return self._known[2]

    @property
    def spent(self) -> tuple[Change, ...]:
        """``changes``, and the open write as if it had been made just now."""
        return (*self.changes, *changed(self.intent))

    def after_tick(self, tick: TickRecord) -> None:
        """Fold in one tick."""
        if tick.state:
            self.history, self._known = self.known(tick.state), None
        if tick.proposal:
            self.history = self.history.with_proposal(tick.proposal)
        self.adopt(tick.version)
        self.intent = tick.intent
        if self.changes:
            self.changes = recent(self.changes, tick.time_s)
        self.decisions = tick.decisions + (tick.verdict is not None)
        self.actions = tick.actions

    def after_outcome(self, outcome: OutcomeRecord) -> None:
        """Fold in what became of the open intent."""
        intent, self.intent = self.intent, None
        self.version = outcome.version
        if outcome.applied and intent:
            self.actions += 1
            known = self.written(outcome.time_s - LONGEST_WINDOW_S)
            self.applied = () if intent.undoes else (*known, intent)
            self.changes += changed(intent, outcome.time_s)
            self._remember_raises(intent)

    def adopt(self, version: str) -> None:
        """Take what is for granted: what others wrote, we neither keep nor undo."""
        if version != self.version:
            self.version, self.applied = version, ()

    def written(self, since_s: float, until_s: float = math.inf) -> tuple[Intent, ...]:
        """What was written then and can still be undone, oldest first."""
        return tuple(intent for intent in self.applied if since_s <= intent.time_s <= until_s)

    def _remember_raises(self, intent: Intent) -> None:
        # A raised floor starts replicas at once. A lowered one only permits the autoscaler
        # underneath to stop some: the state will show it when that happens.
        for ask in intent.asks:
            if ask.floor is not None and ask.floor > ask.wanted:
                self.history = self.history.with_change(
                    intent.time_s, ask.backend, ask.wanted, ask.floor
                )


def changed(intent: Intent | None, time_s: float = math.inf) -> tuple[Change, ...]:
    """What a write changes; nothing where it only keeps what is there. When is not known yet."""
    if intent is None or not intent.changes:
        return ()
    return (Change(time_s, intent.service, intent.cost),)


@dataclass(slots=True)
class Recollection:
    """All that the journal tells: memories by service, and the states a policy may re-watch."""

    memories: dict[str, Memory]
    ticks: list[dict[str, State]] = field(default_factory=list)

    def seen(self, service: str, backends: Iterable[str]) -> list[State]:
        """A service's states that have these backends, oldest first."""
        states = (tick[service] for tick in self.ticks if service in tick)
        names = list(backends)
        return [state for state in states if [b.name for b in state.backends] == names]


def write_ticks(journal: Journal, ticks: Sequence[TickRecord], now_s: float) -> None:
    """Make one tick of all services durable, with a single entry."""
    journal.append_text("tick", f'{{"services":{packed_text(ticks)}}}', now_s)


def write_outcome(journal: Journal, outcome: OutcomeRecord) -> None:
    """Make the outcome of one action durable."""
    journal.append("outcome", {"service": pack(outcome)}, outcome.time_s)


def limits_record(limits: Limits | ClusterLimits, *, recalled: bool) -> Record:
    """Which limits a service, or all of them together, are judged by from now on.

    ``recalled``: just before, its memory was rebuilt from the journal.
    """
    if isinstance(limits, ClusterLimits):
        return "cluster", {"limits": asdict(limits)}
    return "limits", {"limits": asdict(limits), "recalled": recalled}


def recall(journal: Journal, services: Iterable[str]) -> Recollection:
    """Rebuild every service's memory; a service the journal does not know starts empty."""
    last = journal.last("tick")
    since_s = remembered_since_s(last.time_s if last else None)
    return refold(journal.entries(kinds=REMEMBERED, since_s=since_s), services)


def remembered_since_s(last_tick_s: float | None) -> float:
    """From when on records count for a memory that ends with this tick."""
    return 0.0 if last_tick_s is None else last_tick_s - LONGEST_WINDOW_S


def refold(entries: Iterable[Entry], services: Iterable[str]) -> Recollection:
    """What these `REMEMBERED` records leave behind."""
    memories = {name: Memory(History.empty(0.0)) for name in services}
    recollection = Recollection(memories)
    for entry in entries:
        if entry.kind == "outcome":
            outcome = unpack(OutcomeRecord, entry.body["service"])
            if outcome.service in memories:
                memories[outcome.service].after_outcome(outcome)
        else:
            recollection.ticks.append(dict(_refold(entry.body["services"], memories)))
    return recollection


def _refold(packed: list[object], memories: dict[str, Memory]) -> Iterator[tuple[str, State]]:
    for tick in (unpack(TickRecord, item) for item in packed):
        if tick.service in memories:
            memories[tick.service].after_tick(tick)
            if tick.state:
                yield tick.service, tick.state
