"""Who stands by follows the leader: its board, rebuilt from its journal again and again."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from trimtab_controller.approvals import Approvals
from trimtab_controller.board import Board
from trimtab_controller.canary.canaries import Canaries
from trimtab_controller.config import Config
from trimtab_controller.drills.drills import Drills
from trimtab_controller.journal import Entry, Journal, JournalError, Location, Record
from trimtab_controller.mandate import Mandate
from trimtab_controller.memory import TickRecord
from trimtab_controller.protocols import Clock
from trimtab_controller.records import unpack
from trimtab_controller.variants.rounds import Rounds
from trimtab_guard.modes import Mode

log = logging.getLogger(__name__)


class Copy(Journal):
    """Another's journal, to be read only: what would be written is dropped."""

    def __init__(self, location: Location) -> None:
        self.location = location

    def append(self, kind: str, body: Mapping[str, Any], time_s: float) -> int:  # noqa: ARG002  # as a journal
        """Nothing is appended."""
        return 0

    def append_all(self, records: Sequence[Record], time_s: float) -> None:
        """Nothing is appended."""


class Follower:
    """``board`` shows what the leader's does, as of at most ``every_s`` seconds ago.

    While the journal cannot be read, what was read grows old, and whoever reads it says so.
    """

    def __init__(
        self, location: Location, config: Config, stop_file: Path, every_s: float, clock: Clock
    ) -> None:
        """Raises `JournalError` when there is nothing to follow yet."""
        self._copy = Copy(location)
        self._config = config
        self._stop_file = stop_file
        self._every_s = every_s
        self._clock = clock
        self._seen = 0
        self.board = Board(*self._rebuilt(), config.cluster, clock)
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="follower", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Follow no longer."""
        self._end.set()
        self._thread.join()

    def _follow(self) -> None:
        while True:
            try:
                self._look()
            except JournalError as error:
                log.warning("the leader's decisions cannot be read: %s", error)
            if self._end.wait(self._every_s):
                return

    def _look(self) -> None:
        mandate, approvals, canaries, rounds, drills = self._rebuilt()
        last = self._copy.last("tick")
        with self.board.lock:
            self.board.mandate, self.board.approvals = mandate, approvals
            self.board.canaries, self.board.rounds = canaries, rounds
            self.board.drills = drills
        if last and last.seq != self._seen:
            self._seen = last.seq
            self._show(last)

    def _rebuilt(self) -> tuple[Mandate, Approvals, Canaries, Rounds, Drills]:
        configs, approval, now_s = self._config.by_name, self._config.approval, self._clock()
        mandate = Mandate(self._copy, configs, Mode.SHADOW, self._stop_file, now_s)
        approvals = Approvals(self._copy, approval.wait_s, approval.grant_s)
        rounds = Rounds(self._copy, self._clock, {})
        canaries = Canaries(self._copy, self._clock)
        return mandate, approvals, canaries, rounds, Drills(self._copy)

    def _show(self, last: Entry) -> None:
        ticks = [unpack(TickRecord, packed) for packed in last.body["services"]]
        policies = [tick.proposal.policy for tick in ticks if tick.proposal]
        self.board.publish(ticks, policies[0] if policies else "")
