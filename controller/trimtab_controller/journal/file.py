"""A journal in a file: SQLite in WAL mode, one table of chained records and their head."""

from __future__ import annotations

import fcntl
import json
import math
import os
import sqlite3
from collections.abc import Collection, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote

from trimtab_controller.journal.chain import (
    GENESIS,
    DamagedError,
    JournalBusyError,
    JournalError,
    Link,
    Row,
    explained,
)
from trimtab_controller.journal.checkpoint import beginning

_APPLICATION_ID = 0x7472696D  # "trim"
_SCHEMA = 1
_REMAIN = """
    CREATE TRIGGER entries_remain BEFORE DELETE ON entries
        BEGIN SELECT RAISE(ABORT, 'a journal only grows'); END
"""
_TABLES = """
    CREATE TABLE entries (
        seq INTEGER PRIMARY KEY,
        time_s REAL NOT NULL,
        kind TEXT NOT NULL,
        body TEXT NOT NULL,
        hash TEXT NOT NULL
    ) STRICT;
    CREATE INDEX entries_by_kind ON entries (kind);
    CREATE TRIGGER entries_stay BEFORE UPDATE ON entries
        BEGIN SELECT RAISE(ABORT, 'a journal only grows'); END;
    CREATE TABLE head (
        only INTEGER PRIMARY KEY CHECK (only = 1),
        seq INTEGER NOT NULL,
        hash TEXT NOT NULL
    ) STRICT;
    INSERT INTO head VALUES (1, 0, hex(zeroblob(32)));
"""
_MARKS = f"PRAGMA application_id = {_APPLICATION_ID}; PRAGMA user_version = {_SCHEMA};"
_ALL = """
    SELECT seq, time_s, kind, body, hash FROM entries
    WHERE seq > ? AND time_s >= ? ORDER BY seq
"""
_OF_KINDS = """
    SELECT seq, time_s, kind, body, hash FROM entries
    WHERE seq > ? AND time_s >= ? AND kind IN (SELECT value FROM json_each(?)) ORDER BY seq
"""
_LAST = """
    SELECT seq, time_s, kind, body, hash FROM entries
    WHERE kind = ? AND seq > ? ORDER BY seq DESC LIMIT 1
"""
_TYPES: tuple[type, ...] = (int, float, str, str, str)
_FIRST = "SELECT seq, hash FROM entries ORDER BY seq LIMIT 1"
_END = "SELECT seq, hash FROM entries ORDER BY seq DESC LIMIT 1"
_ADVICE = (
    "If the disk is sound and has room, the file is damaged or no journal: `trimtab journal "
    "verify` names the first bad record; move the file away to start a new one"
)


class FileStore:
    """Open for writing: every commit is synced; an empty or missing file becomes a journal."""

    def __init__(self, path: Path) -> None:
        self.name = str(path)
        if path.is_dir():
            raise JournalError(f"{path}: is a folder; give the path of a file in it")
        path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = _hold(path)
        try:
            with _explained(path):
                self._database = _writable(path)
        except BaseException:
            self._lock.close()
            raise

    def ends(self) -> tuple[Link, Link]:
        """The last record, and what the head says that it is."""
        with _explained(self.name):
            last = self._database.execute(_END).fetchone()
            return Link(*last) if last else GENESIS, _head(self._database)

    def add(self, rows: Sequence[Row], after: Link) -> None:
        """Write all ``rows`` or none, if the head is still ``after``; on the disk on return."""
        with _explained(self.name), self._database:
            self._add(rows, after)

    def prune(self, row: Row, after: Link, anchor: int) -> None:
        """As `add`, and nothing before ``anchor`` is there any more: in one transaction.

        The trigger that refuses deletes is away for as long as nobody else can see it.
        """
        with _explained(self.name), self._database:
            self._add([row], after)
            self._database.execute("DROP TRIGGER IF EXISTS entries_remain")
            self._database.execute("DELETE FROM entries WHERE seq < ?", (anchor,))
            self._database.execute(_REMAIN)

    def _add(self, rows: Sequence[Row], after: Link) -> None:
        self._database.execute("BEGIN IMMEDIATE")
        if _head(self._database) != after:
            raise JournalError(f"{self.name}: someone else wrote to it; restart the daemon")
        self._database.executemany("INSERT INTO entries VALUES (?, ?, ?, ?, ?)", rows)
        self._database.execute("UPDATE head SET seq = ?, hash = ?", rows[-1].link)

    def close(self) -> None:
        """Let another writer in."""
        self._database.close()
        self._lock.close()


