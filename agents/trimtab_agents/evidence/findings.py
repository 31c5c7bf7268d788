"""What the evidence says, apart from what works it out: who only shows it compiles nothing."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate, and between what the truth is; infinite where the days are too few to say."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Check:
    """What was observed beside its replay.

    ``tolerance`` says what would pass, and ``meaning`` what is likely where it does not.
    """

    name: str
    observed: float
    replayed: float
    passed: bool
    tolerance: str
    meaning: str
