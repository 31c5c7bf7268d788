"""One journal has one writer; whoever comes later waits for it, and is of use meanwhile.

A standby shows what the leader does, and answers KEDA from its last decision, so that a Service may
send people and KEDA to any of them. All other calls are for who decides: it says who that is.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from trimtab_agents.bundle import PpoPolicy
from trimtab_controller.config import Config
from trimtab_controller.election.candidate import Candidate
from trimtab_controller.explain.changes import Changes
from trimtab_controller.explain.explanation import Explainer
from trimtab_controller.following import Copy, Follower
from trimtab_controller.journal import Journal, JournalBusyError, JournalError, Location
from trimtab_controller.keda.scaler import ExternalScaler
from trimtab_controller.reader import Reader
from trimtab_controller.recommend.subject import configured
from trimtab_controller.refusals import InDoubtError
from trimtab_controller.security.entrance import Entrance
from trimtab_controller.server import Server
from trimtab_proto.v1 import controller_pb2

log = logging.getLogger(__name__)

# How often to look whether the election is won: a memory is read for it.
ELECTED_S = 0.2


class Unwritten:
    """Stands for the journal that only the leader may write to."""

    def append(self, kind: str, body: Mapping[str, Any], time_s: float) -> int:  # noqa: ARG002  # as a journal
        """Nothing is appended; `JournalError` says so."""
        raise JournalError(f"a standby writes no {kind!r} record")


class Bystander(Reader):
    """Reads, and for everything else says who leads."""

    def __init__(self, *parts: Any, leader: Callable[[], str]) -> None:
        super().__init__(*parts)
        self._leader = leader

    def _refuse(self, _request: object, _context: object) -> NoReturn:
        raise InDoubtError("STANDBY", f"this daemon stands by: {self._leader()}")


for _method in controller_pb2.DESCRIPTOR.services_by_name["Controller"].methods:
    if _method.name not in vars(Reader):
        setattr(Bystander, _method.name, Bystander._refuse)


@dataclass(frozen=True, slots=True)
class Standby:
    """Waits for a journal, with all that it takes to be of use meanwhile."""

    location: Location
    config: Config
    listen: str
    stop_file: Path
    bundle: PpoPolicy

    def wait(self, ended: Callable[[float], bool], candidate: Candidate | None) -> Journal | None:
        """The journal, once nobody else writes to it; ``None`` when this process should end first.

        Where there is an election, it is the ``candidate``'s once that leads. ``ended`` waits until
        a moment of the monotonic clock, and tells.
        """
        look_s = ELECTED_S if candidate else self.config.tick_s
        with ExitStack() as parts:
            told, serving = "", False
            while True:
                try:
                    return _opened(self.location, candidate)
                except JournalBusyError as error:
                    if str(error) != told:
                        told = str(error)
                        log.info("standing by: %s", told)
                serving = serving or self._serve(_leader(told, candidate), parts)
                if ended(time.monotonic() + look_s):
                    return None

    def _serve(self, leader: Callable[[], str], parts: ExitStack) -> bool:
        """Whether there is a leader to follow; then all who ask are answered."""
        try:
            every_s = self.config.tick_s / 2
            follower = Follower(self.location, self.config, self.stop_file, every_s, time.time)
        except JournalError:
            return False
        parts.callback(follower.close)
        entrance = Entrance(self.config.security, lambda _: "", Unwritten(), time.time)
        parts.callback(entrance.close)
        copy, subjects = Copy(self.location), configured(self.config)
        explainer = Explainer(copy, subjects, self.bundle)
        changes = Changes(copy, subjects, time.time)
        reader = Bystander(follower.board, subjects, explainer, changes, time.time, leader=leader)
        scaler = ExternalScaler(follower.board, time.time)
        server = Server(reader, scaler, self.listen, entrance)
        parts.callback(server.close)
        log.info("what the leader does is shown at %s", server.address)
        return True


def _leader(told: str, candidate: Candidate | None) -> Callable[[], str]:
    """Says who leads: without an election, as it was when we came."""
    return candidate.barred if candidate else lambda: told


def _opened(location: Location, candidate: Candidate | None) -> Journal:
    """`JournalBusyError` while it is somebody else's.

    Who has won the election does not wait for a predecessor that hangs with the journal in hand.
    """
    if candidate is None:
        return Journal.open(location)
    if barred := candidate.barred():
        raise JournalBusyError(barred)
    return Journal.open(location, evict=True)