class FileSnapshot:
    """One consistent state of the file; the writer may go on meanwhile."""

    is_part = False

    def __init__(self, name: str, database: sqlite3.Connection) -> None:
        self.name = name
        self.after, self.head = beginning(database.execute(_FIRST).fetchone()), _head(database)
        self._database = database

    def rows(
        self, kinds: Collection[str] | None = None, since_s: float | None = None, after: int = 0
    ) -> Iterator[Row]:
        """Records in order; `DamagedError` where one cannot be read."""
        start = (max(after, self.after.seq), -math.inf if since_s is None else since_s)
        try:
            if kinds is None:
                yield from map(_row, self._database.execute(_ALL, start))
            else:
                chosen = (*start, json.dumps(list(kinds)))
                yield from map(_row, self._database.execute(_OF_KINDS, chosen))
        except sqlite3.DatabaseError as error:
            raise DamagedError(str(error)) from error

    def last(self, kind: str) -> Row | None:
        """The newest record of a kind."""
        row = self._database.execute(_LAST, (kind, self.after.seq)).fetchone()
        return _row(row) if row else None

    def flaw(self) -> str:
        """What SQLite finds wrong with its own pages, if anything."""
        try:
            (found,) = self._database.execute("PRAGMA integrity_check(1)").fetchone()
        except sqlite3.DatabaseError as error:
            found = str(error)
        return "" if found == "ok" else f"the file is damaged: {found}"


@contextmanager
def reading(path: Path) -> Iterator[FileSnapshot]:
    """A journal's file as it is now; `JournalError` when it is missing or something else."""
    with _explained(path):
        uri = f"file:{quote(str(path.absolute()))}?mode=ro"
        with closing(sqlite3.connect(uri, uri=True, isolation_level=None)) as database:
            # A flipped bit may leave text that is not UTF-8; it must still reach the hash.
            database.text_factory = lambda text: text.decode(errors="surrogateescape")
            _check_schema(database, path)
            database.execute("BEGIN")
            yield FileSnapshot(str(path), database)


def _writable(path: Path) -> sqlite3.Connection:
    database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    try:
        is_new = not database.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        if not is_new:
            _check_schema(database, path)
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = FULL")
        if is_new:
            database.executescript(f"BEGIN; {_TABLES} {_REMAIN}; {_MARKS} COMMIT;")
    except BaseException:
        database.close()
        raise
    return database


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


def _head(database: sqlite3.Connection) -> Link:
    row = database.execute("SELECT seq, hash FROM head").fetchone()
    return Link(*row) if row and isinstance(row[0], int) else Link(0, "")


def _row(columns: tuple[Any, ...]) -> Row:
    """A record. `DamagedError` when a flipped bit gave a column another type."""
    row = Row._make(columns)
    if not all(isinstance(value, kind) for value, kind in zip(row, _TYPES, strict=True)):
        raise DamagedError(f"a column of record {row.seq} is of another type")
    return row


def _explained(path: Path | str) -> AbstractContextManager[None]:
    return explained(str(path), sqlite3.DatabaseError, _ADVICE)


def _check_schema(database: sqlite3.Connection, path: Path) -> None:
    (application_id,) = database.execute("PRAGMA application_id").fetchone()
    (version,) = database.execute("PRAGMA user_version").fetchone()
    if application_id != _APPLICATION_ID:
        raise JournalError(f"{path}: not a journal of trimtab; give another path")
    if version != _SCHEMA:
        raise JournalError(
            f"{path}: its schema is {version}, this trimtab knows {_SCHEMA}; use the trimtab "
            "that wrote it, or move it away to start a new one"
        )
