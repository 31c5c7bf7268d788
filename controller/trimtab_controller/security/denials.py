"""Remembers every denied call, in a journal that a flood of them cannot fill.

The first of its kind is written at once, those that are alike are counted, and a minute later one
more record says how many they were. Where there are too many kinds, the rest are counted as one.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from trimtab_controller.journal import JournalError
from trimtab_controller.protocols import Clock

log = logging.getLogger(__name__)

KIND = "denied"
WINDOW_S = 60.0
KINDS = 50


@dataclass(frozen=True, slots=True)
class Denial:
    """A call that was denied: whose, from where, of what, and why. Nobody knows a caller ""."""

    caller: str
    peer: str
    method: str
    service: str
    reason: str


OTHERS = Denial("", "", "", "", f"others, for there were more than {KINDS} kinds")


class Appendable(Protocol):
    """A journal, as far as denials need one."""

    def append(self, kind: str, body: Mapping[str, Any], time_s: float) -> int:
        """As `Journal.append`."""


class Denials:
    """The journal's record of denials; threads may share it."""

    def __init__(self, journal: Appendable, clock: Clock, window_s: float = WINDOW_S) -> None:
        self._journal = journal
        self._clock = clock
        self._window_s = window_s
        self._turn = threading.Lock()
        # How often each happened in this window beyond what is written.
        self._more: Counter[Denial] = Counter()
        self._window: threading.Timer | None = None

    def add(self, denial: Denial) -> None:
        """Write it down, or count it; a journal that cannot be written to makes nothing allowed."""
        with self._turn:
            self._open_window()
            if denial in self._more:
                self._more[denial] += 1
            elif len(self._more) < KINDS:
                self._more[denial] = 0
                self._write(denial, 1)
            else:
                self._more[OTHERS] += 1

    def close(self) -> None:
        """Write what is counted, and begin anew."""
        with self._turn:
            if self._window:
                self._window.cancel()
            more, self._more, self._window = self._more, Counter(), None
            for denial, times in more.items():
                if times:
                    self._write(denial, times)

    def _open_window(self) -> None:
        if self._window is None:
            self._window = threading.Timer(self._window_s, self.close)
            self._window.daemon = True
            self._window.start()

    def _write(self, denial: Denial, times: int) -> None:
        body: dict[str, Any] = asdict(denial) | {"times": times}
        try:
            self._journal.append(KIND, body, self._clock())
        except JournalError as error:
            log.error("a denied call was not recorded: %s: %s", body, error)
