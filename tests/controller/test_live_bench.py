"""The parts of `trimtab bench live`: what is added up, the stage as a model, steps and verdict."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from trimtab_agents.bundle import load as load_bundle
from trimtab_controller.cli.bench import bench
from trimtab_controller.cli.live import progress
from trimtab_controller.config import load as load_config
from trimtab_controller.journal import read
from trimtab_controller.live_bench import steps
from trimtab_controller.live_bench.bench import Choices
from trimtab_controller.live_bench.books import WARM_UP_S, Books, Score, Total
from trimtab_controller.live_bench.model import TICK_S, ModelSensor, ModelStage, Pods, offered
from trimtab_controller.live_bench.predict import Expected, alone, steered
from trimtab_controller.live_bench.report import Result
from trimtab_controller.memory import REMEMBERED
from trimtab_controller.protocols import Ask, Intent, StageRefusedError
from trimtab_controller.up.commands import DEMO_CONFIG
from trimtab_guard.model import Reading
from trimtab_sim.profile import BackendProfile, Profile
from trimtab_sim.traces import Trace, read_trace
from trimtab_stage.config import DEMO, StageConfig
from trimtab_stage.replay import Replay

from .conftest import World

FLAT = Trace("flat", 60.0, np.full(200, 1.0))


def flat(rate_rps: float) -> Replay:
    return Replay(FLAT, 60.0, 0.0, rate_rps)


def totals(*readings: tuple[float, float]) -> Total:
    total = Total()
    for time_s, value in readings:
        total.read(time_s, value)
    return total


@pytest.mark.parametrize(
    ("begin_s", "end_s", "growth"),
    [(1.0, 3.0, 30.0), (1.5, 3.0, 25.0), (1.0, 2.5, 20.0), (1.5, 2.5, 15.0)],
    ids=["readings", "before", "after", "between"],
)
def test_a_total_grows_linearly_between_readings(
    begin_s: float, end_s: float, growth: float
) -> None:
    assert totals((1.0, 5.0), (2.0, 15.0), (3.0, 35.0)).between(begin_s, end_s) == growth


def books(billed: float, requests: float, misses: float) -> Books:
    """As much in the warm-up as in the 10 s after it."""
    middle_s, end_s = WARM_UP_S, WARM_UP_S + 10.0
    return Books(
        *(totals((0.0, 0.0), (middle_s, x), (end_s, 2 * x)) for x in (billed, requests, misses))
    )


def test_the_score_is_of_the_time_after_the_warm_up() -> None:
    # Least: 1,000 requests x 0.05 s / 4 x 0.4, the price of the cheaper backend.
    assert books(12.5, 1000.0, 30.0).score(DEMO.profile, 10.0) == pytest.approx((2.5, 0.03))
    assert Score(2.5, 0.03).total(50.0) == pytest.approx(4.0)


def test_a_run_without_requests_has_no_score() -> None:
    with pytest.raises(ValueError, match="no request"):
        books(12.5, 0.0, 0.0).score(DEMO.profile, 10.0)


@pytest.mark.parametrize(
    ("end_s", "covered"), [(WARM_UP_S + 10.0, True), (WARM_UP_S + 10.1, False)]
)
def test_books_cover_what_was_read_to_the_end(end_s: float, covered: bool) -> None:
    assert books(1.0, 1.0, 1.0).covers(end_s) is covered
    assert not Books().covers(0.0)


def test_the_model_is_offered_what_the_generator_replays() -> None:
    trace = Trace("stairs", 60.0, np.array([1.0, 2.0, 4.0]))
    replay = Replay(trace, speed=60.0, start_s=90.0, scale=10.0)
    # From the middle of the second step on, and round again.
    expected = [20.0, 20.0, 40.0, 40.0, 40.0, 40.0, 10.0]
    assert offered(replay, 7) == pytest.approx(expected)
    midway = [replay.rate_rps((tick + 0.5) * TICK_S) for tick in range(40)]
    assert offered(replay, 40) == pytest.approx(midway)


STEADY = BackendProfile("a", concurrency=2, service_time_s=0.05, service_scv=0.0)


def pods(*ticks: tuple[int, int, float, float]) -> Pods:
    """Two ready pods of two slots, after ticks of (starting, ready, requests, held)."""
    seen = Pods(STEADY, 2, window_s=2 * TICK_S, rng=np.random.default_rng(0))
    for number, tick in enumerate(ticks, start=1):
        seen.follow(number * TICK_S, *tick)
    return seen


# 20 requests of 0.05 s in a quarter of a second are 4 busy slots.
@pytest.mark.parametrize(
    ("ticks", "usages"),
    [
        ([(0, 2, 10, 2)], [0.25, 0.25]),
        ([(0, 2, 10, 2), (0, 2, 10, 2)], [0.5, 0.5]),
        ([(0, 2, 10, 2), (0, 2, 10, 9), (0, 2, 10, 9)], [1.0, 1.0]),
        ([(0, 2, 10, 2), (1, 2, 10, 2)], [0.5, 0.5, 0.0]),
        ([(1, 2, 10, 2), (0, 3, 15, 3)], [0.5, 0.5, 0.0]),
        ([(1, 2, 10, 2), (0, 3, 15, 3), (0, 3, 0, 0)], [0.25, 0.25, 0.0]),
        ([(1, 2, 10, 2), (0, 2, 10, 2)], [0.5, 0.5]),
        ([(0, 2, 10, 2), (0, 1, 5, 1)], [0.5]),
    ],
    ids=["idle-before", "window", "queue", "starting", "landed", "sampled", "cancelled", "drained"],
)  # fmt: skip
def test_the_hpa_sees_pods(
    ticks: Sequence[tuple[int, int, float, float]], usages: Sequence[float]
) -> None:
    seen = pods(*ticks).seen(len(ticks) * TICK_S)
    assert [pod.usage for pod in seen] == usages


PROFILE = Profile(
    "web",
    (
        replace(DEMO.profile.backends[0], startup_cv=0.0),
        replace(DEMO.profile.backends[1], startup_cv=0.0),
    ),
)
CONFIG = replace(DEMO, profile=PROFILE, hpa_target=0.6)


def model(config: StageConfig = CONFIG, rate_rps: float = 320.0, ticks: int = 80) -> ModelStage:
    return ModelStage(config, flat(rate_rps), ticks, seed=1)


def write(version: str, **asks: tuple[int | None, float | None]) -> Intent:
    named = {name.replace("_", "-"): ask for name, ask in asks.items()}
    return Intent("1", "web", 0.0, version, tuple(Ask(n, 0, *ask) for n, ask in named.items()))


def test_what_stands_still_is_billed_by_its_price() -> None:
    stage = model(replace(CONFIG, hpa_target=100.0, initial_replicas=1), rate_rps=1.0)
    for _ in range(40):
        stage.advance()
    assert stage.books.billed.totals[-1] == pytest.approx(10.0 * (1.0 + 0.4))
    assert stage.books.billed.times_s[-1] == 10.0


def test_the_hpa_underneath_holds_its_target() -> None:
    stage = model()
    for _ in range(80):
        stage.advance()
    # Half of 320 rps keeps 8 slots busy: 0.5 of 4 replicas, 0.67 of 3.
    assert {backend.wanted for backend in stage.status().backends} <= {3, 4, 5}


def test_a_write_becomes_replicas_and_shares() -> None:
    stage = model(rate_rps=100.0)
    for _ in range(4):
        stage.advance()
    version = stage.apply(write("1", on_demand=(5, 0.25), spot=(None, 0.75)))
    assert (version, stage.status().writer) == ("2", "trimtab")
    stage.advance()
    first, second = stage.status().backends
    assert (first.wanted, first.floor, first.starting + first.ready) == (5, 5, 5)
    assert (first.weight, second.weight) == (0.25, 0.75)
    for _ in range(9):
        stage.advance()
    assert stage.status().backends[0].ready == 5


def test_an_impossible_write_changes_nothing() -> None:
    stage = model()
    with pytest.raises(StageRefusedError, match="out of bounds"):
        stage.apply(write("1", spot=(13, None)))
    assert stage.status().version == "1"


def test_the_sensor_measures_between_looks() -> None:
    stage = model(rate_rps=200.0)
    sensor = ModelSensor(stage)
    assert sensor.read(stage.status()) == {}
    before = stage.arrived
    for _ in range(4):
        stage.advance()
    readings = sensor.read(stage.status())
    came = (stage.arrived - before).tolist()
    for name, requests in zip(("on-demand", "spot"), came, strict=True):
        assert readings["rate_rps", name] == Reading(requests / 1.0, stage.now_s())
    assert readings["miss_share", ""].value == pytest.approx(stage.misses / sum(came))
    assert sensor.read(stage.status()) == {}


def test_a_prediction_is_made_by_its_seed_alone() -> None:
    config, policy = load_config(DEMO_CONFIG), load_bundle()
    for play in (
        lambda seed: alone(DEMO, flat(300.0), 2.0, seed),
        lambda seed: steered(DEMO, flat(300.0), 2.0, seed, config, policy),
    ):
        assert play(1) == play(1)
        assert play(1) != play(2)


@pytest.mark.parametrize(
    ("raised_s", "delays_s"),
    [
        ([100.0, 118.5, 119.0, 131.0], [0.5, 1.0]),
        ([117.9, 130.0], [math.inf, 0.0]),
        ([142.5], [math.inf, math.inf]),
    ],
    ids=["first-after", "too-early", "too-late"],
)
def test_delays_count_from_each_step_to_the_next(
    raised_s: list[float], delays_s: list[float]
) -> None:
    assert steps.delays_s(raised_s, began_s=100.0) == delays_s


def test_only_applied_writes_of_more_count(world: World) -> None:
    world.want(3, 1)
    raised_s = world.clock() + 1.0
    world.tick(2)
    world.want(1, 1, share_a=0.45)
    world.tick(20)
    world.want(3, 1, share_a=0.45)
    world.stage.before = lambda: (_ for _ in ()).throw(StageRefusedError("no"))
    world.tick()
    assert list(steps.raises_s(read(world.journal.location, REMEMBERED)))[-1] == raised_s


def test_the_stairs_are_a_trace_of_one_row_a_second(tmp_path: Path) -> None:
    steps.write_trace(tmp_path / "steps.csv", speed=60.0)
    trace = read_trace(tmp_path / "steps.csv")
    jumps = [second for second in range(1, steps.END_S) if np.diff(trace.rate_rps)[second - 1]]
    assert (trace.step_s, len(trace.rate_rps), jumps) == (60.0, steps.END_S, list(steps.STEPS_S))


def test_both_stages_open_with_enough_for_the_same_load() -> None:
    trace = Trace("high", 60.0, np.full(400, 7.0))
    stages = Choices(Path(), seconds=20.0, hpa_target=0.5).stages(trace)
    assert stages["hpa"] == replace(stages["ppo"], hpa_target=0.5)
    # 600 rps at 0.7 of 80 rps each on two backends.
    assert stages["ppo"].initial_replicas == math.ceil(600.0 / (0.7 * 160.0))


def result(**live: Score) -> Result:
    said = {
        "hpa": Expected(Score(3.0, 0.02), Score(0.1, 0.01)),
        "ppo": Expected(Score(2.0, 0.0), Score(0.1, 0.0)),
    }
    scores = {"hpa": Score(3.0, 0.02), "ppo": Score(2.0, 0.0)} | live
    return Result(
        scores, said, miss_price=50.0, actions_s=[0.5, 1.0], lag_s=0.02, facts={"cores": 2}
    )


@pytest.mark.parametrize(
    ("live", "broken"),
    [
        ({}, []),
        ({"hpa": Score(3.31, 0.02)}, ["hpa fleet"]),
        ({"hpa": Score(2.69, 0.02)}, ["hpa fleet"]),
        ({"ppo": Score(2.0, 0.0101)}, ["ppo miss", "hpa - ppo"]),
        ({"hpa": Score(3.1, 0.028)}, ["hpa - ppo"]),
    ],
    ids=["none", "more", "less", "misses", "paired"],
)
def test_a_gap_in_either_direction_breaks_its_bar(
    live: dict[str, Score], broken: list[str]
) -> None:
    assert [bar.name for bar in result(**live).bars() if not bar.met] == broken


def test_a_step_without_an_answer_is_null_and_breaks_the_bar() -> None:
    silent = replace(result(), actions_s=[0.5, math.inf])
    assert [bar.name for bar in silent.bars() if not bar.met] == ["load step to action"]
    data = json.loads(json.dumps(silent.as_json(), allow_nan=False))
    assert data["seconds_from_load_step_to_action"] is None
    assert data["seconds_from_each_load_step"] == [0.5, None]


def test_a_stalled_machine_is_told() -> None:
    assert result().caveat == ""
    assert "for 0.95 s at worst" in replace(result(), lag_s=0.95).caveat


def test_json_has_the_promised_fields() -> None:
    data = result().as_json()
    assert data["hpa"] == {"fleet": 3.0, "miss": 0.02, "J": 4.0}
    assert data["predicted"]["ppo"]["fleet"] == 2.0
    assert data["hpa_minus_ppo"] == {"live": 2.0, "predicted": 2.0}
    assert (data["seconds_from_load_step_to_action"], data["cores"]) == (1.0, 2)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--seconds=5"], "not in the range"),
        (["--trace=nowhere.csv"], "nowhere.csv"),
        (["--json=nowhere/out.json"], "folder does not exist"),
        (["--hpa-target=nan"], "not a finite number"),
        (["--seconds=10", f"--dir={__file__}/run"], "give another folder with --dir"),
    ],
    ids=["too-short", "no-trace", "no-folder", "nan", "no-dir"],
)
def test_the_impossible_is_refused_before_anything_starts(options: list[str], says: str) -> None:
    done = CliRunner().invoke(bench, ["live", *options])
    assert done.exit_code == 2
    assert says in done.output
    assert "simulated" not in done.output


def test_a_pipe_gets_a_line_for_each_part_and_no_bars(capsys: pytest.CaptureFixture[str]) -> None:
    with progress() as begin:
        for part in ("hpa, simulated", "ppo, simulated"):
            begin(part, 2.0)(2.0, "ready")
    assert capsys.readouterr().err == "hpa, simulated\nppo, simulated\n"
