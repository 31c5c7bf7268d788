"""A journal in PostgreSQL, for daemons with several replicas: the same chain, one writer.

It has a schema of its own, ``trimtab``, and so a database keeps one journal. The writer holds
an advisory lock for as long as its session lives, and every record names the one that it
follows: a writer that has lost its lock to another cannot add to what that one wrote.
"""

from __future__ import annotations

import math
import os
import socket
from collections.abc import Collection, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from itertools import count
from typing import Any

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

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

# Seconds and milliseconds after which a server that does not answer counts as gone: the loop
# waits for its journal, and so does a human who wants to stop it.
_PATIENCE: dict[str, Any] = {"connect_timeout": 5, "tcp_user_timeout": 5000}
_SCHEMA = 1
_LOCK = 0x7472696D  # "trim"
_TABLES = """
    CREATE SCHEMA trimtab;
    CREATE TABLE trimtab.entries (
        seq bigint PRIMARY KEY,
        time_s double precision NOT NULL,
        kind text NOT NULL,
        body text NOT NULL,
        hash text NOT NULL
    );
    CREATE INDEX entries_by_kind ON trimtab.entries (kind, seq);
    CREATE FUNCTION trimtab.refuse() RETURNS trigger LANGUAGE plpgsql
        AS 'BEGIN RAISE EXCEPTION ''a journal only grows''; END';
    CREATE TRIGGER entries_stay BEFORE UPDATE OR DELETE OR TRUNCATE ON trimtab.entries
        EXECUTE FUNCTION trimtab.refuse();
    CREATE TABLE trimtab.head (
        only_one boolean PRIMARY KEY CHECK (only_one),
        version integer NOT NULL,
        seq bigint NOT NULL,
        hash text NOT NULL
    );
"""
_BEGIN = "INSERT INTO trimtab.head VALUES (true, %s, %s, %s)"
_ADD = """
    WITH moved AS (
        UPDATE trimtab.head SET seq = %s, hash = %s WHERE seq = %s AND hash = %s RETURNING seq
    )
    INSERT INTO trimtab.entries SELECT added.* FROM moved, unnest(
        %s::bigint[], %s::double precision[], %s::text[], %s::text[], %s::text[]
    ) AS added
"""
_ROWS = """
    SELECT seq, time_s, kind, body, hash FROM trimtab.entries
    WHERE seq > %s AND time_s >= %s AND (%s::text[] IS NULL OR kind = ANY(%s)) ORDER BY seq
"""
_LAST = """
    SELECT seq, time_s, kind, body, hash FROM trimtab.entries
    WHERE kind = %s AND seq > %s ORDER BY seq DESC LIMIT 1
"""
# Whoever owns the tables may do so; nobody else sees the trigger gone.
_PRUNE = """
    ALTER TABLE trimtab.entries DISABLE TRIGGER entries_stay;
    DELETE FROM trimtab.entries WHERE seq < {};
    ALTER TABLE trimtab.entries ENABLE TRIGGER entries_stay
"""
_FIRST = "SELECT seq, hash FROM trimtab.entries ORDER BY seq LIMIT 1"
_END = "SELECT seq, hash FROM trimtab.entries ORDER BY seq DESC LIMIT 1"
_HEAD = "SELECT seq, hash FROM trimtab.head"
_HOLDS = """
    FROM pg_stat_activity JOIN pg_locks USING (pid)
    WHERE locktype = 'advisory' AND objid = %s AND granted
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""
_HOLDER = f"SELECT application_name {_HOLDS}"
# A user may end sessions of its own; what that one wrote stays, and what it was writing goes.
_EVICT = f"SELECT pg_terminate_backend(pid) {_HOLDS}"
# A server may be set to sync less; one that is set to wait for its standbys may go on doing so.
_SYNC = """
    SELECT set_config('synchronous_commit', 'on', false)
    WHERE current_setting('synchronous_commit') IN ('off', 'local', 'remote_write')
"""
# A writer whose machine is gone must not hold the lock for hours, which is what TCP would do;
# one that was killed just now is given a moment to leave.
_MANNERS = """
    SET tcp_keepalives_idle = 5; SET tcp_keepalives_interval = 2; SET tcp_keepalives_count = 3;
    SET lock_timeout = 1000
"""
_ADVICE = (
    "Check that the server runs, that the URL is right and that its user may use the schema "
    "trimtab; what was acknowledged is safe there"
)

Connection = psycopg.Connection[Any]


class PostgresStore:
    """Open for writing; a lost connection is made anew, if no other writer has come."""

    def __init__(self, url: str, *, evict: bool) -> None:
        self.name = _named(url)
        self._url = url
        with _explained(self.name):
            self._connection = _writable(url, self.name, evict=evict)

    def ends(self) -> tuple[Link, Link]:
        """The last record, and what the head says that it is."""
        with _explained(self.name):
            if self._connection.closed:
                self._connection = _writable(self._url, self.name, evict=False)
            last = self._connection.execute(_END).fetchone()
            return Link(*last) if last else GENESIS, _head(self._connection)

    def add(self, rows: Sequence[Row], after: Link) -> None:
        """Write all ``rows`` or none, if the head is still ``after``; on the server's disk then."""
        with _explained(self.name):
            self._add(rows, after)

    def prune(self, row: Row, after: Link, anchor: int) -> None:
        """As `add`, and nothing before ``anchor`` is there any more: in one transaction."""
        with _explained(self.name), self._connection.transaction():
            self._add([row], after)
            self._connection.execute(sql.SQL(_PRUNE).format(anchor))

    def _add(self, rows: Sequence[Row], after: Link) -> None:
        columns = map(list, zip(*rows, strict=True))
        values = (*rows[-1].link, *after, *columns)
        if self._connection.execute(_ADD, values).rowcount != len(rows):
            raise JournalError(f"{self.name}: someone else wrote to it; restart the daemon")

    def close(self) -> None:
        """Let another writer in."""
        self._connection.close()


