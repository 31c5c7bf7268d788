"""The comparison as a table in Markdown and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from trimtab_agents.bench.fidelity.rows import Row

HEADER = ("case", "quantity", "by", "should be", "±", "simulator", "±", "error", "bar", "within?")


def table(rows: Sequence[Row]) -> str:
    """Markdown, and what it comes to in a sentence."""
    lines = [list(HEADER), ["---"] * 3 + ["--:"] * (len(HEADER) - 3)]
    lines += [_cells(row) for row in rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n\n" + summary(rows)


def _cells(row: Row) -> list[str]:
    numbers = (*row.expected, *row.found, row.error)
    # A bar is met as far as the intervals of both sides can tell.
    verdict = "yes" if row.is_within else f"NO, {row.excess:.1f} times the bar"
    texts = [f"{number:.4f}" for number in numbers]
    texts[-1] = f"{row.error:+.4f}"
    return [row.case, row.quantity, row.source, *texts, f"{row.bar:.4f}", verdict]


def summary(rows: Sequence[Row]) -> str:
    """How many are within, and the worst."""
    outside = [row for row in rows if not row.is_within]
    line = f"{len(rows) - len(outside)} of {len(rows)} within the bar."
    if outside:
        worst = max(outside, key=lambda row: row.excess)
        line += f" The worst: {worst.quantity} of {worst.case}, {worst.excess:.1f} times the bar."
    return line


def data(rows: Sequence[Row]) -> dict[str, Any]:
    """For machines."""
    return {
        "within": sum(row.is_within for row in rows),
        "rows": [
            {
                "case": row.case,
                "quantity": row.quantity,
                "by": row.source,
                "expected": row.expected._asdict(),
                "found": row.found._asdict(),
                "bar": row.bar,
                "excess": row.excess,
                "is_within": row.is_within,
            }
            for row in rows
        ],
    }
