"""Keeps a child alive: one that ends is started again, later each time that it ends soon."""

from __future__ import annotations

from trimtab_controller.protocols import Clock
from trimtab_controller.up.child import Child


class Backoff:
    """How long to wait before a child is started again: longer each time, until it has lived."""

    FIRST_S, LONGEST_S, LIVED_S = 1.0, 30.0, 60.0

    def __init__(self) -> None:
        self._wait_s = self.FIRST_S

    def wait_s(self, lived_s: float) -> float:
        """Return the wait after a child that lived ``lived_s``."""
        if lived_s >= self.LIVED_S:
            self._wait_s = self.FIRST_S
        wait_s, self._wait_s = self._wait_s, min(self.LONGEST_S, 2.0 * self._wait_s)
        return wait_s


class Attendant:
    """Looks after a child that nothing waits for."""

    def __init__(self, child: Child, clock: Clock) -> None:
        self._child = child
        self._clock = clock
        self._backoff = Backoff()
        self._started_s = 0.0
        self._due_s: float | None = clock()

    def keep(self) -> str:
        """Start it when it is time; returns why it has to be started again, when that is new."""
        now_s = self._clock()
        if self._due_s is not None:
            if now_s >= self._due_s:
                self._child.start()
                self._started_s, self._due_s = now_s, None
        elif self._child.ended is not None:
            wait_s = self._backoff.wait_s(now_s - self._started_s)
            self._due_s = now_s + wait_s
            return f"{self._child.fate()}, its next start is in {wait_s:g} s"
        return ""

    def last_words(self) -> str:
        """What it said at last."""
        return self._child.last_words()

    def end(self, patience_s: float) -> None:
        """End it for good."""
        self._child.end(patience_s)
