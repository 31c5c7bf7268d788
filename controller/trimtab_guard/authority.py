"""How far a service is trusted right now: the mode that was set, and what lowers it today.

Nothing here can raise a mode. Asked once when a tick is decided, and once more just before a
write is sent, with the decision's deadline among the facts.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

from trimtab_guard.modes import Mode, lower
from trimtab_guard.reasons import Code
from trimtab_guard.schedule import LAST_S, Schedule
from trimtab_guard.senses import SKEW_S


class Lease(NamedTuple):
    """The time for which a human has entrusted a service, event times."""

    from_s: float
    until_s: float

    def holds(self, now_s: float) -> bool:
        """Whether ``now_s`` is in it: a clock that has gone back does not prolong it."""
        return self.from_s - SKEW_S <= now_s < self.until_s


class Epoch(NamedTuple):
    """A leadership: nobody but ``leader`` writes under this number. 0 is none."""

    number: int = 0
    leader: str = ""

    def deposes(self, other: Epoch) -> bool:
        """Whether nothing may be written under ``other`` any more, now that this one was seen."""
        return self != other and self.number >= other.number


NO_EPOCH = Epoch()
NO_LEASE = Lease(0.0, 0.0)
FOREVER = Lease(-math.inf, math.inf)


class Facts(NamedTuple):
    """What was observed of a service, apart from its state, that decides who may act.

    ``foreign_writer`` is who else changed a field of ours and was not answered yet; ``epoch``
    is the leadership that we write under and ``newest_epoch`` the newest that the stage saw;
    nothing may be sent after ``deadline_s``; a rollback cools down until ``cooling_until_s``;
    ``not_leading`` is why, of several daemons, this one does not lead now. The defaults change
    nothing; the lease has none.
    """

    lease: Lease
    foreign_writer: str = ""
    stopped: bool = False
    epoch: Epoch = NO_EPOCH
    newest_epoch: Epoch = NO_EPOCH
    deadline_s: float = math.inf
    cooling_until_s: float = -math.inf
    not_leading: str = ""


class Ceiling(NamedTuple):
    """One thing that lowers the mode: its code, the highest mode under it, and why in words."""

    code: Code
    mode: Mode
    why: str


class Standing(NamedTuple):
    """The mode that holds now, and every reason why it is not the one that was set."""

    mode: Mode
    reasons: tuple[Ceiling, ...] = ()


def effective(mode: Mode, facts: Facts, schedule: Schedule, now_s: float) -> Standing:
    """``mode`` under every ceiling that the facts, the schedule and the clock put over it.

    Shadow where trimtab is not the one to write at all; approve where only autonomy has ended:
    then a human may still be asked, and what they have granted still holds.
    """
    ceilings = (*_ceilings(facts, now_s), *_by_calendar(schedule, now_s))
    lowering = tuple([ceiling for ceiling in ceilings if lower(mode, ceiling.mode) is not mode])
    if not lowering:
        return Standing(mode)
    return Standing(lower(mode, *(ceiling.mode for ceiling in lowering)), lowering)


def _ceilings(facts: Facts, now_s: float) -> Iterator[Ceiling]:
    if facts.stopped:
        yield Ceiling(Code.STOPPED, Mode.SHADOW, "trimtab is stopped")
    if facts.foreign_writer:
        why = f"{facts.foreign_writer} changed what trimtab steers"
        yield Ceiling(Code.FOREIGN_WRITER, Mode.SHADOW, why)
    if facts.newest_epoch.deposes(facts.epoch):
        (number, leader), ours = facts.newest_epoch, facts.epoch.number
        why = f"{leader} leads under epoch {number}, ours is {ours}"
        yield Ceiling(Code.DEPOSED, Mode.SHADOW, why)
    if facts.not_leading:
        yield Ceiling(Code.NOT_LEADING, Mode.SHADOW, facts.not_leading)
    if not now_s <= facts.deadline_s:
        why = f"{now_s - facts.deadline_s:.1f} s after the decision's deadline"
        yield Ceiling(Code.LATE, Mode.SHADOW, why)
    if not facts.lease.holds(now_s):
        yield Ceiling(Code.LEASE, Mode.APPROVE, "the autonomy lease does not hold: renew it")
    if not now_s >= facts.cooling_until_s:
        why = f"cooling down for {facts.cooling_until_s - now_s:.0f} s after a rollback"
        yield Ceiling(Code.COOLING, Mode.APPROVE, why)


def _by_calendar(schedule: Schedule, now_s: float) -> Iterator[Ceiling]:
    if not 0.0 <= now_s <= LAST_S:
        yield Ceiling(Code.CLOSED, Mode.SHADOW, f"the clock shows {now_s!r}")
        return
    freeze = schedule.freeze(now_s)
    if freeze:
        until = f"frozen until {freeze.end} {schedule.zone}"
        yield Ceiling(Code.FREEZE, Mode.APPROVE, f"{until}: {freeze.why}".removesuffix(": "))
    if not schedule.is_open(now_s):
        why = f"outside the allowed windows ({schedule.zone})"
        yield Ceiling(Code.CLOSED, Mode.APPROVE, why)
