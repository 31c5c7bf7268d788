"""One thing compared, and how far off it may be (DESIGN.md section 5)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

EVENT_MODEL = "event model"
# Relative, or absolute where that is more: waits in service times, shares late in parts of 1.
RELATIVE = 0.05
ABSOLUTE = {"wait": 0.01, "late": 0.005}

Quantity = Literal["wait", "late"]


class Estimate(NamedTuple):
    """A number and half of its 95 % confidence interval; a formula's is 0 wide."""

    value: float
    half_width: float = 0.0


@dataclass(frozen=True, slots=True)
class Row:
    """What ``source`` says of a case, and what the simulator found."""

    source: str
    case: str
    quantity: Quantity
    expected: Estimate
    found: Estimate

    @property
    def error(self) -> float:
        """Found less expected."""
        return self.found.value - self.expected.value

    @property
    def bar(self) -> float:
        """The largest error allowed."""
        return max(RELATIVE * self.expected.value, ABSOLUTE[self.quantity])

    @property
    def excess(self) -> float:
        """The error beyond both intervals, as a multiple of the bar."""
        return (abs(self.error) - self.expected.half_width - self.found.half_width) / self.bar

    @property
    def is_within(self) -> bool:
        """Whether the bar is met, as far as the intervals can tell."""
        return self.excess <= 1.0
