"""SAFETY.md says who may call what, and what stops whom: as the code does, and tests that exist."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from trimtab_controller import server
from trimtab_controller.cli.token import create
from trimtab_controller.security.denials import KINDS
from trimtab_controller.security.roles import RULES, Role

TESTS = Path(__file__).parents[2]
PAGE = (TESTS.parent / "SAFETY.md").read_text()


def table(heading: str) -> list[list[str]]:
    """The rows of the first table under a heading, without the two of its head."""
    lines = PAGE.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0].splitlines()
    rows = [line for line in lines if line.startswith("|")][2:]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]


def functions_in(file: Path) -> set[str]:
    tree = ast.parse(file.read_text())
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("row", table("Threats"), ids=lambda row: row[1])
def test_the_named_test_exists(row: list[str]) -> None:
    found = re.fullmatch(r"`(\w+\.py)::(\w+)`", row[3])
    assert found
    file, name = found.groups()
    assert any(name in functions_in(path) for path in TESTS.rglob(file))


def test_the_roles_are_the_code_s() -> None:
    least: dict[str, set[str]] = {"anybody": set()} | {str(role): set() for role in Role}
    for method, rule in RULES.items():
        least[str(rule.role or "anybody")].add(method.rpartition("/")[2])
    # It takes an admin for every mode but shadow: the table names it twice.
    least["admin"].add("SetMode")
    said = {row[0]: set(re.findall(r"`(\w+)`", row[1])) for row in table("Who may call")}
    assert said == least


def test_the_numbers_are_the_code_s() -> None:
    limits = dict(server.LIMITS)
    days = next(option.default for option in create.params if option.name == "days")
    for said in (
        f"no more than {KINDS} kinds a minute",
        f"They expire ({days:g} days)",
        f"hung up on after {limits['grpc.server_handshake_timeout_ms'] / 1e3:g} s",
        f"all {server.CONNECTIONS:,} connections",
    ):
        assert said in PAGE
