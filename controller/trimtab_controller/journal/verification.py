"""Whether a journal is complete and unchanged, and if not, where it breaks."""

from __future__ import annotations

from dataclasses import dataclass

from trimtab_controller.journal.chain import DamagedError, Link, Location, Row, Snapshot
from trimtab_controller.journal.store import reading


@dataclass(frozen=True, slots=True)
class Verification:
    """``entries`` good records, the last with hash ``head``; then, if any, the ``problem``.

    ``bad_seq`` is the number of the first record that is missing, moved or not what was
    written; None when all is well, or when the damage is not in a record. ``after`` is the
    number of the record that the first one follows: more than 0 only for an export of a part.
    """

    entries: int
    head: str
    bad_seq: int | None = None
    problem: str = ""
    after: int = 0

    @property
    def ok(self) -> bool:
        """Whether every record is there, in its place, and what was written."""
        return not self.problem


def verify(location: Location) -> Verification:
    """Follow the chain from its first record to its head; the daemon may go on meanwhile.

    `JournalError` when there is no journal to verify.
    """
    with reading(location) as snapshot:
        end, problem = _followed(snapshot)
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
        after = snapshot.after.seq
        return Verification(end.seq - after, end.hash, bad_seq, problem, after)


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


def _problem(snapshot: Snapshot, row: Row, end: Link) -> str:
    """What is wrong with ``row``, which does not follow ``end``."""
    if row.seq != end.seq + 1:
        return f"record {end.seq + 1} is missing: the next is {row.seq}"
    home = next((other.seq for other in snapshot.rows() if row.was_after(other.hash)), None)
    if home is not None:
        return f"record {row.seq} is out of order: it was written right after what is now {home}"
    return f"record {row.seq} was changed"
