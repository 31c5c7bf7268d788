"""The benchmark's report: JSON for machines, Markdown for people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from trimtab_agents.bench.contest import Contest
from trimtab_agents.bench.families import FAMILIES
from trimtab_agents.bench.verdict import HINDSIGHT, Table

Report = dict[str, Any]


def make_report(
    contest: Contest,
    policy: str | None,
    event_model: dict[str, Any] | None,
    routing: dict[str, dict[str, float]],
) -> Report:
    """Policies and verdict over the traces held back, and beside them over the train split.

    Where no trace is held back (none but train traces were given), the headline is theirs.
    """
    free, guarded = contest.table(guarded=False), contest.table(guarded=True)
    is_train = not free.split(train=False).cells
    headline, behind = free.split(train=is_train), guarded.split(train=is_train)
    report: Report = {
        "policies": headline.policies(),
        "closed": headline.closed(),
        "guarded": behind.closed(),
        "event_model": event_model,
        "routing": routing,
        "cells": len(headline.cells),
        "seeds": len({cell.seed for cell in free.cells}),
        "split": "train" if is_train else "validation",
        "policy": policy,
        "policies_guarded": behind.policies(),
        "against": _against(headline),
        "rule": dict(Counter(contest.best[cell] for cell in headline.cells)),
        "traces": _by_trace(free),
    }
    train = free.split(train=True)
    if train.cells and not is_train:
        report["train"] = {
            "policies": train.policies(),
            "closed": train.closed(),
            "guarded": guarded.split(train=True).closed(),
            "cells": len(train.cells),
        }
    return report


def _against(table: Table) -> dict[str, dict[str, float]]:
    """What the learner closes of the regret of each family alone, and of the best in hindsight."""
    found = {}
    with_hindsight = table.with_hindsight(FAMILIES)
    for name in (*FAMILIES, HINDSIGHT):
        closed = with_hindsight.closed(name)
        if closed is not None:
            score = float(with_hindsight.scores[name].score.mean())
            found[name] = {"J": score, **{key: closed[key] for key in ("mean", "worst_trace")}}
    return found


def _by_trace(table: Table) -> dict[str, dict[str, dict[str, float]]]:
    names = dict.fromkeys(cell.trace for cell in table.cells)
    rows = {name: [i for i, c in enumerate(table.cells) if c.trace == name] for name in names}
    return {name: table.where(some).policies() for name, some in rows.items()}


def markdown(report: Report) -> str:
    """The report as a page of Markdown."""
    rules = ", ".join(f"{name} on {cells}" for name, cells in report["rule"].items())
    parts = [
        "# trimtab bench control",
        f"{report['cells']} {report['split']} cells, {report['seeds']} seed(s), "
        f"policy: {report['policy'] or 'none'}. `J = fleet + λ · miss`, lower is better. "
        f"The rule is the family that was the best on the train split: {rules} cells.",
        _closed_line("closed", report["closed"]),
        _policies(report["policies"]),
        _opponents(report["against"]),
        "## Behind the guard",
        _closed_line("closed behind the guard", report["guarded"]),
        _policies(report["policies_guarded"]),
        "## By trace (mean J)",
        _traces(report),
        "## Routing (mean J)",
        _routing(report["routing"]),
        _events(report["event_model"]),
    ]
    if "train" in report:
        train = report["train"]
        parts.append(f"## Train split ({train['cells']} cells)")
        parts.append(_closed_line("closed", train["closed"]))
        parts.append(_closed_line("closed behind the guard", train["guarded"]))
        parts.append(_policies(train["policies"]))
    return "\n\n".join(part for part in parts if part) + "\n"


def _events(found: Report | None) -> str:
    if found is None:
        return ""
    share = f"{100 * found['sign_agreement']:.0f} % of {found['cells']} cells"
    return (
        "## Request by request\n\n"
        f"In the event model the gain over the rule has the same sign on {share}, and its sum is "
        f"{found['ratio']:.2f} of the simulator's ({found['events']:.3f} against "
        f"{found['simulator']:.3f} a cell)."
    )


def _opponents(against: dict[str, dict[str, float]]) -> str:
    if not against:
        return ""
    rows = [
        [name, f"{one['J']:.3f}", f"{one['mean']:.3f}", f"{one['worst_trace']:.3f}"]
        for name, one in against.items()
    ]
    return "Against each family alone, and the best one of every cell in hindsight:\n\n" + _table(
        ["opponent", "J", "closed", "worst trace"], rows
    )


def _routing(routing: dict[str, dict[str, float]]) -> str:
    if not routing:
        return "No trace is long enough."
    names = list(next(iter(routing.values())))
    rows = [[scenario, *(f"{j[name]:.2f}" for name in names)] for scenario, j in routing.items()]
    return _table(["scenario", *names], rows)


def _closed_line(name: str, closed: Report | None) -> str:
    if closed is None:
        return ""
    low, high = closed["ci95"]
    prices = ", ".join(f"λ {price}: {value:.3f}" for price, value in closed["by_lambda"].items())
    return (
        f"**{name} {closed['mean']:.3f}** (95 % interval {low:.3f} to {high:.3f}; interquartile "
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
