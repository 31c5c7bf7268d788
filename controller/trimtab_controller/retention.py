"""How long the journal remembers everything: older records are folded into what they still mean.

A record counts until a later one says something else about the same subject. What is pruned was
verified first, and written to an archive where one is wanted; together with the journal that is
left, archives are still one chain.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from trimtab_controller.approvals import Answer, Envelope
from trimtab_controller.config import JournalSpec
from trimtab_controller.journal import Entry, Journal, JournalError, reading, whole_file
from trimtab_controller.journal.chain import Link, Snapshot, entry
from trimtab_controller.journal.checkpoint import KIND, Checkpoint, newest
from trimtab_controller.journal.export import chained, header, line, start
from trimtab_controller.mandate import OURSELVES
from trimtab_controller.memory import remembered_since_s
from trimtab_controller.protocols import Clock
from trimtab_controller.records import unpack

log = logging.getLogger(__name__)

DAY_S = 86_400.0
PERIOD_S = 3600.0
# The loop waits while a step is taken, for less than half a second.
STEP_RECORDS = 2000
PAUSE_S = 5.0
# They count for as long as memories reach back, and that much is never pruned.
SHORT_LIVED = {"tick", "outcome", "recommend", "denied", "look", "drill-look", "health", KIND}


@dataclass(frozen=True, slots=True)
class Pruned:
    """How many records are gone up to ``end``, and how many of them still count."""

    records: int
    carried: int
    archive: Path | None

    def __str__(self) -> str:
        kept = f"{self.records} records pruned, of which {self.carried} still count"
        return f"{kept}; they are all in {self.archive}" if self.archive else kept


def prune(
    journal: Journal,
    keep_s: float,
    now_s: float,
    archive: Path | None = None,
    most: int | None = None,
) -> Pruned | None:
    """Let go of what is older than ``keep_s``: of all, or of so many records at ``most``.

    `JournalError` when a record is not what was written, or ``archive`` cannot be; ``None`` when
    nothing is old enough.
    """
    with reading(journal.location) as snapshot:
        end = start(snapshot, _horizon_s(snapshot, keep_s, now_s))
        if most and end.seq > snapshot.after.seq + most:
            end = next(snapshot.rows(after=snapshot.after.seq + most - 1)).link
        if end.seq < 2 or end == snapshot.after:
            return None
        place = _place(archive, snapshot.after, end)
        lasting = _archived(snapshot, end, place)
        older = newest(snapshot)
        carried = still_counting([*(older.carried if older else ()), *lasting], now_s)
        records = end.seq - snapshot.after.seq
    journal.prune(Checkpoint(end, tuple(carried)), now_s)
    return Pruned(records, len(carried), place)


def still_counting(records: Iterable[Entry], now_s: float) -> list[Entry]:
    """Those that a daemon which starts now still goes by, in order."""
    latest: dict[tuple[str, str], Entry] = {}
    for record in records:
        latest |= dict.fromkeys(_subjects(record), record)
    counting = {record.seq: record for record in _without_ended(latest, now_s)}
    return [counting[seq] for seq in sorted(counting)]


def _subjects(record: Entry) -> Iterator[tuple[str, str]]:
    """What a record says something about."""
    body, kind = record.body, record.kind
    if kind == "envelope":
        yield kind, _envelope(record).id
        return
    service = body.get("service") or body.get("limits", {}).get("service", "")
    yield kind, service
    if "cooling_until_s" in body:
        yield "rollback", service
    if kind == "mode" and body["who"] != OURSELVES:
        yield "answer", service


def _without_ended(latest: dict[tuple[str, str], Entry], now_s: float) -> Iterator[Entry]:
    """All but envelopes that are over; the last of those stays, for no number is used twice."""
    numbers = [int(name) for kind, name in latest if kind == "envelope"]
    for (kind, name), record in latest.items():
        if kind == "envelope" and int(name) != max(numbers):
            envelope = _envelope(record)
            if envelope.answer is Answer.EXPIRED or envelope.expires_s <= now_s:
                continue
        yield record


def _envelope(record: Entry) -> Envelope:
    return unpack(Envelope, record.body["envelope"])


def _horizon_s(snapshot: Snapshot, keep_s: float, now_s: float) -> float:
    """What is before it may go; a daemon that starts needs what its memories reach back to."""
    last = snapshot.last("tick")
    return min(now_s - keep_s, remembered_since_s(last.time_s)) if last else now_s - keep_s


def _archived(snapshot: Snapshot, end: Link, place: Path | None) -> list[Entry]:
    """Check the records up to ``end`` and write them to ``place``; those that outlive ticks."""
    lasting = []
    try:
        with whole_file(place) if place else nullcontext() as file:
            _write(file, header(snapshot.after, end))
            for row in chained(snapshot, snapshot.after, end):
                _write(file, line(row))
                if row.kind not in SHORT_LIVED:
                    lasting.append(entry(row))
    except OSError as error:
        raise JournalError(f"{place}: {error.strerror}; nothing was pruned") from error
    return lasting


def _write(file: IO[str] | None, text: str) -> None:
    if file:
        file.write(text)


def _place(archive: Path | None, after: Link, end: Link) -> Path | None:
    """The archive's file: in a folder, its name says what is in it."""
    if archive is None:
        return None
    if archive.is_dir():
        return archive / f"journal-{after.seq + 1}-{end.seq}-{end.hash[:12]}.jsonl"
    if archive.exists():
        raise JournalError(f"{archive}: is there already, and no archive is overwritten")
    return archive


class Keeper:
    """Prunes the journal of a running daemon by and by, beside its loop."""

    def __init__(self, journal: Journal, spec: JournalSpec, clock: Clock) -> None:
        """`JournalError` when there is no such folder for archives."""
        self._journal = journal
        self._spec = spec
        self._archive = Path(spec.archive) if spec.archive else None
        self._clock = clock
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="journal keeper", daemon=True)
        if self._archive and not self._archive.is_dir():
            raise JournalError(f"journal.archive: {self._archive} is no folder: make it first")
        if spec.keep_days:
            self._thread.start()

    def close(self) -> None:
        """End after what is going on."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while not self._ended.wait(PERIOD_S):
            while self.prune() and not self._ended.wait(PAUSE_S):
                pass

    def prune(self) -> bool:
        """Take one step; whether there may be another."""
        keep_s, now_s = self._spec.keep_days * DAY_S, self._clock()
        try:
            pruned = prune(self._journal, keep_s, now_s, self._archive, STEP_RECORDS)
        except JournalError as error:
            log.error("the journal was not pruned: %s", error)
            return False
        if pruned:
            log.info("journal: %s", pruned)
        return pruned is not None
