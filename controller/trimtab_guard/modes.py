"""The ladder of trust: which changes a mode makes itself, and which it asks for."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from trimtab_guard.model import Verdict, Want

SAME_SHARE = 0.001
"""Route shares closer than this are the same: what a proxy reports is rounded."""


class Mode(StrEnum):
    """How far a service is trusted to trimtab, from nothing to everything within limits."""

    SHADOW = "shadow"
    APPROVE = "approve"
    ASSIST = "assist"
    GUARDED = "guarded"


RUNGS = tuple(Mode)


class Change(StrEnum):
    """What can be done to a service. A restart, one by one, is always asked for."""

    SCALE_UP = "scale-up"
    SCALE_DOWN = "scale-down"
    ROUTE = "route"
    RESTART = "restart"


class Authority(StrEnum):
    """What may be done with an allowed change: only record it, ask a human, or do it."""

    SHADOW = "shadow"
    ASK = "ask"
    ACT = "act"


_SHADOW, _ASK, _ACT = Authority

LADDER: dict[Mode, dict[Change, Authority]] = {
    Mode.SHADOW: dict(zip(Change, (_SHADOW, _SHADOW, _SHADOW, _SHADOW), strict=True)),
    Mode.APPROVE: dict(zip(Change, (_ASK, _ASK, _ASK, _ASK), strict=True)),
    Mode.ASSIST: dict(zip(Change, (_ACT, _ASK, _ASK, _ASK), strict=True)),
    Mode.GUARDED: dict(zip(Change, (_ACT, _ACT, _ACT, _ASK), strict=True)),
}


class Gate(NamedTuple):
    """An allowed decision, split by authority.

    Each part names only the backends where it changes something; what is not its to change
    it repeats from the present.
    """

    act: tuple[Want, ...]
    ask: tuple[Want, ...]
    shadow: tuple[Want, ...]


def authority(mode: Mode, change: Change) -> Authority:
    """What ``mode`` may do with ``change``."""
    return LADDER[mode][change]


def lower(mode: Mode, *others: Mode) -> Mode:
    """The one of all these that trusts least."""
    return RUNGS[min(map(RUNGS.index, (mode, *others)))]


def rung_below(mode: Mode) -> Mode:
    """One rung down; there is nothing below shadow."""
    return RUNGS[max(0, RUNGS.index(mode) - 1)]


def split(current: tuple[Want, ...], verdict: Verdict, mode: Mode) -> Gate:
    """Which part of ``verdict`` may be done now, be asked for, or only be recorded.

    A backend that ``current`` does not know is in no part.
    """
    allowed = {want.name: want for want in verdict.backends}
    pairs = [(now, allowed[now.name]) for now in current if now.name in allowed]

    def part(whose: Authority) -> tuple[Want, ...]:
        wants = [(now, _granted(now, then, mode, whose)) for now, then in pairs]
        return tuple(want for now, want in wants if want != now)

    return Gate(act=part(_ACT), ask=part(_ASK), shadow=part(_SHADOW))


def _granted(now: Want, then: Want, mode: Mode, whose: Authority) -> Want:
    """``now`` with those changes of ``then`` that are for ``whose`` authority."""
    scale = Change.SCALE_UP if then.replicas > now.replicas else Change.SCALE_DOWN
    scales = authority(mode, scale) is whose
    moves = authority(mode, Change.ROUTE) is whose and abs(then.weight - now.weight) >= SAME_SHARE
    return Want(
        now.name,
        then.replicas if scales else now.replicas,
        then.weight if moves else now.weight,
    )
