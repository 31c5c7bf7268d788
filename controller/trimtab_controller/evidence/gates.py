"""What the evidence must show before the next mode may be recommended, and what is missing."""

from __future__ import annotations

from dataclasses import dataclass

from trimtab_controller.config import GatesSpec
from trimtab_controller.evidence.scorecard import Scorecard
from trimtab_guard.modes import RUNGS, Mode


@dataclass(frozen=True, slots=True)
class Gate:
    """One criterion: what it wants, what is, and what to do or wait for where it is not met."""

    name: str
    wanted: str
    present: str
    met: bool
    missing: str = ""


def gates(card: Scorecard, spec: GatesSpec) -> tuple[Gate, ...]:
    """All gates of a service, in the order in which they open."""
    return (
        _days(card, spec),
        _fresh(card, spec),
        _certificate(card),
        _misses(card, spec),
        _saving(card, spec),
        _interventions(card, spec),
    )


def _gate(name: str, wanted: str, present: str, missing: str, *, met: bool) -> Gate:
    return Gate(name, wanted, present, met, "" if met else missing)


def _days(card: Scorecard, spec: GatesSpec) -> Gate:
    more = max(0, spec.days - card.days)
    missing = f"leave it in shadow for {more} more whole day{'s' if more > 1 else ''}"
    return _gate("days", f"at least {spec.days}", str(card.days), missing, met=more == 0)


def _fresh(card: Scorecard, spec: GatesSpec) -> Gate:
    return _gate(
        "fresh data",
        f"at least {spec.fresh_share:.0%} of them",
        f"{card.fresh_share:.1%}",
        "find out why metrics were missing: trimtab sees nothing then",
        met=card.fresh_share >= spec.fresh_share,
    )


def _certificate(card: Scorecard) -> Gate:
    passed = sum(check.passed for check in card.certificate)
    return _gate(
        "A/A certificate",
        "the replay is as what was seen",
        f"{passed} of {len(card.certificate)} checks" if card.certificate else "not tried yet",
        card.no_verdict,
        met=card.verdict is not None,
    )


def _misses(card: Scorecard, spec: GatesSpec) -> Gate:
    """By the upper end: that nothing was seen to be worse does not prove that nothing is."""
    wanted = f"at most {_points(spec.extra_misses)}"
    if card.verdict is None:
        return Gate("extra misses", wanted, "unknown", met=False, missing="the certificate first")
    high = card.verdict.extra_misses.high
    return _gate(
        "extra misses",
        wanted,
        f"surely at most {_points(high)}",
        "more days narrow this; a higher miss_price makes the policy more careful",
        met=high <= spec.extra_misses,
    )


def _saving(card: Scorecard, spec: GatesSpec) -> Gate:
    wanted = f"more than {spec.saving:.1%} of the cost"
    if card.verdict is None:
        return Gate("saving", wanted, "unknown", met=False, missing="the certificate first")
    low = card.verdict.saving.low
    return _gate(
        "saving",
        wanted,
        f"surely at least {low:.1%}",
        "more days narrow this; where little can be saved, leave the service as it is",
        met=low > spec.saving,
    )


def _interventions(card: Scorecard, spec: GatesSpec) -> Gate:
    name, wanted = "guard interventions", f"at most {spec.interventions:.0%} of the proposals"
    if card.verdict is None:
        return Gate(name, wanted, "unknown", met=False, missing="the certificate first")
    return _gate(
        name,
        wanted,
        f"{card.verdict.interventions:.1%}",
        "`trimtab explain` says which limits it meets: are they meant so?",
        met=card.verdict.interventions <= spec.interventions,
    )


def _points(share: float) -> str:
    return f"{100.0 * share:.2f} points"


def higher(mode: Mode, ceiling: Mode) -> Mode | None:
    """The next mode, unless the configuration's ceiling is reached."""
    place = RUNGS.index(mode)
    return RUNGS[place + 1] if place < RUNGS.index(ceiling) else None
