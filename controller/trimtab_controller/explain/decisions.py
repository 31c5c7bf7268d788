"""One service's ticks, found in the journal."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

from trimtab_controller.journal import Entry, Journal
from trimtab_controller.mandate import UnknownError
from trimtab_controller.memory import TickRecord
from trimtab_controller.records import unpack

# How long before a time its decision may have been made.
REACH_S = 60.0
# Databases count no further.
LAST_RECORD = 2**63 - 1


class Decision(NamedTuple):
    """A service's part of the journal's record with the number ``record``."""

    record: int
    tick: TickRecord

    @property
    def name(self) -> str:
        """How humans and commands call it: ``web@1234``."""
        return f"{self.tick.service}@{self.record}"


def latest(journal: Journal, service: str) -> Decision:
    """The newest; `UnknownError` when there is none."""
    entry = journal.last("tick")
    return _known(_part(entry, service) if entry else None, service, "latest")


def numbered(journal: Journal, service: str, record: int) -> Decision:
    """What that record holds; `UnknownError` when it has no decision on the service."""
    entry = next(journal.entries(kinds=("tick",), after=min(record, LAST_RECORD) - 1), None)
    found = _part(entry, service) if entry and entry.seq == record else None
    return _known(found, service, str(record))


def by(journal: Journal, service: str, time_s: float) -> Decision:
    """The last one until ``time_s``; `UnknownError` when the minute before that has none."""
    found = None
    for decision in between(journal, service, time_s - REACH_S):
        if decision.tick.time_s > time_s:  # which is a moment before it was written
            break
        found = decision
    return _known(found, service, f"by {time_s:.0f}")


def between(
    journal: Journal, service: str, since_s: float, until_s: float = math.inf
) -> Iterator[Decision]:
    """A service's decisions from a time to another, oldest first."""
    for entry in journal.entries(kinds=("tick",), since_s=since_s):
        if entry.time_s > until_s:
            return
        if decision := _part(entry, service):
            yield decision


def _part(entry: Entry, service: str) -> Decision | None:
    # A packed tick begins with the service's name: the others need not be unpacked.
    for packed in entry.body["services"]:
        if packed[0] == service:
            return Decision(entry.seq, unpack(TickRecord, packed))
    return None


def _known(found: Decision | None, service: str, which: str) -> Decision:
    if found is None:
        way_out = "the journal has none there; `trimtab explain SERVICE` takes the latest"
        raise UnknownError("decision", f"{service}@{which}", way_out)
    return found
