"""Keeps the rules of an election: a thread that looks at the Lease, and renews or awaits it."""

from __future__ import annotations

import logging
import math
import threading
import time
from datetime import UTC, datetime
from typing import Protocol

from trimtab_controller.election.election import Claim, Election
from trimtab_controller.election.spec import LeaseSpec

log = logging.getLogger(__name__)


class LeaseError(Exception):
    """The Lease could not be read, or was not written as far as we know."""


class LeadershipLostError(Exception):
    """Somebody else leads: what this process has in mind no longer counts."""


class LeaseObject(Protocol):
    """The one Lease that all candidates share, for one thread. Its calls have deadlines."""

    def read(self) -> Claim | None:
        """What it says, or that it is not there; raises `LeaseError`."""

    def write(self, claim: Claim) -> Claim:
        """Write it, if it is still as in ``claim.version``, and return it; raises `LeaseError`."""

    def close(self) -> None:
        """End the connections."""


class Candidate:
    """Stands for leadership until it is closed.

    Once it is lost, it is lost for this process: a new one begins with what the new leader wrote.
    """

    def __init__(self, me: str, spec: LeaseSpec, lease: LeaseObject) -> None:
        self._spec = spec
        self._lease = lease
        self._election = Election(me, spec)
        self._told: str | None = None
        self._begun, self._closing = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._stand, name="lease", daemon=True)
        self._thread.start()
        # Who is alone leads from here on, and need not stand by for a moment.
        self._begun.wait()

    def barred(self) -> str:
        """Why nothing may be written now; empty while this process leads."""
        return self._election.barred(time.monotonic())

    def check(self) -> None:
        """Raise `LeadershipLostError` once somebody else has taken over."""
        if lost := self._election.lost:
            raise LeadershipLostError(f"{lost}; start again to stand by")

    def close(self) -> None:
        """Let the next one lead at once; to be done when all else has ended."""
        self._closing.set()
        self._thread.join()

    def _stand(self) -> None:
        self._turn()
        self._begun.set()
        while not self._closing.wait(self._pause_s()):
            self._turn()
        self._resign()
        self._lease.close()

    def _pause_s(self) -> float:
        """Until the next turn, which comes no later than the end of somebody else's Lease."""
        return min(self._spec.retry_s, self._election.waits_s(time.monotonic()) or math.inf)

    def _turn(self) -> None:
        election, trouble = self._election, ""
        try:
            election.see(self._lease.read(), time.monotonic())
            sent_s = time.monotonic()
            if claim := election.bid(sent_s, _stamp()):
                election.won(self._lease.write(claim), sent_s)
        except LeaseError as error:
            trouble = str(error)
        self._tell(trouble or self.barred())

    def _tell(self, news: str) -> None:
        """Log what has changed: that we lead, or why we do not, or may not for long."""
        if news != self._told:
            self._told = news
            log.log(logging.WARNING if news else logging.INFO, "%s", news or f"leads: {self._spec}")

    def _resign(self) -> None:
        if claim := self._election.resign(_stamp()):
            try:
                self._lease.write(claim)
            except LeaseError as error:
                log.warning("the next leader must wait for %s s: %s", self._spec.duration_s, error)


def _stamp() -> str:
    """The present for people, as a MicroTime."""
    return datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
