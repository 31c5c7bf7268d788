"""Where the last decisions come from: the board of the daemon that decides, or its journal."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from typing import Any, Protocol

from trimtab_controller.config import ServiceConfig
from trimtab_controller.journal import JournalError, Location, read, reading
from trimtab_controller.journal.chain import entry
from trimtab_controller.memory import TickRecord
from trimtab_controller.records import unpack

log = logging.getLogger(__name__)


class Decisions(Protocol):
    """What a scaler reports from. Nothing here may wait."""

    @property
    def configs(self) -> Mapping[str, ServiceConfig]:
        """The services, by name."""

    @property
    def stopped(self) -> bool:
        """Whether a human has stopped trimtab."""

    def tick(self, service: str) -> TickRecord | None:
        """A service's last tick."""


class Follower:
    """The last decisions of a daemon elsewhere, read from its journal every ``every_s`` seconds.

    While the journal cannot be read, what was read grows old, and the scaler says so.
    """

    def __init__(
        self, journal: Location, configs: Mapping[str, ServiceConfig], every_s: float
    ) -> None:
        self.configs = configs
        self.stopped = True
        self._journal = journal
        self._every_s = every_s
        self._packed: dict[str, Any] = {}
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="follower", daemon=True)
        self._thread.start()

    def tick(self, service: str) -> TickRecord | None:
        """A service's last tick."""
        packed = self._packed.get(service)
        return unpack(TickRecord, packed) if packed else None

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
        commands = [one.kind for one in read(self._journal, kinds=("stop", "resume"))]
        self.stopped = commands[-1:] == ["stop"]
        with reading(self._journal) as snapshot:
            row = snapshot.last("tick")
        # A tick's record begins with its service.
        self._packed = {one[0]: one for one in entry(row).body["services"]} if row else {}
