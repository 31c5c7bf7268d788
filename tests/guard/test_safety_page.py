"""SAFETY.md says what the code does: every code, every limit, every rung, and tests that exist."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from trimtab_guard.limits import BackendLimits, ClusterLimits, DrillLimits, Limits, bounds
from trimtab_guard.modes import LADDER, Change, Mode
from trimtab_guard.reasons import Code
from trimtab_guard.senses import FROZEN_READINGS, LARGEST, SKEW_S

from .world import limits

HERE = Path(__file__).parent
PAGE = (HERE.parents[1] / "SAFETY.md").read_text()


def table(heading: str) -> list[list[str]]:
    """The rows of the first table under a heading, without the two of its head."""
    lines = PAGE.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0].splitlines()
    rows = [line for line in lines if line.startswith("|")][2:]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]


def functions_in(file: str) -> set[str]:
    tree = ast.parse((HERE / file).read_text())
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


def test_every_code_has_its_row_in_the_order_of_the_limits() -> None:
    assert [row[0] for row in table("Every reason")] == [f"`{code}`" for code in Code]


@pytest.mark.parametrize("row", table("Every reason"), ids=lambda row: row[0].strip("`"))
def test_the_named_test_exists_and_the_code_is_in_its_file(row: list[str]) -> None:
    found = re.fullmatch(r"`(\w+\.py)::(\w+)`", row[3])
    assert found
    file, name = found.groups()
    assert name in functions_in(file)
    assert f'"{row[0].strip("`")}"' in (HERE / file).read_text()


def test_every_limit_has_its_row_with_default_and_unit() -> None:
    expected = []
    for owner, kind in (
        (BackendLimits("od"), BackendLimits),
        (limits(), Limits),
        (ClusterLimits(), ClusterLimits),
        (DrillLimits(), DrillLimits),
    ):
        for name, (_, bound) in bounds(kind).items():
            expected.append((f"`{name}`", f"{getattr(owner, name):g}", bound.unit, bound.window))
    rows = table("Every limit")
    assert [(*row[:3], row[3].startswith("window")) for row in rows] == expected


def test_the_fixed_numbers_are_named() -> None:
    for number in (f"{LARGEST:.0e}".replace("+0", ""), f"{SKEW_S:g} s", f"{FROZEN_READINGS} equal"):
        assert number in PAGE


def test_the_ladder_is_the_code_s() -> None:
    expected = [[f"`{mode}`", *(LADDER[mode][change] for change in Change)] for mode in Mode]
    assert table("The ladder") == expected
