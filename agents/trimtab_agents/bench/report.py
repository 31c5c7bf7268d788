"""The benchmark's report: JSON for machines, Markdown for people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from trimtab_agents.bench.verdict import Table

Report = dict[str, Any]


def make_report(table: Table, policy: str | None) -> Report:
    """Policies and verdict over the traces held back, and beside them over the train split.

    Where no trace is held back (none but train traces were given), the headline is theirs.
    """
    train, held_back = table.split(train=True), table.split(train=False)
    headline = held_back if held_back.cells else train
    report: Report = {
        "policies": headline.policies(),
        "closed": headline.closed(),
        "cells": len(headline.cells),
        "seeds": len({cell.seed for cell in table.cells}),
        "split": "validation" if held_back.cells else "train",
        "policy": policy,
        "traces": _by_trace(table),
    }
    if held_back.cells and train.cells:
        report["train"] = {
            "policies": train.policies(),
            "closed": train.closed(),
            "cells": len(train.cells),
        }
    return report


def _by_trace(table: Table) -> dict[str, dict[str, dict[str, float]]]:
    names = dict.fromkeys(cell.trace for cell in table.cells)
    rows = {name: [i for i, c in enumerate(table.cells) if c.trace == name] for name in names}
    return {name: table.where(some).policies() for name, some in rows.items()}


def markdown(report: Report) -> str:
    """The report as a page of Markdown."""
    parts = [
        "# trimtab bench control",
        f"{report['cells']} {report['split']} cells, {report['seeds']} seed(s), "
        f"policy: {report['policy'] or 'none'}. `J = fleet + λ · miss`, lower is better.",
        _closed_line(report["closed"]),
        _policies(report["policies"]),
        "## By trace (mean J)",
        _traces(report),
    ]
    if "train" in report:
        train = report["train"]
        parts += [f"## Train split ({train['cells']} cells)", _closed_line(train["closed"])]
        parts.append(_policies(train["policies"]))
    return "\n\n".join(part for part in parts if part) + "\n"


def _closed_line(closed: Report | None) -> str:
    if closed is None:
        return ""
    low, high = closed["ci95"]
    prices = ", ".join(f"λ {price}: {value:.3f}" for price, value in closed["by_lambda"].items())
    return (
        f"**closed {closed['mean']:.3f}** (95 % interval {low:.3f} to {high:.3f}; interquartile "
        f"mean {closed['iqm']:.3f}; worst trace {closed['worst_trace']:.3f}; {prices})"
    )


def _policies(policies: dict[str, dict[str, float]]) -> str:
    rows = [
        [
            name,
            f"{p['J']:.3f}",
            f"{p['fleet']:.3f}",
            f"{100 * p['miss']:.2f} %",
            f"{100 * p['slo_kept']:.0f} %",
            f"{p['events_per_hour']:.1f}",
        ]
        for name, p in policies.items()
    ]
    return _table(["policy", "J", "fleet", "miss", "SLO kept", "scale events/h"], rows)


def _traces(report: Report) -> str:
    closed: dict[str, float] = {}
    for part in (report, report.get("train", {})):
        closed |= (part.get("closed") or {}).get("by_trace", {})
    names = list(report["policies"])
    rows = [
        [
            trace,
            *(f"{policies[name]['J']:.2f}" for name in names),
            f"{closed[trace]:.3f}" if trace in closed else "",
        ]
        for trace, policies in report["traces"].items()
    ]
    return _table(["trace", *names, "closed"], rows)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    rule = ["---", *["--:"] * (len(head) - 1)]
    return "\n".join("| " + " | ".join(row) + " |" for row in (head, rule, *rows))
