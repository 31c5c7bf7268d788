"""What the loop and the API share, under one lock: who may do what, and the latest ticks."""

from __future__ import annotations

import threading
from dataclasses import dataclass

from trimtab_controller.approvals import Approvals
from trimtab_controller.mandate import Mandate
from trimtab_controller.memory import TickRecord


@dataclass(frozen=True, slots=True)
class Status:
    """One service as humans see it after a tick."""

    tick: TickRecord
    policy: str
    stopped: bool
    pending: int


class Board:
    """Hold ``lock`` to read or change ``mandate`` and ``approvals``.

    The loop holds it from gating to the last write of a tick, so that a command that has
    returned is obeyed by every later write.
    """

    def __init__(self, mandate: Mandate, approvals: Approvals) -> None:
        self.lock = threading.Condition()
        self.mandate = mandate
        self.approvals = approvals
        self._statuses: list[Status] = []
        self._tick = 0

    def keep_time(self, now_s: float) -> None:
        """Remember a stop that came from outside, and end what is past its time."""
        self.mandate.keep(now_s)
        self.approvals.expire(now_s)

    def publish(self, statuses: list[Status]) -> None:
        """Show a tick to everybody who waits for one."""
        with self.lock:
            self._statuses = statuses
            self._tick += 1
            self.lock.notify_all()

    def wait(self, seen: int, timeout_s: float) -> tuple[int, list[Status]]:
        """The latest tick's number and statuses, none when there is no newer one than ``seen``."""
        with self.lock:
            if self.lock.wait_for(lambda: self._tick > seen, timeout_s):
                return self._tick, self._statuses
            return seen, []
