"""Journals what was recommended, many answers at a time: no caller waits for the disk.

Nothing is done here about a recommendation, so its record need not come first. While one batch is
on its way to the disk the next one gathers.
"""

from __future__ import annotations

import logging
import threading
from queue import Full, Queue
from typing import Any

from trimtab_controller.journal import Journal, JournalError
from trimtab_controller.protocols import Clock

log = logging.getLogger(__name__)

# Answers that may wait for the disk; more means that it is lost.
WAITING = 10_000
BATCH = 1000


class Ledger:
    """A thread that writes; closed, it has written all that it was given."""

    def __init__(self, journal: Journal, clock: Clock) -> None:
        self._journal = journal
        self._clock = clock
        self._error = ""
        self._waiting: Queue[dict[str, Any] | None] = Queue(WAITING)
        self._thread = threading.Thread(target=self._write, name="ledger", daemon=True)
        self._thread.start()

    def note(self, answer: dict[str, Any]) -> None:
        """Have ``answer`` journalled soon; `JournalError` while the journal does not take any."""
        try:
            self._waiting.put_nowait(answer)
        except Full:
            raise JournalError(f"{WAITING} answers wait for {self._journal.name}") from None
        if self._error:
            raise JournalError(self._error)

    def close(self) -> None:
        """Write what waits, and end."""
        self._waiting.put(None)
        self._thread.join()

    def _write(self) -> None:
        while batch := self._gather():
            try:
                self._journal.append("recommend", {"answers": batch}, self._clock())
                self._error = ""
            except JournalError as error:
                self._error = str(error)
                log.error("%d recommendations are not in the journal: %s", len(batch), error)

    def _gather(self) -> list[dict[str, Any]]:
        """What waits, one at least; nothing at the end."""
        batch = []
        while (answer := self._waiting.get()) is not None:
            batch.append(answer)
            if len(batch) == BATCH or self._waiting.empty():
                return batch
        # The end comes back for the call after this one.
        self._waiting.put(None)
        return batch
