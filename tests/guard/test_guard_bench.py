"""``trimtab bench guard``: the guard keeps its promises, and the checker sees who does not."""

from __future__ import annotations

import json
import time
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from trimtab_controller.cli import bench as command
from trimtab_controller.guard_bench import bench as lives
from trimtab_controller.guard_bench.copies import BUGS, planted
from trimtab_guard.reasons import Code

pytestmark = pytest.mark.timeout(600)  # a run of all that tests read: 15 s of a quiet core

PROPOSALS = 10_000
LEAST = 5
"""Verdicts that each code must have cut, so that no limit went untried."""


def run(path: Path, *options: str) -> tuple[int, dict[str, Any]]:
    result = CliRunner().invoke(
        command.bench, ["guard", "--json", str(path), *options], catch_exceptions=False
    )
    return result.exit_code, json.loads(path.read_text())


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    path = tmp_path_factory.mktemp("bench") / "guard.json"
    exit_code, data = run(path, "--proposals", str(PROPOSALS), "--seed", "5")
    assert exit_code == 0, data
    return data


def test_no_promise_is_broken(report: dict[str, Any]) -> None:
    assert report["proposals"] >= PROPOSALS
    assert report["violations"] == 0
    assert not report["broken"]
    assert report["checks_per_s"] > 0
    assert report["p99_us"] > 0


def test_every_planted_bug_is_found(report: dict[str, Any]) -> None:
    assert report["planted_found"] == report["planted"] == len(BUGS) == 10


@pytest.mark.parametrize("code", Code)
def test_every_limit_was_tried(report: dict[str, Any], code: Code) -> None:
    assert report["cut"].get(code, 0) >= LEAST


def test_the_same_seed_gives_the_same_lives() -> None:
    one, again, other = (
        lives.judged(seed, count(), 400, time.thread_time, advance=bool) for seed in (3, 3, 4)
    )
    assert one.cut == again.cut
    assert one.cut != other.cut


def test_a_broken_promise_is_told_with_its_life_which_can_be_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bug = next(bug for bug in BUGS if bug.module == "route")
    monkeypatch.setattr(lives, "real", lambda: planted(bug))
    monkeypatch.setattr(command, "BUGS", ())
    exit_code, data = run(tmp_path / "guard.json", "--proposals", "3000")
    assert exit_code == 1
    assert data["violations"] == sum(broken["times"] for broken in data["broken"]) > 0
    first = [broken for broken in data["broken"] if broken["life"] == 0]
    exit_code, data = run(tmp_path / "again.json", "--life", "0")
    assert (exit_code, data["broken"], data["planted"]) == (1, first, 0)


@pytest.mark.parametrize(
    "life",
    [
        pytest.param("409", id="money that a baseline took is gone for a waiting service"),
        pytest.param("568", id="an old state comes again after a change"),
    ],
)
def test_lives_that_once_broke_a_promise(tmp_path: Path, life: str) -> None:
    exit_code, data = run(tmp_path / "guard.json", "--seed", "0", "--life", life)
    assert (exit_code, data["broken"]) == (0, [])


def test_a_bug_that_is_not_found_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    harmless = BUGS[0]._replace(wrong=BUGS[0].right)
    monkeypatch.setattr(command, "BUGS", (harmless,))
    monkeypatch.setattr(lives, "HUNT", 100)
    exit_code, data = run(tmp_path / "guard.json", "--proposals", "100")
    assert (exit_code, data["violations"]) == (1, 0)
    assert (data["planted_found"], data["planted"]) == (0, 1)


def test_a_bug_that_can_no_longer_be_planted_is_an_error() -> None:
    with pytest.raises(ValueError, match="0 times 'no such text'"):
        planted(BUGS[0]._replace(right="no such text"))


def test_a_copy_is_not_the_guard() -> None:
    """And leaves nothing behind."""
    bug = BUGS[0]
    assert planted(bug).guard.judge.__module__ != lives.real().guard.judge.__module__
    assert lives.real().guard.judge.__module__ == "trimtab_guard.guard"
