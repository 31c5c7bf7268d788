"""From an outlook to a restart, one replica after the other: asked for, judged, and done once.

It frees what a leak has taken, and does nothing about the leak; so it is nothing that a policy may
do by itself, in no mode.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from trimtab_controller import act
from trimtab_controller.approvals import Move, Request
from trimtab_controller.board import Board
from trimtab_controller.config import ServiceConfig
from trimtab_controller.foresight.outlook import Outlook, Remedy
from trimtab_controller.foresight.words import told
from trimtab_controller.protocols import Intent, StageReport
from trimtab_guard.history import History
from trimtab_guard.model import State
from trimtab_guard.modes import Change
from trimtab_guard.ration import Purse
from trimtab_guard.restart import objections


def due(outlooks: Sequence[Outlook]) -> Iterator[Outlook]:
    """What a restart is proposed against, the nearest limit first, of each backend once."""
    seen: set[str] = set()
    near = [outlook for outlook in outlooks if outlook.remedy is Remedy.RESTART]
    for outlook in sorted(near, key=lambda outlook: outlook.forecast.low_s):
        if outlook.backend not in seen:
            seen.add(outlook.backend)
            yield outlook


def intended(
    board: Board,
    config: ServiceConfig,
    outlooks: Sequence[Outlook],
    report: StageReport,
    state: State,
    known: History,
    now_s: float,
    purse: Purse,
) -> Intent | None:
    """The restart that people have granted and the guard has nothing against; others are asked.

    Of one backend at a time, and never beside an experiment. Callers hold the board's lock.
    """
    if not report.restarts or report.barred:
        return None
    if board.busy(config.name) or purse.crowd(config.name):
        return None
    for outlook in due(outlooks):
        if objections(outlook.backend, state, config.limits, known, now_s):
            continue
        why = told(outlook)
        request = Request(
            service=config.name,
            now=act.fields(report),
            then=act.fields(report),
            terms=f"{outlook.measure}/{config.limits_digest}",
            why=why,
            time_s=state.time_s,
        )
        ready = next(b.ready for b in report.backends if b.name == outlook.backend)
        if board.approvals.use(request, Move(outlook.backend, Change.RESTART, 0, ready)):
            epoch = board.mandate.epoch
            return act.restart(config.limits, state.time_s, report, outlook.backend, why, epoch)
    return None
