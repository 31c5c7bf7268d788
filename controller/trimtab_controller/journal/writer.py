"""The journal's one writer."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from trimtab_controller.journal.chain import (
    Entry,
    JournalError,
    Link,
    Location,
    Record,
    Row,
    Store,
    canonical,
    digest,
    entry,
)
from trimtab_controller.journal.checkpoint import KIND, Checkpoint
from trimtab_controller.journal.store import read, reading, writable


class Journal:
    """An open journal; threads may share it.

    ``listeners`` are called with each record's kind, body and time once it is written, by the
    thread that wrote it: they must not wait.
    """

    def __init__(self, location: Location, store: Store) -> None:
        self.location = location
        self.listeners: list[Callable[[str, Mapping[str, Any], float], object]] = []
        self._store = store
        self._turn = threading.Lock()
        self._end = _sound_end(store)
        self._doubtful: Link | None = None

    @classmethod
    def open(cls, location: Location, *, evict: bool = False) -> Journal:
        """Open a file, or ``postgresql://…``, for writing and create what is missing.

        `JournalBusyError` when somebody else writes; ``evict`` ends that one's session, which only
        PostgreSQL can. `JournalError` when it is damaged, is something else, or lacks its last
        records.
        """
        store = writable(location, evict=evict)
        try:
            return cls(location, store)
        except BaseException:
            store.close()
            raise

    @property
    def name(self) -> str:
        """The location for messages, without passwords."""
        return self._store.name

    def append(self, kind: str, body: Mapping[str, Any], time_s: float) -> int:
        """Write a record; its number comes back when it is on the disk, and not before.

        ``ValueError`` when it is not plain, finite JSON. `JournalError` when it is not known to
        be written; only where a server was lost on the way, it may have been.
        """
        return self._tell([(kind, body)], time_s)

    def append_all(self, records: Sequence[Record], time_s: float) -> None:
        """Write records of one moment, all or none, with one sync; raises as `append`."""
        if records:
            self._tell(records, time_s)

    def append_text(self, kind: str, body: str, time_s: float) -> int:
        """As `append`, of a body that is JSON in ASCII already; listeners are not told of it."""
        return self._write(self._store.add, [(kind, body)], time_s)

    def prune(self, checkpoint: Checkpoint, time_s: float) -> int:
        """Write ``checkpoint`` in the place of the records that it stands for, as `append` does."""

        def prune(rows: Sequence[Row], after: Link) -> None:
            self._store.prune(rows[0], after, checkpoint.after.seq)

        return self._write(prune, [(KIND, canonical(checkpoint.body()))], time_s)

    def entries(
        self, kinds: Collection[str] | None = None, since_s: float | None = None, after: int = 0
    ) -> Iterator[Entry]:
        """Records in order, as `read` gives them."""
        return read(self.location, kinds, since_s, after)

    def last(self, kind: str) -> Entry | None:
        """The newest record of a kind."""
        with reading(self.location) as snapshot:
            row = snapshot.last(kind)
            return entry(row) if row else None

    def close(self) -> None:
        """Let another writer in."""
        self._store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _tell(self, records: Sequence[Record], time_s: float) -> int:
        """Write records, and tell listeners of them."""
        texts = [(kind, canonical(dict(body))) for kind, body in records]
        seq = self._write(self._store.add, texts, time_s)
        for listen in self.listeners:
            for kind, body in records:
                listen(kind, body, float(time_s))
        return seq

    def _write(
        self,
        add: Callable[[Sequence[Row], Link], None],
        texts: Sequence[tuple[str, str]],
        time_s: float,
    ) -> int:
        time_s = float(time_s)
        if not math.isfinite(time_s):
            raise ValueError(f"a journal record needs a finite time, and time_s is {time_s}")
        with self._turn:
            end = self._settled()
            rows = list(_chained(end, time_s, texts))
            self._doubtful = rows[-1].link
            add(rows, end)
            self._end, self._doubtful = rows[-1].link, None
        return rows[-1].seq

    def _settled(self) -> Link:
        """Our last record; after a failure only the store knows whether it was written."""
        if self._doubtful:
            end = _sound_end(self._store)
            if end not in (self._end, self._doubtful):
                raise JournalError(f"{self.name}: someone else wrote to it; restart the daemon")
            self._end, self._doubtful = end, None
        return self._end


def _chained(end: Link, time_s: float, texts: Iterable[tuple[str, str]]) -> Iterator[Row]:
    """The rows that follow ``end``, from their kinds and bodies."""
    for kind, text in texts:
        row = Row(end.seq + 1, time_s, kind, text, digest(end.hash, time_s, kind, text))
        yield row
        end = row.link


def _sound_end(store: Store) -> Link:
    """The last record, which must be the one that the head names."""
    last, head = store.ends()
    if last != head:
        raise JournalError(
            f"{store.name}: its head names record {head.seq}, but its last one is {last.seq}; "
            "see `trimtab journal verify`, then put a good copy back, or start a new journal"
        )
    return head
