"""The scorecard as one page that needs nothing else: to send to a boss."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from jinja2 import Environment, PackageLoader, StrictUndefined

from trimtab_controller.config import GatesSpec
from trimtab_controller.evidence.gates import gates
from trimtab_controller.evidence.scorecard import Scorecard, Verdict

WIDTH, HEIGHT, FOOT = 860.0, 190.0, 26.0


@dataclass(frozen=True, slots=True)
class Bars:
    """A day in the chart: where its two bars stand, and how high they are."""

    date: str
    x: float
    width: float
    observed: float
    policy: float


def page(card: Scorecard, spec: GatesSpec) -> str:
    """The whole page; everything in it is escaped."""
    environment = Environment(
        loader=PackageLoader("trimtab_controller.evidence", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"percent": percent, "number": number, "money": money}
    made = datetime.fromtimestamp(card.made_s, UTC).strftime("%Y-%m-%d %H:%M UTC")
    return environment.get_template("page.html.j2").render(
        card=card,
        verdict=card.verdict,
        gates=gates(card, spec),
        headline=headline(card),
        made=made,
        bars=list(_bars(card.verdict)) if card.verdict else [],
        chart={"width": WIDTH, "height": HEIGHT, "foot": FOOT},
    )


def headline(card: Scorecard) -> str:
    """The whole of it in a sentence."""
    verdict = card.verdict
    if verdict is None:
        return f"No verdict on {card.service} yet"
    saving, saved = verdict.saving, verdict.saved
    if saving.low > 0.0:
        return (
            f"{card.service} would have cost {saving.value:.0%} less: "
            f"{money(saved.value)} {card.currency} a day"
        )
    if saving.high < 0.0:
        return f"{card.service} would have cost {-saving.value:.0%} more"
    return f"{card.service} would have cost about the same, as far as can be told"


def percent(share: float) -> str:
    """A share."""
    return f"{share:.2%}"


def money(value: float) -> str:
    """Cents, as long as they count."""
    return f"{value:,.0f}" if abs(value) >= 10_000.0 else f"{value:,.2f}"


def number(value: float) -> str:
    """Three digits, thousands apart."""
    return f"{value:,.0f}" if abs(value) >= 100.0 else f"{value:.3g}"


def _bars(verdict: Verdict) -> Iterator[Bars]:
    days = verdict.by_day
    most = max(max(day.observed.cost, day.policy.cost) for day in days) or 1.0
    step = WIDTH / len(days)
    width = min(26.0, 0.36 * step)
    room = HEIGHT - FOOT - 6.0
    for place, day in enumerate(days):
        middle = (place + 0.5) * step
        heights = (room * account.cost / most for account in (day.observed, day.policy))
        yield Bars(day.date, middle, width, *heights)
