"""Whether a journal is complete and unchanged, and if not, where it breaks."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from pathlib import Path

from trimtab_controller.journal.file import GENESIS, Row, head, reading

_ROWS = "SELECT seq, time_s, kind, body, hash FROM entries ORDER BY seq"


@dataclass(frozen=True, slots=True)
class Verification:
    """``entries`` good records, the last with hash ``head``; then, if any, the ``problem``.

    ``bad_seq`` is the number of the first record that is missing, moved or not what was
    written; None when all is well, or when the damage is not in a record.
    """

    entries: int
    head: str
    bad_seq: int | None = None
    problem: str = ""

    @property
    def ok(self) -> bool:
        """Whether every record is there, in its place, and what was written."""
        return not self.problem


def verify(path: Path | str) -> Verification:
    """Follow the chain from its first record to its head; the daemon may go on meanwhile.

    `JournalError` when there is no journal to verify.
    """
    seq, digest = 0, GENESIS
    with reading(Path(path)) as database:
        try:
            for row in map(Row._make, database.execute(_ROWS)):
                problem = _problem(database, row, seq, digest)
                if problem:
                    return Verification(seq, digest, seq + 1, problem)
                seq, digest = row.seq, row.hash
            return _tail(database, seq, digest)
        except sqlite3.DatabaseError as error:
            return Verification(seq, digest, seq + 1, f"record {seq + 1} cannot be read: {error}")


def _problem(database: sqlite3.Connection, row: Row, seq: int, digest: str) -> str:
    """What is wrong with the record after ``seq``, if anything."""
    if row.seq != seq + 1:
        return f"record {seq + 1} is missing: the next is {row.seq}"
    if row.follows(digest):
        return ""
    others = database.execute("SELECT seq, hash FROM entries")
    home = next((other for other, digest in others if row.follows(digest)), None)
    if home is not None:
        return f"record {row.seq} is out of order: it was written right after what is now {home}"
    return f"record {row.seq} was changed"


def _tail(database: sqlite3.Connection, seq: int, digest: str) -> Verification:
    """Whether the chain ends where its head says, in a file that is sound."""
    head_seq, head_hash = head(database)
    if head_seq > seq:
        return Verification(
            seq,
            digest,
            seq + 1,
            f"the end was cut off: records {seq + 1} to {head_seq} are missing",
        )
    if (head_seq, head_hash) != (seq, digest):
        return Verification(seq, digest, None, "the head record was changed")
    (integrity,) = database.execute("PRAGMA integrity_check(1)").fetchone()
    if integrity != "ok":
        return Verification(seq, digest, None, f"the file is damaged: {integrity}")
    return Verification(seq, digest)
