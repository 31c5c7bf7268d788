"""The scorecard of a service: what happened, and what the policy would have made of it.

Without its A/A certificate nothing else is in it, but why. It is worked out in ``appraisal``.
"""

from __future__ import annotations

from dataclasses import dataclass

from trimtab_agents.evidence.findings import Check, Interval
from trimtab_guard.modes import Mode


@dataclass(frozen=True, slots=True)
class Account:
    """A day, or the mean of several: ``cost`` in the user's currency, ``fleet`` as in the score."""

    requests: float
    miss_share: float
    cost: float
    fleet: float
    scale_events: float


@dataclass(frozen=True, slots=True)
class Day:
    """One day by its date: what happened, and what would have."""

    date: str
    observed: Account
    policy: Account


@dataclass(frozen=True, slots=True)
class Verdict:
    """What may be claimed with 95 % confidence at every daily look; means of a day.

    ``saving`` is a share of the cost, ``saved`` money a day, ``extra_misses`` a share of the
    requests; ``replayed`` is the incumbent once more, in the simulator as the policy is. There the
    guard changed ``interventions`` of the policy's proposals.
    """

    policy_name: str
    observed: Account
    replayed: Account
    policy: Account
    saving: Interval
    saved: Interval
    extra_misses: Interval
    interventions: float
    by_day: tuple[Day, ...]


@dataclass(frozen=True, slots=True)
class Scorecard:
    """``verdict`` is there when all of ``certificate`` passed; else ``no_verdict`` says why not.

    Of the ``days`` that count ``fresh_share`` was seen. ``acted_days`` are none of them, for
    trimtab wrote then. ``mode`` is the last tick's.
    """

    service: str
    made_s: float
    currency: str
    days: int
    acted_days: int
    fresh_share: float
    mode: Mode = Mode.SHADOW
    no_verdict: str = ""
    certificate: tuple[Check, ...] = ()
    verdict: Verdict | None = None
