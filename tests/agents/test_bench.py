"""The benchmark: its cells are what the design says, its arithmetic is checked by hand."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from trimtab_agents.bench.calibration import COMMAND, Calibrated, Calibration, Key
from trimtab_agents.bench.cells import (
    FULL,
    QUICK,
    TICK_S,
    WINDOW_S,
    Cell,
    Grid,
    make_cells,
    read_traces,
    window_starts,
)
from trimtab_agents.bench.contest import Contest, Match, Player, players, shown
from trimtab_agents.bench.events import agreement
from trimtab_agents.bench.families import FAMILIES
from trimtab_agents.bench.play import batches, play, play_bound
from trimtab_agents.bench.report import make_report, markdown
from trimtab_agents.bench.verdict import BOUND, LEARNER, RULE, Scores, Table, interquartile_mean
from trimtab_agents.bench.work import Arrays
from trimtab_agents.bench_command import bench
from trimtab_agents.rules.hpa import HpaRule
from trimtab_agents.rules.static import StaticRule
from trimtab_agents.rules.target import TargetRule
from trimtab_sim.traces import Trace

HOUR_S = 3600.0
SHORT = Trace("short_60s", 60.0, np.array([1.0, 1.0, 4.0, 2.0, 1.0, 3.0]))
ONE = Grid(1, (10.0,), (5.0,), (0.0,), (10.0, 250.0), 1)


def peaked(name: str, hours: float, peak_hour: float) -> Trace:
    rate = np.ones(round(hours * 60))
    rate[round(peak_hour * 60)] = 9.0
    return Trace(name, 60.0, rate)


# Cells.


@pytest.mark.parametrize(
    ("hours", "peak_hour", "first"),
    [
        pytest.param(1.0, 0.5, 0.0, id="shorter-than-a-window"),
        pytest.param(100.0, 50.0, 46.0, id="around-the-peak"),
        pytest.param(100.0, 1.0, 0.0, id="peak-near-the-start"),
        pytest.param(100.0, 99.0, 92.0, id="peak-near-the-end"),
    ],
)
def test_first_window_holds_the_peak(hours: float, peak_hour: float, first: float) -> None:
    assert window_starts(peaked("t", hours, peak_hour), 1) == [pytest.approx(first * HOUR_S)]


def test_windows_never_overlap_and_are_always_the_same() -> None:
    starts = window_starts(peaked("long", 100.0, 50.0), 3)
    assert len(starts) == 3
    assert np.diff(sorted(starts)).min() >= WINDOW_S
    assert max(starts) <= 100.0 * HOUR_S - WINDOW_S
    assert starts == window_starts(peaked("long", 100.0, 50.0), 3)
    assert starts[1:] != window_starts(peaked("other", 100.0, 50.0), 3)[1:]
    assert len(window_starts(peaked("t", 20.0, 10.0), 3)) == 1, "no room beside the peak"


def test_load_is_scaled_to_the_size() -> None:
    cell = make_cells({SHORT.name: SHORT}, ONE)[0]
    rate_rps = cell.load(SHORT)
    assert len(rate_rps) == 6 * 60 / TICK_S
    assert rate_rps.mean() == pytest.approx(5.0 * 80.0)
    assert rate_rps[-1] == pytest.approx(3.0 * rate_rps[0])
    with pytest.raises(ValueError, match="no load"):
        cell.load(replace(SHORT, rate_rps=np.zeros(6)))


@pytest.mark.parametrize(("grid", "count"), [(QUICK, 60), (FULL, 1728)], ids=["quick", "full"])
def test_grid_over_the_shipped_traces(grid: Grid, count: int) -> None:
    cells = make_cells(read_traces(None), grid)
    assert len(set(cells)) == count
    assert len({cell.trace for cell in cells if not cell.is_train}) == 3


def test_shipped_calibration_covers_the_quick_grid() -> None:
    cells = make_cells(read_traces(None), QUICK)
    calibrated = Calibrated.read()
    for family in FAMILIES:
        assert np.isfinite(calibrated.settings(family, cells)).all()
    assert all(calibrated.best(cell) in FAMILIES for cell in cells)


# Playing.


def test_fleet_is_billed_time_over_the_least_possible() -> None:
    traces = {SHORT.name: SHORT}
    batch = next(batches(make_cells(traces, ONE), traces))
    opening = float(batch.opening[0, 0])
    outcome = play(batch, StaticRule(opening))
    busy_s = outcome.requests.sum(0) * 0.050 / 4.0
    seconds = len(batch.rate_rps) * TICK_S
    assert outcome.fleet == pytest.approx(opening * seconds / busy_s)
    assert outcome.events_per_hour.tolist() == [0.0, 0.0]
    assert outcome.miss == pytest.approx(outcome.misses.sum(0) / outcome.requests.sum(0))
    assert outcome.score() == pytest.approx(outcome.fleet + [10.0, 250.0] * outcome.miss)
    assert play(batch, StaticRule(opening + 1)).events_per_hour == pytest.approx(10.0)


def test_policies_meet_the_same_arrivals_and_runs_repeat() -> None:
    traces = {SHORT.name: SHORT}
    batch = next(batches(make_cells(traces, ONE), traces))
    hpa, rule = play(batch, HpaRule(0.6)), play(batch, TargetRule(0, 1.5, 60.0))
    assert (hpa.requests == rule.requests).all()
    assert (hpa.misses != rule.misses).any()
    assert (hpa.misses == play(batch, HpaRule(0.6)).misses).all()
    assert (play_bound(batch, hpa.requests).score() < hpa.score()).all()


def test_batches_part_lengths_and_seeds() -> None:
    traces = {SHORT.name: SHORT, "longer": peaked("longer", 0.2, 0.1)}
    grid = replace(ONE, seeds=2)
    parts = list(batches(make_cells(traces, grid), traces))
    assert sorted((b.cells[0].seed, len(b.rate_rps)) for b in parts) == [
        (0, 72), (0, 144), (1, 72), (1, 144),
    ]  # fmt: skip
    assert all(len(b.cells) == b.rate_rps.shape[1] == 2 for b in parts)


# The verdict.


def scores(values: list[float]) -> Scores:
    score = np.array(values)
    return Scores(score, score / 2, np.linspace(0.0, 0.02, len(values)), np.ones(len(values)))


def table(cells: list[Cell], **values: list[float]) -> Table:
    return Table(tuple(cells), {name: scores(score) for name, score in values.items()})


CELL = Cell("nab_x", 0, 0.0, 10.0, 5.0, 0.0, 10.0, seed=0)
STRICT = replace(CELL, miss_price=250.0)
SLOW = replace(CELL, startup_s=120.0)
OTHER = replace(CELL, trace="web_y")


def test_closed_is_regret_over_services_then_mean_over_lambdas_and_traces() -> None:
    found = table(
        [CELL, SLOW, STRICT, OTHER, replace(OTHER, miss_price=250.0)],
        hpa=[9.0] * 5,
        rule=[3.0, 5.0, 11.0, 4.0, 4.0],
        ppo=[2.0, 6.0, 6.0, 4.0, 5.0],
        bound=[1.0, 2.0, 1.0, 2.0, 2.0],
    )
    closed = found.closed()
    assert closed is not None
    # nab_x: lambda 10 (1 - 1) / (2 + 3), lambda 250 5 / 10; web_y: 0 / 2 and -1 / 2.
    assert closed["by_trace"] == {"nab_x": pytest.approx(0.25), "web_y": pytest.approx(-0.25)}
    assert closed["by_lambda"] == {"10": pytest.approx(0.0), "250": pytest.approx(0.0)}
    assert closed["by_family"] == {"nab": pytest.approx(0.25), "web": pytest.approx(-0.25)}
    assert (closed["mean"], closed["worst_trace"]) == (pytest.approx(0.0), pytest.approx(-0.25))
    assert closed["iqm"] == pytest.approx(0.0)
    assert closed["ci95"] == [pytest.approx(-0.25), pytest.approx(0.25)]


@pytest.mark.parametrize(("learner", "expected"), [("rule", 0.0), ("bound", 1.0)])
def test_closed_at_its_two_ends(learner: str, expected: float) -> None:
    rng = np.random.default_rng(0)
    traces = {name: replace(SHORT, name=name) for name in ("a_1", "a_2", "b_1")}
    cells = make_cells(traces, replace(ONE, seeds=3, windows=1))
    bound = rng.uniform(1, 2, len(cells))
    values = {"bound": bound, "rule": bound + rng.uniform(0.1, 1, len(cells))}
    values["ppo"] = values[learner]
    closed = table(cells, **{name: list(score) for name, score in values.items()}).closed()
    assert closed is not None
    assert [closed["mean"], *closed["ci95"]] == pytest.approx([expected] * 3)


def test_interval_widens_with_the_spread_between_traces() -> None:
    def width(spread: float) -> float:
        cells = [replace(CELL, trace=f"family{i}_x") for i in range(8)]
        ppo = [3.0 + spread * (-1.0) ** i for i in range(8)]
        closed = table(cells, rule=[4.0] * 8, ppo=ppo, bound=[1.0] * 8).closed()
        assert closed is not None
        low, high = closed["ci95"]
        assert low <= closed["mean"] <= high
        return float(high - low)

    assert width(0.0) == pytest.approx(0.0)
    assert width(0.4) > 2.0 * width(0.1) > 0.0


@pytest.mark.parametrize(
    ("values", "expected"),
    [([5.0], 5.0), ([1.0, 2.0, 3.0], 2.0), ([9.0, 1.0, 2.0, 4.0], 3.0)],
    ids=["one", "three", "four"],
)
def test_interquartile_mean(values: list[float], expected: float) -> None:
    assert interquartile_mean(np.array(values)) == expected


def kept(values: list[float], columns: int) -> Arrays:
    score = np.array(values)
    fleet, miss = score / 2, np.zeros(len(score))
    course = np.full((3, 4, columns), score[0])
    return {"score": score, "fleet": fleet, "miss": miss, "events_per_hour": miss, "course": course}


def contest(traces: dict[str, Trace], best: str, **values: list[float]) -> Contest:
    """Values of each policy on the two cells of ``ONE``; guarded ones are worse by 1."""
    batch = next(batches(make_cells(traces, ONE), traces))
    learner = Player(LEARNER) if LEARNER in values else None
    matches = [Match(batch, player) for player in players(learner)]
    columns = len(shown(batch.cells))
    arrays = [
        kept(
            [
                value + match.player.guarded
                for value in values.get(match.player.name, [9.0] * len(batch.cells))
            ],
            columns,
        )
        for match in matches
    ]
    return Contest.of(matches, arrays, lambda _: best)


def test_rule_is_the_family_that_was_best_on_the_train_split() -> None:
    found = contest({SHORT.name: SHORT}, "kpa", hpa=[1.0, 1.0], kpa=[3.0, 5.0], bound=[1.0, 1.0])
    table = found.table(guarded=False)
    assert list(table.scores)[-2:] == [RULE, BOUND]
    assert table.scores[RULE].score.tolist() == [3.0, 5.0]
    guarded = found.table(guarded=True)
    assert guarded.scores[RULE].score.tolist() == [4.0, 6.0]
    assert guarded.scores[BOUND].score.tolist() == [1.0, 1.0], "the bound is never guarded"
    (course,) = found.courses()
    assert course.cell.miss_price == 250.0
    assert (course.by_policy[RULE] == course.by_policy["kpa"]).all()


def test_report_tells_the_train_split_apart() -> None:
    traces = {name: replace(SHORT, name=name) for name in ("nab_x", "nasa_aug95_60s")}
    found = contest(
        traces,
        "hpa",
        hpa=[3.0, 3.0, 30.0, 30.0],
        ppo=[2.0, 2.0, 20.0, 20.0],
        bound=[1.0, 1.0, 10.0, 10.0],
    )
    report = make_report(found, "ppo-x", None, {"dear": {"equal": 2.0}})
    assert (report["cells"], report["split"], report["seeds"]) == (2, "validation", 1)
    assert report["policies"]["ppo"]["J"] == 2.0
    assert report["train"]["policies"]["ppo"]["J"] == 20.0
    assert report["closed"]["mean"] == report["train"]["closed"]["mean"] == 0.5
    assert report["guarded"]["mean"] == pytest.approx(1 / 3)
    assert set(report["guarded"]) == set(report["closed"])
    assert report["against"]["hpa"] == {"J": 3.0, "mean": 0.5, "worst_trace": 0.5}
    assert report["against"]["hindsight"]["J"] == 3.0, "the others have 9"
    page = markdown(report)
    assert "| hindsight | 3.000 | 0.500 | 0.500 |" in page
    assert "| 3.00 | 2.00 | 1.00 | 0.500 |" in page
    assert "| dear | 2.00 |" in page
    assert (
        make_report(contest({"nasa_aug95_60s": traces["nasa_aug95_60s"]}, "hpa"), None, None, {})[
            "split"
        ]
        == "train"
    )


def test_event_model_agrees_or_not() -> None:
    pairs = [((3.0, 2.0), (5.0, 3.0)), ((4.0, 5.0), (4.0, 4.5)), ((2.0, 1.0), (1.0, 2.0))]
    found = [{"simulator": np.array(s), "events": np.array(e)} for s, e in pairs]
    assert agreement(found) == {
        "cells": 3,
        "sign_agreement": pytest.approx(2 / 3),
        "ratio": pytest.approx(0.5),
        "simulator": pytest.approx(1 / 3),
        "events": pytest.approx(1 / 6),
    }


# Calibration.


def test_calibration_finds_the_dial_of_each_lambda(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = {
        "hpa": replace(FAMILIES["hpa"], grid={"target": (0.3, 0.5, 0.7, 0.9), "down_s": (300.0,)}),
        "target": replace(
            FAMILIES["target"],
            grid={
                "estimate": (0.0, 8.0),
                "headroom": (0.95, 1.2, 1.6, 2.5),
                "hold_s": (0.0, 600.0),
            },
        ),
    }
    monkeypatch.setattr("trimtab_agents.bench.calibration.FAMILIES", few)
    traces = {"waves": Trace("waves", 60.0, np.tile(SHORT.rate_rps, 7))}
    job = Calibration(traces, ONE, (10.0, 5.0, 0.0))
    found = job.entries(job.run())
    thrifty, strict = found[Key(10.0, 5.0, 0.0, 10.0)], found[Key(10.0, 5.0, 0.0, 250.0)]
    assert thrifty["hpa"]["target"] > strict["hpa"]["target"]
    assert thrifty["target"]["headroom"] < strict["target"]["headroom"]

    path = tmp_path / "calibrated.json"
    Calibrated(found).write(path)
    again = Calibrated.read(path)
    assert again.entries == found
    cells = make_cells(traces, ONE)
    assert [again.best(cell) for cell in cells] == ["target", "hpa"]
    batch = next(batches(cells, traces))
    outcome = play(batch, again.policy("target", batch.cells))
    assert outcome.score()[0] == pytest.approx(thrifty["target"]["J"], rel=0.25)


def test_settings_are_written_as_people_read_them() -> None:
    for family in FAMILIES.values():
        written = family.written(family.settings[-1])
        assert family.read(written) == family.settings[-1].tolist()
    assert FAMILIES["target"].written(np.array([3.0, 1.5, 60.0]))["estimate"] == "season"


def test_what_is_not_calibrated_is_refused() -> None:
    with pytest.raises(ValueError, match=f"not calibrated for .*run `{COMMAND}`"):
        Calibrated({}).policy("hpa", [CELL])


# The command.


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(bench, ["control", "--quick", "--workers", "1", *map(str, arguments)])


def write_trace(folder: Path, rows: Mapping[int, float]) -> None:
    lines = [f"{seconds},{rate}" for seconds, rate in rows.items()]
    text = "\n".join(["seconds,requests_per_second", *lines, ""])
    (folder / "mine_60s.csv").write_text(text)


def test_command_judges_any_folder_of_traces(tmp_path: Path) -> None:
    write_trace(tmp_path, {60 * i: 1.0 + i % 3 for i in range(10)})
    out, data = tmp_path / "out", tmp_path / "report.json"
    result = run("--policy", "none", "--traces", tmp_path, "--json", data, "--out", out)
    assert result.exit_code == 0, result.output
    report = json.loads(data.read_text())
    assert set(report["policies"]) == {*FAMILIES, "rule", "bound"}
    assert (report["cells"], report["seeds"], report["closed"]) == (6, 1, None)
    assert (report["guarded"], report["event_model"], report["routing"]) == (None, None, {})
    assert report["policies"]["bound"]["J"] < report["policies"]["rule"]["J"]
    assert "| mine_60s |" in result.output
    assert (out / "report.md").read_text() in result.output
    for name in ("pareto.png", "timeline_mine_60s.png"):
        assert (out / name).read_bytes().startswith(b"\x89PNG")

    written = {path: path.stat().st_mtime_ns for path in (out / "cells").iterdir()}
    again = run("--policy", "none", "--traces", tmp_path, "--out", out)
    assert again.exit_code == 0, again.output
    assert json.loads((out / "report.json").read_text()) == report
    assert {path: path.stat().st_mtime_ns for path in (out / "cells").iterdir()} == written


def test_command_judges_the_shipped_policy_by_default(tmp_path: Path) -> None:
    write_trace(tmp_path, {60 * i: 1.0 + i % 3 for i in range(10)})
    result = run("--traces", tmp_path, "--json", tmp_path / "report.json")
    assert result.exit_code == 0, result.output
    report = json.loads((tmp_path / "report.json").read_text())
    assert set(report["policies"]) == {*FAMILIES, "rule", "ppo", "bound"}
    assert set(report["closed"]["by_lambda"]) == {"10", "50", "250"}
    assert set(report["event_model"]) >= {"cells", "sign_agreement", "ratio"}
    assert f"**closed {report['closed']['mean']:.3f}**" in result.output


@pytest.mark.parametrize(
    ("rows", "policy", "message"),
    [
        pytest.param({0: 1.0, 60: -1.0}, "none", "mine_60s.csv:3", id="bad-trace"),
        pytest.param({0: 0.0, 60: 0.0}, "none", "no load", id="no-load"),
        pytest.param({0: 1.0, 60: 1.0}, "nowhere", "nowhere", id="no-bundle"),
        pytest.param(None, "none", "no .csv trace", id="no-trace"),
    ],
)
def test_command_says_what_is_wrong(
    tmp_path: Path, rows: dict[int, float] | None, policy: str, message: str
) -> None:
    if rows is not None:
        write_trace(tmp_path, rows)
    result = run("--policy", policy, "--traces", tmp_path)
    assert result.exit_code == 1
    assert message in result.output
