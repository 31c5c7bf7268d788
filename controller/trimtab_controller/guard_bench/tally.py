"""What was thrown at a guard, what it made of it, and which promises it broke."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from trimtab_guard.model import Reason, Verdict


class Broken(NamedTuple):
    """A promise that was not kept, and the number of the life in which that happened."""

    promise: str
    life: int


@dataclass(slots=True)
class Tally:
    """``broken``: how often; ``cut``: code -> verdicts; ``took_s``: each call of judge.

    ``life`` is the number of the present one.
    """

    clock_s: Callable[[], float]
    life: int = 0
    broken: Counter[Broken] = field(default_factory=Counter)
    cut: Counter[str] = field(default_factory=Counter)
    took_s: array[float] = field(default_factory=lambda: array("d"))

    @property
    def proposals(self) -> int:
        """How many were judged."""
        return len(self.took_s)

    def timed(self, judge: Callable[..., Verdict], *arguments: Any) -> Verdict:
        """One verdict of ``judge``."""
        started_s = self.clock_s()
        verdict = judge(*arguments)
        self.took_s.append(self.clock_s() - started_s)
        self.count(verdict.reasons)
        return verdict

    def blame(self, promises: Iterable[str]) -> None:
        """These were not kept."""
        self.broken.update(Broken(promise, self.life) for promise in promises)

    def count(self, reasons: Iterable[Reason]) -> None:
        """A verdict that was cut for these reasons; each code counts once."""
        self.cut.update({str(reason.code) for reason in reasons})
