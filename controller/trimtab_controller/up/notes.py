"""What was decided lately, a line for each decision that was news."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace

from trimtab_controller.up.words import change, reasons
from trimtab_proto.v1 import controller_pb2

NOTES_KEPT = 20


@dataclass(frozen=True, slots=True)
class Note:
    """One decision worth a line: what changed, why, and what came of it.

    ``times`` counts the ticks in a row that said the same. Without an outcome it is no
    decision but something that happened to the daemon.
    """

    time_s: float
    change: str
    why: str
    guard: str
    outcome: str
    times: int = 1


class Notes:
    """The latest notes, oldest first."""

    def __init__(self) -> None:
        self._notes: deque[Note] = deque(maxlen=NOTES_KEPT)
        self._told: tuple[object, ...] = ()

    def __iter__(self) -> Iterator[Note]:
        return iter(self._notes)

    def __reversed__(self) -> Iterator[Note]:
        return reversed(self._notes)

    def __len__(self) -> int:
        return len(self._notes)

    def see(self, status: controller_pb2.ServiceStatus) -> None:
        """Take in one tick of the daemon; the same answer again only counts up."""
        told = _gist(status)
        if not status.error and not status.reasons and status.outcome == "unchanged":
            told = ()
        elif told == self._told:
            self._notes[-1] = replace(self._notes[-1], times=self._notes[-1].times + 1)
        else:
            self._notes.append(_note(status))
        self._told = told

    def tell(self, time_s: float, text: str, why: str = "") -> None:
        """Take in something that happened to the daemon itself."""
        self._notes.append(Note(time_s, text, why, guard="", outcome=""))


def _gist(status: controller_pb2.ServiceStatus) -> tuple[object, ...]:
    """What makes a tick worth another line: other wishes, limits, outcome or error."""
    wishes = tuple((b.name, b.replicas, round(b.weight, 2)) for b in status.decision)
    limits = tuple((reason.code, reason.backend) for reason in status.reasons)
    return wishes, limits, status.outcome, status.error


def _note(status: controller_pb2.ServiceStatus) -> Note:
    return Note(
        time_s=status.time_s,
        change="no decision" if status.error else change(status),
        why=status.error or status.why,
        guard=reasons(status.reasons),
        outcome=status.outcome,
    )
