"""What a policy had been shown when it made a decision, out of the journal."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from itertools import takewhile
from typing import NamedTuple

from trimtab_controller.explain.decisions import Decision, between
from trimtab_controller.journal import Journal
from trimtab_controller.memory import REWATCHED_TICKS, TickRecord
from trimtab_controller.recommend.subject import Subject
from trimtab_envs.codec import DECISION_S
from trimtab_guard.limits import LONGEST_WINDOW_S
from trimtab_guard.model import Reading, State

# A tick takes some 3 ms to live again: of a longer life only the end is.
MOST_TICKS = 2000


class Beginning(NamedTuple):
    """The record with which a daemon's life began; ``record`` 0: it is not in the journal."""

    record: int
    time_s: float


def past(decision: Decision, journal: Journal, subject: Subject) -> list[State]:
    """The states from when the daemon was started, and what it watched again then, oldest first.

    Of a life longer than `MOST_TICKS` the last ones, from a tick on in which the policy decided.
    """
    begun, interval_s = _begun(decision, journal), subject.limits.interval_s
    watched = _rewatched(begun, decision.tick.service, journal, subject)
    first_s = decision.tick.time_s - MOST_TICKS * interval_s
    life = list(_shown(_until(decision, journal, max(begun.time_s, first_s), begun.record)))
    if first_s <= begun.time_s or not life:
        return [*watched, *life]
    missing = len(watched) + round((life[0].time_s - begun.time_s) / interval_s)
    every = max(1, round(DECISION_S / (interval_s * subject.speed)))
    return life[-missing % every :]


def _begun(decision: Decision, journal: Journal) -> Beginning:
    """When a daemon starts it writes down the limits that it goes by."""
    found = Beginning(0, 0.0)
    for entry in journal.entries(kinds=("limits",)):
        body = entry.body
        own = body["recalled"] and body["limits"]["service"] == decision.tick.service
        if own and entry.seq < decision.record:
            found = Beginning(entry.seq, entry.time_s)
    return found


def _rewatched(begun: Beginning, service: str, journal: Journal, subject: Subject) -> list[State]:
    """What a daemon that starts has its policy watch again."""
    since_s = begun.time_s - LONGEST_WINDOW_S
    ticks = (each for each in between(journal, service, since_s, begun.time_s))
    states = [each.tick.state for each in ticks if each.record < begun.record and each.tick.state]
    known = [s for s in states if tuple(b.name for b in s.backends) == subject.backends]
    return known[-REWATCHED_TICKS:]


def _until(
    decision: Decision, journal: Journal, since_s: float, after: int
) -> Iterator[TickRecord]:
    ticks = between(journal, decision.tick.service, since_s)
    for each in takewhile(lambda each: each.record <= decision.record, ticks):
        if each.record > after:
            yield each.tick


def _shown(ticks: Iterable[TickRecord]) -> Iterator[State]:
    """The states of ticks; where the stage was not seen, the last one without any reading."""
    last: State | None = None
    for tick in ticks:
        last = tick.state or (last and _unread(last, tick.time_s))
        if last:
            yield last


def _unread(state: State, time_s: float) -> State:
    """The state at ``time_s``, of which nothing but what was known before is known."""

    def old(reading: Reading) -> Reading:
        return Reading(math.nan, reading.time_s)

    backends = tuple(
        backend._replace(
            rate_rps=old(backend.rate_rps),
            in_flight=old(backend.in_flight),
            error_share=old(backend.error_share),
        )
        for backend in state.backends
    )
    return state._replace(
        time_s=time_s,
        backends=backends,
        p50_ms=old(state.p50_ms),
        p95_ms=old(state.p95_ms),
        miss_share=old(state.miss_share),
    )
