"""Whether a journal is complete and unchanged, and if not, where it breaks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from trimtab_controller.journal.chain import (
    GENESIS,
    DamagedError,
    Link,
    Location,
    Row,
    Snapshot,
)
from trimtab_controller.journal.checkpoint import KIND, parsed
from trimtab_controller.journal.store import reading


class Lost(NamedTuple):
    """The first record that should be there and is not, or is not what was written."""

    seq: int
    problem: str


@dataclass(frozen=True, slots=True)
class Verification:
    """``entries`` good records, the last with hash ``head``; then, if any, the ``problem``.

    ``bad_seq`` is the number of the first record that is missing, moved or not what was
    written; None when all is well, or when the damage is not in a record. ``after`` is what the
    first one follows: the last pruned record, or what an export of a part says.
    """

    entries: int
    head: str
    bad_seq: int | None = None
    problem: str = ""
    after: Link = GENESIS

    @property
    def ok(self) -> bool:
        """Whether every record is there, in its place, and what was written."""
        return not self.problem

    @property
    def end(self) -> Link:
        """The last good record."""
        return Link(self.after.seq + self.entries, self.head)


def verify(location: Location) -> Verification:
    """Follow the chain from its first record to its head; the daemon may go on meanwhile.

    `JournalError` when there is no journal to verify.
    """
    with reading(location) as snapshot:
        end, problem = _followed(snapshot)
        if lost := _lost(snapshot, end, problem):
            return Verification(0, GENESIS.hash, lost.seq, lost.problem)
        bad_seq = None
        if problem:
            bad_seq = end.seq + 1
        elif snapshot.head.seq > end.seq:
            bad_seq = end.seq + 1
            problem = f"the end was cut off: records {bad_seq} to {snapshot.head.seq} are missing"
        elif snapshot.head != end:
            problem = "the head record was changed"
        else:
            problem = snapshot.flaw()
        after = snapshot.after
        return Verification(end.seq - after.seq, end.hash, bad_seq, problem, after)


def _followed(snapshot: Snapshot) -> tuple[Link, str]:
    """The last good record, and what is wrong with the next one, if anything."""
    end = snapshot.after
    try:
        for row in snapshot.rows():
            if not row.follows(end):
                return end, _problem(snapshot, row, end)
            end = row.link
    except DamagedError as error:
        return end, f"record {end.seq + 1} cannot be read: {error}"
    return end, ""


def _lost(snapshot: Snapshot, end: Link, problem: str) -> Lost | None:
    """What is wrong with the beginning, which only a checkpoint may have moved.

    A checkpoint that is itself what breaks the chain says nothing about that.
    """
    if snapshot.is_part or end != (snapshot.after if problem else snapshot.head):
        return None
    row = snapshot.last(KIND)
    if problem and (row is None or row.seq == end.seq + 1):
        return None
    named = parsed(row).after if row else GENESIS
    if named.seq == snapshot.after.seq:
        changed = f"record {named.seq} was changed"
        return Lost(named.seq, changed) if named != snapshot.after else None
    lost = named.seq or 1
    return Lost(lost, f"record {lost} is missing: the next is {snapshot.after.seq or 1}")


def _problem(snapshot: Snapshot, row: Row, end: Link) -> str:
    """What is wrong with ``row``, which does not follow ``end``."""
    if row.seq != end.seq + 1:
        return f"record {end.seq + 1} is missing: the next is {row.seq}"
    home = next((other.seq for other in snapshot.rows() if row.was_after(other.hash)), None)
    if home is not None:
        return f"record {row.seq} is out of order: it was written right after what is now {home}"
    return f"record {row.seq} was changed"
