"""Which looks are evidence at all.

Three accidents of other tools: no data scored as a pass, measurements that failed called a
success, and frozen or doubled data that agreed with itself. Here such a look says nothing, for
either side, and when too many of the last ones did, neither does the comparison.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from trimtab_agents.canary.reading import Side
from trimtab_agents.canary.verdict import Reason

# Of so many last looks, so many may be flawed.
RECENT, MOST_FLAWED = 20, 5
# Two looks with so many answers do not agree in every bin by chance.
TELLING = 10


@dataclass(frozen=True, slots=True)
class Seen:
    """What is remembered of a side's last measurement."""

    time_s: float
    fingerprint: str

    @classmethod
    def of(cls, side: Side) -> Seen:
        """Too few answers have no fingerprint: they may agree by chance."""
        return cls(side.time_s, side.fingerprint if side.answers >= TELLING else "")

    def agrees(self, other: Seen) -> bool:
        """Whether chance decided the same twice."""
        return bool(self.fingerprint) and self.fingerprint == other.fingerprint

    def stands(self, before: Seen | None) -> bool:
        """Whether time does not go on, or the same things happen again."""
        return before is not None and (self.time_s <= before.time_s or self.agrees(before))


@dataclass(frozen=True, slots=True)
class Trust:
    """The flaws of recent looks, newest last, ``None`` where there was none; the last sides."""

    recent: tuple[Reason | None, ...] = ()
    old: Seen | None = None
    new: Seen | None = None

    def since_s(self, old: Side) -> float:
        """When what this side brings began, as far as one knows."""
        return min(self.old.time_s if self.old else old.time_s, old.time_s)

    @property
    def flaw(self) -> Reason | None:
        """What was wrong with the last look."""
        return self.recent[-1] if self.recent else None

    @property
    def doubt(self) -> Reason | None:
        """What most of the recent flaws are, when there are too many of them to say anything."""
        flaws = Counter(flaw for flaw in self.recent if flaw)
        return flaws.most_common(1)[0][0] if flaws.total() > MOST_FLAWED else None

    def after(self, old: Side | None, new: Side | None) -> Trust:
        """One look later."""
        if old is None or new is None or not (old.ready and new.ready):
            return self._then(Reason.MISSING, self.old, self.new)
        now = Seen.of(old), Seen.of(new)
        if now[0].stands(self.old) or now[1].stands(self.new):
            return self._then(Reason.FROZEN, *now)
        return self._then(Reason.IDENTICAL if now[0].agrees(now[1]) else None, *now)

    def _then(self, flaw: Reason | None, old: Seen | None, new: Seen | None) -> Trust:
        return Trust((*self.recent, flaw)[-RECENT:], old, new)
