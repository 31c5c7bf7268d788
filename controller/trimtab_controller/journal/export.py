"""An exported journal: JSON lines, as exact and as provable as what they came from.

The first line says what the records follow and which one is the last; then comes a record per
line, with the text that its hash was made of::

    {"trimtab_journal":1,"after":[0,"00…"],"head":[2,"9c…"]}
    {"seq":1,"time_s":1800000000.0,"kind":"tick","body":{"services":[]},"hash":"41…"}
"""

from __future__ import annotations

import json
import math
import os
from collections import deque
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import IO

from trimtab_controller.journal.chain import (
    DamagedError,
    JournalError,
    Link,
    Row,
    Snapshot,
    explained,
)

_FORMAT = 1
_ADVICE = "It is damaged, or not an export that this trimtab can read: export the journal anew"


def lines(snapshot: Snapshot, since_s: float | None = None) -> Iterator[str]:
    """The journal from its first record that is not before ``since_s``, line by line.

    `JournalError` at the first record that is not what was written.
    """
    first = start(snapshot, since_s)
    yield header(first, snapshot.head)
    yield from map(line, chained(snapshot, first, snapshot.head))


def chained(snapshot: Snapshot, end: Link, last: Link) -> Iterator[Row]:
    """The records that follow ``end``, up to ``last``.

    `JournalError` at the first one that is not what was written.
    """
    for row in snapshot.rows(after=end.seq):
        if end == last or not row.follows(end):
            break
        yield row
        end = row.link
    if end != last:
        raise JournalError(
            f"{snapshot.name}: record {end.seq + 1} is not what was written, and only a whole "
            "chain is exported: `trimtab journal verify` says more"
        )


def start(snapshot: Snapshot, since_s: float | None) -> Link:
    """What the first record that is not before ``since_s`` follows."""
    if since_s is None:
        return snapshot.after
    first = next(snapshot.rows(since_s=since_s), None)
    if first is None:
        return snapshot.head
    before = next(snapshot.rows(after=first.seq - 2))
    return before.link if before != first else snapshot.after


class ExportSnapshot:
    """An export, read like the journal that it came from."""

    is_part = True

    def __init__(self, path: Path) -> None:
        self.name = str(path)
        self.after, self.head = _parsed_header(next(self._texts()))

    def rows(
        self, kinds: Collection[str] | None = None, since_s: float | None = None, after: int = 0
    ) -> Iterator[Row]:
        """Records in order; `DamagedError` where a line is not what was exported."""
        start_s = -math.inf if since_s is None else since_s
        for row in map(_parsed, islice(self._texts(), 1, None)):
            chosen = kinds is None or row.kind in kinds
            if chosen and row.seq > after and row.time_s >= start_s:
                yield row

    def last(self, kind: str) -> Row | None:
        """The newest record of a kind."""
        return next(iter(deque(self.rows(kinds=(kind,)), maxlen=1)), None)

    def flaw(self) -> str:
        """Nothing: there is nothing but records and the first line."""
        return ""

    def _texts(self) -> Iterator[str]:
        # Exports are ASCII; a flipped bit may have left something else, and must still be read.
        with open(self.name, encoding="ascii", errors="surrogateescape", newline="\n") as file:
            yield from file


@contextmanager
def whole_file(path: Path) -> Iterator[IO[str]]:
    """A file that is there, and on the disk, when it is complete, and not before; `OSError`."""
    with NamedTemporaryFile("w", dir=path.parent, prefix=path.name, delete=False) as file:
        part = Path(file.name)
        try:
            yield file
            file.flush()
            os.fsync(file.fileno())
        except BaseException:
            part.unlink()
            raise
    part.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


@contextmanager
def reading(path: Path) -> Iterator[ExportSnapshot]:
    """An exported journal; `JournalError` when it is something else."""
    with explained(str(path), OSError, _ADVICE):
        yield ExportSnapshot(path)


def header(after: Link, head: Link) -> str:
    """The first line: what the records follow, and the last one."""
    known = {"trimtab_journal": _FORMAT, "after": after, "head": head}
    return json.dumps(known, separators=(",", ":")) + "\n"


def line(row: Row) -> str:
    """A record's line."""
    start, end = _around_body(row)
    return f"{start}{row.body}{end}"


def _around_body(row: Row) -> tuple[str, str]:
    start = f'{{"seq":{row.seq},"time_s":{json.dumps(row.time_s)},"kind":{json.dumps(row.kind)}'
    return f'{start},"body":', f',"hash":"{row.hash}"}}\n'


def _parsed_header(text: str) -> tuple[Link, Link]:
    try:
        known = json.loads(text)
        after, head = Link(*known["after"]), Link(*known["head"])
    except (LookupError, TypeError, ValueError) as error:
        raise DamagedError("its first line is not that of an exported journal") from error
    if text != header(after, head):
        raise DamagedError("its first line is not as it was exported")
    return after, head


def _parsed(text: str) -> Row:
    try:
        row = Row(**json.loads(text))
    except (LookupError, TypeError, ValueError) as error:
        raise DamagedError("its line is not a record") from error
    # Also where the JSON means the same: the text is what the hash was made of.
    start, end = _around_body(row)
    row = row._replace(body=text[len(start) : -len(end)])
    if text != line(row):
        raise DamagedError("its line is not as it was exported")
    return row
