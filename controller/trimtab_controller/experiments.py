"""What canaries, mirrored variants and drills have in common: where they may run, one at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from trimtab_controller.mandate import Refusal
from trimtab_guard.modes import Mode

if TYPE_CHECKING:
    from trimtab_controller.board import Board


class Experiments(Protocol):
    """All experiments of one kind. Callers hold the board's lock."""

    def busy(self, service: str) -> str:
        """What keeps every other experiment from this service, and how to end it, or nothing."""
        ...

    def give_back(self, service: str, why: str, now_s: float) -> None:
        """End what runs on it, if anything does, at once and for this reason."""
        ...


def admit(board: Board, service: str, now_s: float) -> None:
    """`Refusal` where an experiment may not begin: another one is on, or people have to be asked.

    A service is in guarded mode only inside of its allowed windows, outside of every freeze, and
    while nobody has stopped trimtab.
    """
    if busy := board.busy(service):
        raise Refusal(busy)
    if why := barred(board, service, now_s):
        raise Refusal(
            f"{why}, and an experiment acts by itself: `trimtab mode {service} guarded` first"
        )


def barred(board: Board, service: str, now_s: float) -> str:
    """Why no experiment may go on without asking; empty while one may."""
    if board.mandate.aborting:
        return "what runs is being undone"
    standing = board.mandate.standing(service, now_s)
    if standing.mode is Mode.GUARDED:
        return ""
    why = "; ".join(reason.why for reason in standing.reasons)
    return f"{service} is in {standing.mode}{f' ({why})' if why else ''}"
