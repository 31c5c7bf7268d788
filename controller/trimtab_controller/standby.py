"""One journal has one writer; whoever comes later waits for it, and is of use meanwhile.

A standby answers KEDA from the leader's last decision, so that a headless Service may send KEDA to
any of them. All other calls it refuses: they are for who decides.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import Any

from trimtab_controller.config import Config
from trimtab_controller.election.candidate import Candidate
from trimtab_controller.journal import Journal, JournalBusyError, JournalError, Location
from trimtab_controller.keda.decisions import Follower
from trimtab_controller.keda.scaler import ExternalScaler
from trimtab_controller.security.entrance import Entrance
from trimtab_controller.server import Server

log = logging.getLogger(__name__)

# How often to look whether the election is won: a memory is read for it.
ELECTED_S = 0.2


class Unwritten:
    """Stands for the journal that only the leader may write to."""

    def append(self, kind: str, body: Mapping[str, Any], time_s: float) -> int:  # noqa: ARG002  # as a journal
        """Nothing is appended; `JournalError` says so."""
        raise JournalError(f"a standby writes no {kind!r} record")


def wait_for_journal(
    location: Location,
    config: Config,
    listen: str,
    ended: Callable[[float], bool],
    candidate: Candidate | None,
) -> Journal | None:
    """The journal, once nobody else writes to it; ``None`` when this process should end first.

    Where there is an election, it is the ``candidate``'s once that leads. ``ended`` waits until a
    moment of the monotonic clock, and tells.
    """
    look_s = ELECTED_S if candidate else config.tick_s
    with ExitStack() as parts:
        standing_by = False
        while True:
            try:
                return _opened(location, candidate)
            except JournalBusyError as error:
                if not standing_by:
                    standing_by = True
                    log.info("standing by: %s", error)
                    _answer_keda(location, config, listen, parts)
            if ended(time.monotonic() + look_s):
                return None


def _opened(location: Location, candidate: Candidate | None) -> Journal:
    """`JournalBusyError` while it is somebody else's.

    Who has won the election does not wait for a predecessor that hangs with the journal in hand.
    """
    if candidate is None:
        return Journal.open(location)
    if barred := candidate.barred():
        raise JournalBusyError(barred)
    return Journal.open(location, evict=True)


def _answer_keda(location: Location, config: Config, listen: str, parts: ExitStack) -> None:
    follower = Follower(location, config.by_name, config.tick_s / 2)
    parts.callback(follower.close)
    entrance = Entrance(config.security, lambda _: "", Unwritten(), time.time)
    parts.callback(entrance.close)
    server = Server(None, ExternalScaler(follower, time.time), listen, entrance)
    parts.callback(server.close)
    log.info("KEDA is answered at %s from the journal", server.address)
