"""The journal's file: SQLite in WAL mode, one table of chained records and their head."""

from __future__ import annotations

import hashlib
import json
import math
import sqlite3
from collections.abc import Collection, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

GENESIS = "0" * 64
"""What the first record follows."""

_APPLICATION_ID = 0x7472696D  # "trim"
_SCHEMA = 1
_TABLES = """
    CREATE TABLE entries (
        seq INTEGER PRIMARY KEY,
        time_s REAL NOT NULL,
        kind TEXT NOT NULL,
        body TEXT NOT NULL,
        hash TEXT NOT NULL
    ) STRICT;
    CREATE INDEX entries_by_kind ON entries (kind);
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


class JournalError(RuntimeError):
    """The journal cannot be used; the message says why and what to do."""


class JournalBusyError(JournalError):
    """Another process, or another writer in this one, has the journal open."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One record. ``seq`` counts from 1; ``time_s`` is in seconds since the epoch."""

    seq: int
    time_s: float
    kind: str
    body: dict[str, Any]
    hash: str


class Row(NamedTuple):
    """A record as it is stored: ``body`` is its canonical JSON."""

    seq: int
    time_s: float
    kind: str
    body: str
    hash: str

    def follows(self, previous: str) -> bool:
        """Whether this is what was written after the record with the hash ``previous``."""
        return self.hash == link(previous, self.time_s, self.kind, self.body)


def canonical(body: Mapping[str, Any]) -> str:
    """The one JSON text for ``body``. ``ValueError`` when it is not plain, finite JSON."""
    try:
        return json.dumps(body, sort_keys=True, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ValueError(f"a journal record must be plain, finite JSON: {error}") from error


def link(previous: str, time_s: float, kind: str, body: str) -> str:
    """The hash of a record: SHA-256 over the hash before it and ``[time_s,kind,body]``."""
    record = f"{previous}[{json.dumps(time_s)},{json.dumps(kind)},{body}]"
    return hashlib.sha256(record.encode(errors="surrogateescape")).hexdigest()


def writable(path: Path) -> sqlite3.Connection:
    """A connection that syncs every commit; an empty or missing file becomes a journal."""
    with explained(path):
        database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        try:
            is_new = not database.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
            if not is_new:
                _check_schema(database, path)
            database.execute("PRAGMA journal_mode = WAL")
            database.execute("PRAGMA synchronous = FULL")
            if is_new:
                database.executescript(f"BEGIN; {_TABLES} {_MARKS} COMMIT;")
        except BaseException:
            database.close()
            raise
    return database


@contextmanager
def reading(path: Path) -> Iterator[sqlite3.Connection]:
    """A read-only connection to one consistent state of the file; never waits for the writer."""
    if not path.is_file():
        raise JournalError(f"{path}: no journal here; the daemon creates one when it starts")
    with explained(path):
        uri = f"file:{quote(str(path.absolute()))}?mode=ro"
        with closing(sqlite3.connect(uri, uri=True, isolation_level=None)) as database:
            # A flipped bit may leave text that is not UTF-8; it must still reach the hash.
            database.text_factory = lambda text: text.decode(errors="surrogateescape")
            _check_schema(database, path)
            database.execute("BEGIN")
            yield database


def read(
    path: Path | str,
    kinds: Collection[str] | None = None,
    since_s: float | None = None,
    after: int = 0,
) -> Iterator[Entry]:
    """Records in order: of these kinds, not before ``since_s``, with numbers above ``after``.

    Needs no writer and hinders none. `JournalError` when the file is missing or damaged.
    """
    start = (after, -math.inf if since_s is None else since_s)
    with reading(Path(path)) as database:
        if kinds is None:
            rows = database.execute(_ALL, start)
        else:
            rows = database.execute(_OF_KINDS, (*start, json.dumps(list(kinds))))
        for row in rows:
            yield entry(Row(*row))


def entry(row: Row) -> Entry:
    """The record with its body parsed. ``ValueError`` when that is no JSON any more."""
    try:
        body = json.loads(row.body)
    except ValueError as error:
        raise ValueError(f"the body of record {row.seq} is not JSON") from error
    return Entry(row.seq, row.time_s, row.kind, body, row.hash)


def head(database: sqlite3.Connection) -> tuple[int, str]:
    """Number and hash of the last record that was written."""
    row = database.execute("SELECT seq, hash FROM head").fetchone()
    return (row[0], row[1]) if row else (0, "")


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Say which file is in trouble, and what to do about it."""
    try:
        yield
    except (sqlite3.DatabaseError, ValueError) as error:
        raise JournalError(
            f"{path}: {error}. If the disk is sound and has room, the file is damaged or no "
            "journal: `trimtab journal verify` names the first bad record; move the file away "
            "to start a new one"
        ) from error


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
