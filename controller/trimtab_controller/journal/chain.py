"""What a record is and how it hangs on the one before it, whatever keeps them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

Location = Path | str
"""Where a journal is: a file, or ``postgresql://…``."""


Record = tuple[str, Mapping[str, Any]]
"""What is to be written: its kind and its body."""


class JournalError(RuntimeError):
    """The journal cannot be used; the message says why and what to do."""


class JournalBusyError(JournalError):
    """Another process, or another writer in this one, has the journal open."""


class DamagedError(ValueError):
    """A record that cannot be read; `reading` tells where, as a `JournalError`."""


class Link(NamedTuple):
    """Where in the chain: the number and the hash of a record."""

    seq: int
    hash: str


GENESIS = Link(0, "0" * 64)
"""What the first record follows."""


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

    @property
    def link(self) -> Link:
        """What the next record follows."""
        return Link(self.seq, self.hash)

    def follows(self, previous: Link) -> bool:
        """Whether this is what was written right after ``previous``."""
        return self.seq == previous.seq + 1 and self.was_after(previous.hash)

    def was_after(self, previous: str) -> bool:
        """Whether it was written after the record with this hash, wherever it is now."""
        return self.hash == digest(previous, self.time_s, self.kind, self.body)


class Snapshot(Protocol):
    """One consistent state of a journal, open for reading.

    ``name`` is for messages and holds no password. The records follow ``after``, and the last
    one that was written is ``head``. ``is_part``: what came before is elsewhere, and no record
    here needs to say so.
    """

    name: str
    is_part: bool
    after: Link
    head: Link

    def rows(
        self, kinds: Collection[str] | None = None, since_s: float | None = None, after: int = 0
    ) -> Iterator[Row]:
        """Records in order, chosen as `read` does; `DamagedError` where one cannot be read."""

    def last(self, kind: str) -> Row | None:
        """The newest record of a kind."""

    def flaw(self) -> str:
        """Damage to what is not a record, if any."""


class Store(Protocol):
    """What keeps the records, open for its one writer. Raises `JournalError`."""

    name: str

    def ends(self) -> tuple[Link, Link]:
        """The last record, and what the head says that it is."""

    def add(self, rows: Sequence[Row], after: Link) -> None:
        """Write all ``rows`` or none, if the head is still ``after``; on the disk on return."""

    def prune(self, row: Row, after: Link, anchor: int) -> None:
        """As `add`, and nothing before the record with the number ``anchor`` is there any more.

        All or nothing, whenever the process or the machine dies.
        """

    def close(self) -> None:
        """Let another writer in."""


def canonical(body: Mapping[str, Any]) -> str:
    """The one JSON text for ``body``. ``ValueError`` when it is not plain, finite JSON."""
    try:
        return json.dumps(body, sort_keys=True, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ValueError(f"a journal record must be plain, finite JSON: {error}") from error


def digest(previous: str, time_s: float, kind: str, body: str) -> str:
    """The hash of a record: SHA-256 over the hash before it and ``[time_s,kind,body]``."""
    record = f"{previous}[{json.dumps(time_s)},{json.dumps(kind)},{body}]"
    return hashlib.sha256(record.encode(errors="surrogateescape")).hexdigest()


def entry(row: Row) -> Entry:
    """The record with its body parsed. `DamagedError` when that is no JSON any more."""
    try:
        body = json.loads(row.body)
    except ValueError as error:
        raise DamagedError(f"the body of record {row.seq} is not JSON") from error
    return Entry(row.seq, row.time_s, row.kind, body, row.hash)


@contextmanager
def explained(name: str, native: type[Exception], advice: str) -> Iterator[None]:
    """Say which journal is in trouble, and what to do about it."""
    try:
        yield
    except (native, ValueError) as error:
        told = str(error).strip().rstrip(".")
        raise JournalError(f"{name}: {told}. {advice}") from error
