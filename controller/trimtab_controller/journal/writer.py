"""The journal's one writer."""

from __future__ import annotations

import fcntl
import os
import sqlite3
import threading
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from trimtab_controller.journal.file import (
    GENESIS,
    Entry,
    JournalBusyError,
    JournalError,
    Row,
    canonical,
    entry,
    explained,
    head,
    link,
    read,
    reading,
    writable,
)

_LAST = """
    SELECT seq, time_s, kind, body, hash FROM entries WHERE kind = ? ORDER BY seq DESC LIMIT 1
"""


class Journal:
    """An open journal; threads may share it."""

    def __init__(self, path: Path, lock: IO[str], database: sqlite3.Connection) -> None:
        self.path = path
        self._lock = lock
        self._database = database
        self._turn = threading.Lock()
        self._seq, self._hash = _end(database, path)

    @classmethod
    def open(cls, path: Path | str) -> Journal:
        """Open for writing and create what is missing.

        `JournalBusyError` when somebody else writes; `JournalError` when the file is damaged,
        is something else, or lacks its last records.
        """
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = _hold(path)
        try:
            return cls(path, lock, writable(path))
        except BaseException:
            lock.close()
            raise

    def append(self, kind: str, body: Mapping[str, Any], time_s: float) -> int:
        """Write a record; its number comes back when it is on the disk, and not before.

        ``ValueError`` when ``body`` is not plain, finite JSON. `JournalError` when it cannot
        be written; then it was not.
        """
        time_s, text = float(time_s), canonical(dict(body))
        with self._turn, explained(self.path):
            seq, digest = self._seq + 1, link(self._hash, time_s, kind, text)
            with self._database:
                self._database.execute("BEGIN IMMEDIATE")
                self._database.execute(
                    "INSERT INTO entries VALUES (?, ?, ?, ?, ?)", (seq, time_s, kind, text, digest)
                )
                self._database.execute("UPDATE head SET seq = ?, hash = ?", (seq, digest))
            self._seq, self._hash = seq, digest
            return seq

    def entries(
        self, kinds: Collection[str] | None = None, since_s: float | None = None, after: int = 0
    ) -> Iterator[Entry]:
        """Records in order, as `read` gives them."""
        return read(self.path, kinds, since_s, after)

    def last(self, kind: str) -> Entry | None:
        """The newest record of a kind."""
        with reading(self.path) as database:
            row = database.execute(_LAST, (kind,)).fetchone()
            return entry(Row(*row)) if row else None

    def close(self) -> None:
        """Let another writer in."""
        self._database.close()
        self._lock.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _hold(path: Path) -> IO[str]:
    """An exclusive lock beside the file, which ends with this process however it ends."""
    lock = path.with_name(path.name + ".lock").open("a+")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.seek(0)
        holder = lock.read().strip()
        lock.close()
        raise JournalBusyError(
            f"{path}: process {holder} writes this journal; stop that daemon first, or give "
            "this one a journal of its own"
        ) from None
    lock.truncate(0)
    lock.write(f"{os.getpid()}\n")
    lock.flush()
    return lock


def _end(database: sqlite3.Connection, path: Path) -> tuple[int, str]:
    """Number and hash of the last record, which must be the one that the head names."""
    with explained(path):
        last = database.execute("SELECT seq, hash FROM entries ORDER BY seq DESC").fetchone()
        expected = head(database)
    if (last or (0, GENESIS)) != expected:
        raise JournalError(
            f"{path}: its head names record {expected[0]}, but its last one is "
            f"{last[0] if last else 0}; see `trimtab journal verify`, then put a good copy back, "
            "or move the file away to start a new one"
        )
    return expected
