"""The end of the benchmark: how far life and simulator are apart, as a table and as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any, NamedTuple

from rich.table import Table

from trimtab_controller.live_bench.books import Score
from trimtab_controller.live_bench.predict import Expected

HPA, PPO = PLAYERS = ("hpa", "ppo")
# A process that is held up for longer makes requests late that no model knows of.
STALL_S = 0.1


class Bar(NamedTuple):
    """One figure and how large it may be; ``unit`` is shown behind both."""

    name: str
    value: float
    most: float
    unit: str

    @property
    def met(self) -> bool:
        """Whether it is small enough, in either direction."""
        return abs(self.value) <= self.most


@dataclass(frozen=True, slots=True)
class Result:
    """What came out, by player; ``actions_s`` are the delays after each step of the load.

    ``lag_s`` is how long the machine held the load generator up, at worst; ``facts`` is what else a
    reader must know: policy, trace, the machine's load.
    """

    live: Mapping[str, Score]
    predicted: Mapping[str, Expected]
    miss_price: float
    actions_s: Sequence[float]
    lag_s: float
    facts: Mapping[str, Any]

    def bars(self) -> Iterator[Bar]:
        """The sim-to-real gap and the speed of acting, beside what they may be."""
        for who in PLAYERS:
            live, predicted = self.live[who], self.predicted[who].score
            yield Bar(f"{who} fleet", 100 * (live.fleet / predicted.fleet - 1), 10.0, "%")
            yield Bar(f"{who} miss", 100 * (live.miss - predicted.miss), 1.0, "points")
        live_gain, predicted_gain = self.gains
        yield Bar("hpa - ppo", 100 * (live_gain / predicted_gain - 1), 20.0, "%")
        yield Bar("load step to action", max(self.actions_s), 2.0, "s")

    @property
    def gains(self) -> tuple[float, float]:
        """J of the HPA less J of the policy, live and predicted."""
        live, predicted = (
            scores[HPA].total(self.miss_price) - scores[PPO].total(self.miss_price)
            for scores in (self.live, {who: e.score for who, e in self.predicted.items()})
        )
        return live, predicted

    @property
    def caveat(self) -> str:
        """What makes the gap larger than the simulator's own; empty when nothing is known to."""
        if self.lag_s < STALL_S:
            return ""
        return (
            f"This machine held the load generator up for {self.lag_s:.2f} s at worst: a part of "
            "the gap is its other work. Run it again when the machine is quiet."
        )

    def as_json(self) -> dict[str, Any]:
        """The fields of ``--json``; a figure that there is none of is null."""
        price, (live_gain, predicted_gain) = self.miss_price, self.gains
        expected = self.predicted.items()
        return {
            **{who: _figures(score, price) for who, score in self.live.items()},
            "predicted": {
                who: _figures(each.score, price) | {"spread": each.spread._asdict()}
                for who, each in expected
            },
            "hpa_minus_ppo": {"live": live_gain, "predicted": predicted_gain},
            "seconds_from_load_step_to_action": _finite(max(self.actions_s)),
            "seconds_from_each_load_step": [_finite(delay_s) for delay_s in self.actions_s],
            "gap": [
                {"of": bar.name, "value": _finite(bar.value), "most": bar.most, "unit": bar.unit,
                 "met": bar.met}
                for bar in self.bars()
            ],
            **self.facts,
        }  # fmt: skip

    def tables(self) -> tuple[Table, Table]:
        """Both scores in both worlds, and the bars."""
        scores = Table("", "fleet", "miss", "J", box=None, title_justify="left")
        scores.title = f"J = fleet + {self.miss_price:g} x miss, smaller is better"
        for who in PLAYERS:
            expected = self.predicted[who]
            scores.add_row(f"{who} live", *_cells(self.live[who], self.miss_price))
            scores.add_row(f"{who} simulated", *_cells(expected.score, self.miss_price))
            spread = f"{expected.spread.fleet:.2f}", f"{100 * expected.spread.miss:.2f} %", ""
            scores.add_row("  one run varies by", *spread, style="dim")
        bars = Table("live against simulated", "gap", "may be", "", box=None, title_justify="left")
        for bar in self.bars():
            decimals = 1 if bar.unit == "%" else 2
            value = f"{bar.value:.{decimals}f} {bar.unit}"
            verdict = "met" if bar.met else "NOT MET"
            bars.add_row(bar.name, value, f"{bar.most:g} {bar.unit}", verdict)
        for table in (scores, bars):
            for column in table.columns[1:3]:
                column.justify = "right"
        return scores, bars


def _figures(score: Score, miss_price: float) -> dict[str, Any]:
    return score._asdict() | {"J": score.total(miss_price)}


def _cells(score: Score, miss_price: float) -> tuple[str, str, str]:
    return f"{score.fleet:.2f}", f"{100 * score.miss:.2f} %", f"{score.total(miss_price):.2f}"


def _finite(value: float) -> float | None:
    return value if isfinite(value) else None
