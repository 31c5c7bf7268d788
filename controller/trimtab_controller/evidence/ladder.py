"""Where to start: the services in the order in which to entrust them to trimtab.

Most to gain and least to lose comes first: nobody tries an autopilot first with the family in
the car. It recommends; to set a mode takes a human, and nothing here knows how.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from trimtab_controller.config import GatesSpec, ServiceConfig
from trimtab_controller.evidence.gates import Gate, gates, higher
from trimtab_controller.evidence.scorecard import Scorecard, Verdict
from trimtab_guard.modes import Mode

MILLION = 1e6


@dataclass(frozen=True, slots=True)
class Rung:
    """A service with its mode and gates; ``recommendation`` is for a human, empty where none is.

    ``reason`` says why it stands where it does.
    """

    service: str
    mode: Mode
    gates: tuple[Gate, ...]
    recommendation: str
    reason: str

    @property
    def shut(self) -> int:
        """How many gates are."""
        return sum(not gate.met for gate in self.gates)


def ladder(
    services: Iterable[tuple[ServiceConfig, Mode, Scorecard]], spec: GatesSpec
) -> list[Rung]:
    """The services in order: open gates first, then the most saved for what is at stake."""
    rows = [(_rung(service, mode, card, spec), card) for service, mode, card in services]
    rows.sort(key=lambda row: (row[0].shut, -_worth(row[1].verdict), row[0].service))
    return [rung for rung, _ in rows]


def _worth(verdict: Verdict | None) -> float:
    """Money that is surely saved per million requests at stake."""
    if verdict is None:
        return 0.0
    return verdict.saved.low / max(verdict.observed.requests, 1.0) * MILLION


def _rung(service: ServiceConfig, mode: Mode, card: Scorecard, spec: GatesSpec) -> Rung:
    found = gates(card, spec)
    above = higher(mode, service.spec.ceiling)
    recommendation = ""
    if above and all(gate.met for gate in found):
        recommendation = (
            f"the evidence allows {above.value}; if you agree: `trimtab mode {card.service} "
            f"{above.value}`"
        )
    return Rung(card.service, mode, found, recommendation, _reason(card))


def _reason(card: Scorecard) -> str:
    verdict = card.verdict
    if verdict is None:
        return card.no_verdict
    worth, millions = _worth(verdict), verdict.observed.requests / MILLION
    return (
        f"surely saves {worth:.2g} {card.currency} per million requests, of which a day has "
        f"{millions:.3g}"
    )
