"""`trimtab bench rpc` with a few calls, watchers and services: all of it runs, and counts right."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from trimtab_controller.cli import main
from trimtab_controller.rpc_bench import bench as rpc
from trimtab_controller.rpc_bench import calls, watchers
from trimtab_controller.rpc_bench.bench import BARS, Result
from trimtab_controller.rpc_bench.calls import Timing, Versus
from trimtab_controller.rpc_bench.ticks import DECISION_TICKS, Daemon, Pace


def test_everything_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module, name, value in (
        (calls, "ROUNDS", 1),
        (calls, "CALLS", 64),
        (watchers, "COUNTS", (3,)),
        (watchers, "TICKS", 3),
    ):
        monkeypatch.setattr(module, name, value)
    # What the machine of a test is too slow for is no error of the command.
    monkeypatch.setattr(rpc, "BARS", {name: 0.0 for name in BARS if name == "watchers"})
    out = tmp_path / "rpc.json"
    options = ["bench", "rpc", "--services", "12", "--ticks", "7", "--json", str(out)]
    answer = CliRunner().invoke(main, options)
    assert answer.exit_code == 0, answer.output
    found = json.loads(out.read_text())
    assert found.keys() >= {*BARS, "recommend_p99_ratio", "recommend_added_cpu_us"}
    assert found["services"] == 12
    assert all(found[name] > 0 for name in found if name.endswith(("_ms", "_ratio", "_rps")))


def test_a_folder_that_is_not_there_is_refused_before_anything_is_measured() -> None:
    answer = CliRunner().invoke(main, ["bench", "rpc", "--json", "/nowhere/rpc.json"])
    assert answer.exit_code == 2
    assert "its folder does not exist" in answer.output


def timing(each_s: float, count: int = 10, cpu_s: float = 0.0) -> Timing:
    return Timing([each_s] * count, each_s * count, cpu_s)


def result(ratio: float = 1.2, watchers: int = 500, tick_s: float = 0.5) -> Result:
    one = Versus(1, timing(1.1e-3), timing(1e-3))
    many = Versus(64, timing(ratio * 1e-3, cpu_s=3e-3), timing(1e-3, cpu_s=1e-3))
    pace = Pace((tick_s,), (0.05,), (2 * tick_s,))
    return Result([one, many], [one, many], watchers, pace, services=10_000)


def test_the_worse_concurrency_counts_and_the_cpu_is_that_of_a_busy_server() -> None:
    found = result().as_json()
    assert found["recommend_p50_ratio"] == 1.2
    assert found["recommend_added_cpu_us"] == 200.0
    assert found["recommend_rps"] == 833
    assert (found["tick_10k_ms"], found["tick_10k_wall_ms"]) == (500.0, 1000.0)


@pytest.mark.parametrize(
    ("found", "missed"),
    [
        pytest.param(result(), [], id="all met"),
        pytest.param(result(ratio=1.6), ["recommend_p50_ratio"], id="slow answers"),
        pytest.param(result(watchers=250), ["watchers"], id="few watchers"),
        pytest.param(result(tick_s=1.1), ["tick_10k_ms"], id="slow ticks"),
    ],
)
def test_bars(found: Result, missed: list[str]) -> None:
    assert found.missed() == missed


def test_only_ticks_in_which_the_policy_decides_count() -> None:
    numbers = tuple(map(float, range(2 * DECISION_TICKS + 1)))
    assert Pace(numbers, numbers, numbers).deciding().tick_s == numbers[::DECISION_TICKS]


def test_the_services_are_steered_and_what_they_show_moves(tmp_path: Path) -> None:
    daemon = Daemon(tmp_path, services=8, backends=2)
    daemon.pace(40)
    _, first = daemon.board.latest()
    daemon.pace(1)
    _, second = daemon.board.latest()
    daemon.journal.close()
    assert all(status.tick.verdict and status.tick.verdict.backends for status in second)
    rates = [[s.tick.state.backends[0].rate_rps.value for s in seen] for seen in (first, second)]
    assert all(before != after for before, after in zip(*rates, strict=True))
    assert sum(status.tick.actions for status in second) > 0
