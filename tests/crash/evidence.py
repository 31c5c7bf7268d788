"""The journal read without the daemon's code: SQLite, SHA-256, and the meaning of each record.

Only the shape of the packed records is borrowed, from `records.unpack`.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from trimtab_controller.approvals import Envelope
from trimtab_controller.memory import OutcomeRecord, TickRecord
from trimtab_controller.protocols import Intent
from trimtab_controller.records import unpack

AUTONOMOUS = ("assist", "guarded")


class Row(NamedTuple):
    """A record as it lies in the file."""

    seq: int
    time_s: float
    kind: str
    body: str
    hash: str

    @property
    def said(self) -> dict[str, Any]:
        said: dict[str, Any] = json.loads(self.body)
        return said


def rows(journal: Path) -> list[Row]:
    """All records, as they are; none when the daemon died before it had made its file."""
    if not journal.exists():
        return []
    with closing(sqlite3.connect(f"file:{journal}?mode=ro", uri=True)) as database:
        if not database.execute("SELECT * FROM sqlite_master").fetchall():
            return []
        found = database.execute("SELECT seq, time_s, kind, body, hash FROM entries ORDER BY seq")
        return [Row(*row) for row in found]


def breaks(journal: Sequence[Row]) -> Iterator[str]:
    """Where the chain is not what SAFETY.md says that it is."""
    digest = "0" * 64
    for number, row in enumerate(journal, 1):
        chained = f"{digest}[{json.dumps(row.time_s)},{json.dumps(row.kind)},{row.body}]"
        digest = hashlib.sha256(chained.encode()).hexdigest()
        if (row.seq, row.hash) != (number, digest):
            yield f"record {number} is {row.seq} and hashed {row.hash}, not {digest}"
            return


@dataclass(frozen=True, slots=True)
class Present:
    """Mode, stop, abort and cool-down after a record."""

    mode: str = "shadow"
    stopped: bool = False
    aborting: bool = False
    cooling_until_s: float = 0.0

    def after(self, row: Row) -> Present:
        """Stopped is in shadow, and so is resumed; a cool-down only ends with its time.

        An abort ends in a stop.
        """
        match row.kind:
            case "mode":
                until_s = row.said.get("cooling_until_s", self.cooling_until_s)
                return replace(self, mode=row.said["mode"], cooling_until_s=until_s)
            case "abort":
                return replace(self, aborting=True)
            case "stop":
                return replace(self, mode="shadow", stopped=True, aborting=False)
            case "resume":
                return replace(self, mode="shadow", stopped=False)
        return self

    def mode_at(self, now_s: float) -> str:
        """The mode that holds: cooling down, everything is asked for."""
        return "approve" if self.mode in AUTONOMOUS and now_s < self.cooling_until_s else self.mode


def present(journal: Sequence[Row]) -> Present:
    """Mode and stop at the journal's end."""
    now = Present()
    for row in journal:
        now = now.after(row)
    return now


@dataclass(frozen=True, slots=True)
class Decision:
    """A tick that first names an intent, and what was in force when it was recorded."""

    tick: TickRecord
    intent: Intent
    present: Present
    envelopes: dict[str, Envelope]


def ticks(journal: Sequence[Row]) -> Iterator[TickRecord]:
    """Every service's ticks."""
    for row in journal:
        if row.kind == "tick":
            yield from (unpack(TickRecord, packed) for packed in row.said["services"])


def outcomes(journal: Sequence[Row]) -> list[OutcomeRecord]:
    """What became of the intents."""
    return [unpack(OutcomeRecord, row.said["service"]) for row in journal if row.kind == "outcome"]


def envelopes(journal: Sequence[Row]) -> list[Envelope]:
    """Every state of every envelope, in order."""
    return [unpack(Envelope, row.said["envelope"]) for row in journal if row.kind == "envelope"]


def decisions(journal: Sequence[Row]) -> Iterator[Decision]:
    """Every intent once, with what stood in the journal before it."""
    now, granted, known = Present(), dict[str, Envelope](), set[str]()
    for row in journal:
        now = now.after(row)
        for envelope in envelopes([row]):
            granted[envelope.id] = envelope
        for tick in ticks([row]):
            if tick.intent and tick.intent.request_id not in known:
                known.add(tick.intent.request_id)
                yield Decision(tick, tick.intent, now, dict(granted))


def unconcluded(journal: Sequence[Row]) -> set[str]:
    """Intents without an outcome."""
    concluded = {outcome.request_id for outcome in outcomes(journal)}
    return {decision.intent.request_id for decision in decisions(journal)} - concluded
