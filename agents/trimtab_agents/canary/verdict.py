"""What a comparison says, apart from what works it out."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Call(StrEnum):
    """What to do: weight back, go on, or wait."""

    BAD = "bad"
    GOOD = "good"
    NONE = "none"


class Reason(StrEnum):
    """Why a call was made, or none."""

    WORSE = "the new version is worse by more than may be"
    FINE = "the new version is not worse by more than may be"
    UNDECIDED = "what was seen goes with either"
    TOO_LITTLE = "too few answers were seen"
    MISSING = "measurements are missing"
    FROZEN = "measurements do not move"
    IDENTICAL = "both versions' measurements are the same, look for look"


@dataclass(frozen=True, slots=True)
class Effect:
    """How much worse the new side is in one metric: 0.2 is 20 % worse, for errors 20 points.

    The truth is between ``low`` and ``high`` at every look at once, but for a share of two alphas
    of all comparisons; infinite ends say that nothing is known. ``bad`` and ``good`` are log
    evidence (natural) that it is worse by more than may be, and that it is not.
    """

    metric: str
    value: float
    low: float
    high: float
    bad: float
    good: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """The call; log evidence (natural) for bad and for good, of which ``needed`` is enough."""

    call: Call
    reason: Reason
    bad: float
    good: float
    needed: float
    looks: int
    old_answers: int
    new_answers: int
    effects: tuple[Effect, ...]
