"""What the loop and the API share, under one lock: who may do what, and the latest ticks."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass

from trimtab_controller.approvals import Approvals
from trimtab_controller.mandate import Mandate
from trimtab_controller.memory import TickRecord
from trimtab_controller.protocols import Clock
from trimtab_guard.authority import Lease, Standing
from trimtab_guard.limits import ClusterLimits


@dataclass(frozen=True, slots=True)
class Status:
    """One service as humans see it: its last tick, and what holds now.

    A command that came after the tick counts here at once.
    """

    tick: TickRecord
    policy: str
    standing: Standing
    lease: Lease
    stopped: bool
    pending: int
    config_error: str


class Board:
    """Hold ``lock`` to read or change ``mandate``, ``approvals`` and the ``cluster``'s limits.

    ``config_error`` is why a changed configuration is not followed.

    The loop holds it from gating to the last write of a tick, so that a command that has
    returned is obeyed by every later write.
    """

    def __init__(
        self, mandate: Mandate, approvals: Approvals, cluster: ClusterLimits, clock: Clock
    ) -> None:
        self.lock = threading.Condition()
        self.mandate = mandate
        self.approvals = approvals
        self.cluster = cluster
        self.config_error = ""
        self._clock = clock
        self._ticks: Sequence[TickRecord] = ()
        self._policy = ""
        self._count = 0

    def keep_time(self, now_s: float) -> None:
        """Remember a stop that came from outside, and end what is past its time."""
        self.mandate.keep(now_s)
        self.approvals.expire(now_s)

    def publish(self, ticks: Sequence[TickRecord], policy: str) -> None:
        """Show a tick of ``policy`` to everybody who waits for one."""
        with self.lock:
            self._ticks, self._policy = ticks, policy
            self._count += 1
            self.lock.notify_all()

    def wait(self, seen: int, timeout_s: float) -> tuple[int, list[Status]]:
        """The latest tick's number and statuses, none when there is no newer one than ``seen``."""
        with self.lock:
            if self.lock.wait_for(lambda: self._count > seen, timeout_s):
                return self._count, [self._status(tick) for tick in self._ticks]
            return seen, []

    def _status(self, tick: TickRecord) -> Status:
        now_s = self._clock()
        pending = self.approvals.pending(now_s)
        return Status(
            tick=tick,
            policy=self._policy,
            standing=self.mandate.standing(tick.service, now_s),
            lease=self.mandate.lease(tick.service),
            stopped=self.mandate.stopped,
            pending=sum(envelope.service == tick.service for envelope in pending),
            config_error=self.config_error,
        )