class PostgresSnapshot:
    """One consistent state of the tables; the writer may go on meanwhile."""

    is_part = False

    def __init__(self, name: str, connection: Connection) -> None:
        self.name = name
        self.after, self.head = beginning(connection.execute(_FIRST).fetchone()), _head(connection)
        self._connection = connection
        self._cursors = count()

    def rows(
        self, kinds: Collection[str] | None = None, since_s: float | None = None, after: int = 0
    ) -> Iterator[Row]:
        """Records in order, some at a time; `DamagedError` where one cannot be read."""
        chosen = None if kinds is None else list(kinds)
        since_s = -math.inf if since_s is None else since_s
        values = (max(after, self.after.seq), since_s, chosen, chosen)
        try:
            with self._connection.cursor(name=f"rows_{next(self._cursors)}") as cursor:
                yield from map(Row._make, cursor.execute(_ROWS, values))
        except (psycopg.DataError, psycopg.InternalError, UnicodeDecodeError) as error:
            raise DamagedError(str(error)) from error

    def last(self, kind: str) -> Row | None:
        """The newest record of a kind."""
        row = self._connection.execute(_LAST, (kind, self.after.seq)).fetchone()
        return Row(*row) if row else None

    def flaw(self) -> str:
        """Nothing: pages are for the server's own tools, such as pg_amcheck."""
        return ""


@contextmanager
def reading(url: str) -> Iterator[PostgresSnapshot]:
    """A journal as it is now; `JournalError` when there is none, or no server."""
    name = _named(url)
    with _explained(name), _connect(url) as connection:
        if not _check_schema(connection, name):
            raise JournalError(f"{name}: no journal here; the daemon creates one when it starts")
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        connection.read_only = True
        connection.autocommit = False
        yield PostgresSnapshot(name, connection)


def _connect(url: str) -> Connection:
    options = {**_PATIENCE, **conninfo_to_dict(url)}
    who = f"trimtab on {socket.gethostname()[:30]}, process {os.getpid()}"
    given = {**options, "application_name": who, "client_encoding": "utf8"}
    return psycopg.connect(**given, autocommit=True)


def _writable(url: str, name: str, *, evict: bool) -> Connection:
    """A connection that alone may write; the first one ever makes the tables."""
    connection = _connect(url)
    try:
        connection.execute(_MANNERS)
        connection.execute(_SYNC)
        _refuse_if_unsafe(connection, name)
        _hold(connection, name, evict=evict)
        if not _check_schema(connection, name):
            with connection.transaction():
                connection.execute(_TABLES)
                connection.execute(_BEGIN, (_SCHEMA, *GENESIS))
    except BaseException:
        connection.close()
        raise
    return connection


def _refuse_if_unsafe(connection: Connection, name: str) -> None:
    if connection.execute("SELECT current_setting('fsync')").fetchone() != ("on",):
        raise JournalError(f"{name}: the server runs with fsync = off; switch it on first")


def _hold(connection: Connection, name: str, *, evict: bool) -> None:
    """An exclusive lock, which ends with this session however it ends."""
    if evict:
        connection.execute(_EVICT, (_LOCK,))
    try:
        connection.execute("SELECT pg_advisory_lock(%s)", (_LOCK,))
    except psycopg.errors.LockNotAvailable:
        holder = connection.execute(_HOLDER, (_LOCK,)).fetchone() or ("another process",)
        raise JournalBusyError(
            f"{name}: {holder[0]} writes this journal; stop that daemon first, or give this one "
            "a journal of its own"
        ) from None


def _check_schema(connection: Connection, name: str) -> bool:
    """Whether there is a journal; `JournalError` when it is not one that we know."""
    if connection.execute("SELECT to_regnamespace('trimtab')").fetchone() == (None,):
        return False
    if connection.execute("SELECT to_regclass('trimtab.head')").fetchone() == (None,):
        raise JournalError(f"{name}: its schema trimtab is no journal; give another database")
    version = connection.execute("SELECT version FROM trimtab.head").fetchone()
    if version not in (None, (_SCHEMA,)):
        raise JournalError(
            f"{name}: its schema is {version[0]}, this trimtab knows {_SCHEMA}; use the trimtab "
            "that wrote it, or give another database"
        )
    return True


def _head(connection: Connection) -> Link:
    row = connection.execute(_HEAD).fetchone()
    return Link(*row) if row else Link(0, "")


def _named(url: str) -> str:
    """The URL for messages: without user and password."""
    with _explained("postgresql://…"):
        given = conninfo_to_dict(url)
    place = f"{given.get('host', '')}:{given.get('port', '')}".removesuffix(":")
    return f"postgresql://{place}/{given.get('dbname', '')}"


def _explained(name: str) -> AbstractContextManager[None]:
    return explained(name, psycopg.Error, _ADVICE)
