"""What stands for pruned records: where the journal begins now, and what of them still counts.

A checkpoint is a record like any other, chained and never changed. The record that it begins
after stays in the store as the anchor of the chain; everything before that is gone, or in an
archive whose last record it is.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import asdict, dataclass
from itertools import chain
from typing import Any

from trimtab_controller.journal.chain import (
    GENESIS,
    DamagedError,
    Entry,
    Link,
    Row,
    Snapshot,
    entry,
)

KIND = "checkpoint"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The journal begins after this record; ``carried`` are those up to it that still count."""

    after: Link
    carried: tuple[Entry, ...]

    def body(self) -> dict[str, Any]:
        """As a record's body."""
        return {"after": list(self.after), "carried": [asdict(record) for record in self.carried]}


def parsed(row: Row) -> Checkpoint:
    """The inverse of ``body``; `DamagedError` when it is something else."""
    body = entry(row).body
    try:
        carried = tuple(Entry(**record) for record in body["carried"])
        return Checkpoint(Link(*body["after"]), carried)
    except (LookupError, TypeError) as error:
        raise DamagedError(f"record {row.seq} is not a checkpoint") from error


def beginning(first: tuple[int, str] | None) -> Link:
    """What the records of a store follow whose ``first`` row has this number and hash.

    Unless it is the very first record, it is an anchor and no record any more.
    """
    return GENESIS if first is None or first[0] == 1 else Link(*first)


def newest(snapshot: Snapshot) -> Checkpoint | None:
    """The one that stands for what is missing before ``snapshot.after``."""
    row = snapshot.last(KIND)
    return parsed(row) if row else None


def entries(
    snapshot: Snapshot,
    kinds: Collection[str] | None = None,
    since_s: float | None = None,
    after: int = 0,
) -> Iterator[Entry]:
    """Records in order, chosen as `read` does: first those that a checkpoint carries."""
    checkpoint = newest(snapshot)
    carried = (
        record
        for record in (checkpoint.carried if checkpoint else ())
        if (kinds is None or record.kind in kinds)
        and (since_s is None or record.time_s >= since_s)
        and record.seq > after
    )
    return chain(carried, map(entry, snapshot.rows(kinds, since_s, after)))
