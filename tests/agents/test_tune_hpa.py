"""The HPA's dials: found with few trials, kept if better, written as Kubernetes reads them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields, replace
from itertools import product
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import optuna
import pytest
import yaml
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from optuna.distributions import IntDistribution

from trimtab_agents.hpa import ScalingPolicy, Unit
from trimtab_agents.rules.hpa import HpaRule
from trimtab_agents.training.history import Service
from trimtab_agents.training.trial import Stretch
from trimtab_agents.tune_command import tune
from trimtab_agents.tune_hpa.dials import ALLOWED, DialError, Dials, current_dials
from trimtab_agents.tune_hpa.manifest import patch_text
from trimtab_agents.tune_hpa.search import Question, Search
from trimtab_sim.profile import BackendProfile, Profile
from trimtab_sim.profile_file import service_text

WEB = Service(Profile("web", (BackendProfile("a", startup_mean_s=30.0, max_replicas=40),)), 50.0)
WAVE = 400.0 + 200.0 * np.sin(np.arange(4 * 60) / 10.0)
DEFAULTS = Dials(40)

optuna.logging.set_verbosity(optuna.logging.ERROR)


@st.composite
def some_dials(draw: st.DrawFn) -> Dials:
    drawn = {name: draw(st.integers(*bounds)) for name, bounds in ALLOWED.items()}
    least, most = sorted((drawn["min_replicas"], drawn["max_replicas"]))
    return Dials(**drawn | {"min_replicas": least, "max_replicas": most})


def policies(direction: dict[str, Any]) -> tuple[ScalingPolicy, ...]:
    return tuple(
        ScalingPolicy(Unit(policy["type"]), policy["value"], policy["periodSeconds"])
        for policy in direction["policies"]
    )


@given(some_dials())
def test_the_patch_says_what_the_rule_was_tried_with(dials: Dials) -> None:
    document = yaml.safe_load(patch_text("web", dials, "why"))
    assert document["apiVersion"] == "autoscaling/v2"
    assert document["metadata"] == {"name": "web"}
    spec, config = document["spec"], dials.config
    (metric,) = spec["metrics"]
    assert metric["resource"]["target"]["averageUtilization"] / 100 == config.target
    assert (spec["minReplicas"], spec["maxReplicas"]) == (config.min_replicas, config.max_replicas)
    up, down = (spec["behavior"][name] for name in ("scaleUp", "scaleDown"))
    assert up["stabilizationWindowSeconds"] == config.up_stabilization_s <= 3600
    assert down["stabilizationWindowSeconds"] == config.down_stabilization_s <= 3600
    assert (policies(up), policies(down)) == (config.up, config.down)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("", DEFAULTS, id="kubernetes-defaults"),
        pytest.param("target=60", replace(DEFAULTS, target=60), id="one"),
        pytest.param(
            " min_replicas = 2,down_window_s=0, ",
            replace(DEFAULTS, min_replicas=2, down_window_s=0),
            id="spaces",
        ),
    ],
)
def test_what_is_set_now(text: str, expected: Dials) -> None:
    assert current_dials(text, WEB) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param(
            "targt=60", "'targt=60': unknown dial 'targt': did you mean target?", id="typo"
        ),
        pytest.param("x=1", f"known are {', '.join(f.name for f in fields(Dials))}", id="unknown"),
        pytest.param("target=high", "give target a whole number", id="no-number"),
        pytest.param("target", "give target a whole number", id="no-value"),
        pytest.param("target=0", "target is 0: it must be from 1 to 100", id="out-of-range"),
        pytest.param("min_replicas=41", "min_replicas is 41, above max_replicas, 40", id="crossed"),
    ],
)
def test_dials_that_cannot_be_are_refused(text: str, message: str) -> None:
    with pytest.raises(DialError) as refused:
        current_dials(text, WEB)
    assert message in str(refused.value)


@dataclass(frozen=True, slots=True)
class Measured(Question):
    """Answers from a table; says who asked."""

    table: dict[tuple[int, int], float]
    asked: list[Dials]

    def score(self, dials: Dials) -> float:
        self.asked.append(dials)
        return self.table[dials.target, dials.down_window_s]


TARGETS, WINDOWS_S = range(26, 96, 5), range(0, 1200, 150)


@pytest.fixture(scope="module")
def grid() -> Measured:
    """Every choice of target and window, played once: a burst every ten minutes."""
    settings = list(product(TARGETS, WINDOWS_S))
    rates = np.tile(np.repeat([300.0, 700.0], [96, 24]), 6)[:, None]
    rule = HpaRule(*(np.array(settings, dtype=np.float64) * (0.01, 1.0)).T)
    stretch = Stretch(WEB, rates, 120)
    scores = stretch.play(rule, len(settings)).j.mean(0).tolist()
    current = Dials(40, target=81)
    fixed = {name: IntDistribution(value, value) for name, value in asdict(current).items()}
    free = {
        "target": IntDistribution(TARGETS[0], TARGETS[-1], step=TARGETS.step),
        "down_window_s": IntDistribution(0, WINDOWS_S[-1], step=WINDOWS_S.step),
    }
    table = dict(zip(settings, scores, strict=True))
    return Measured(WEB, stretch, current, fixed | free, table, [])


def test_a_sixth_of_the_grid_finds_what_is_within_5_percent_of_its_best(
    grid: Measured, tmp_path: Path
) -> None:
    tried = len(grid.table) // 6
    gaps = []
    for seed in range(5):
        found = Search(grid, tmp_path / f"{seed}.sqlite", seed).run(tried, lambda _: None)
        assert len(found.best_by_trial) <= tried
        gaps.append(found.best_by_trial[-1] / min(grid.table.values()) - 1.0)
    start = grid.table[grid.current.target, grid.current.down_window_s]
    assert start > 1.1 * min(grid.table.values()), "there must be something to find"
    assert median(gaps) < 0.05, gaps


@dataclass(frozen=True, slots=True)
class Interrupted(Measured):
    """Somebody presses Ctrl-C in the sixth trial."""

    def score(self, dials: Dials) -> float:
        if len(self.asked) == 5:
            raise KeyboardInterrupt
        return Measured.score(self, dials)


def test_an_interrupted_search_goes_on(grid: Measured, tmp_path: Path) -> None:
    parts = {field.name: getattr(grid, field.name) for field in fields(grid)}
    file, first, second = tmp_path / "study.sqlite", list[Dials](), list[Dials]()
    with pytest.raises(KeyboardInterrupt):
        Search(Interrupted(**parts | {"asked": first}), file, 0).run(9, lambda _: None)
    told: list[int] = []
    search = Search(Measured(**parts | {"asked": second}), file, 0)
    found = search.run(9, lambda best: told.append(len(best)))
    assert told == [6, 7, 8, 9]
    scores = [grid.table[d.target, d.down_window_s] for d in [*first, *second]]
    assert found.best_by_trial == np.minimum.accumulate(scores[:9]).tolist()
    assert search.run(9, lambda best: told.append(len(best))) == found
    assert len(told) == 4, "what is over is not tried again"


def test_another_question_in_the_same_file_begins_anew(grid: Measured, tmp_path: Path) -> None:
    parts = {field.name: getattr(grid, field.name) for field in fields(grid)}
    other = Measured(**parts | {"current": replace(grid.current, target=51)})
    names = {Search(asked, tmp_path / "s.sqlite", 0).study.study_name for asked in (grid, other)}
    assert len(names) == 2


def test_it_stops_when_nothing_is_left_and_leaves_alone_what_does_not_matter(
    grid: Measured, tmp_path: Path
) -> None:
    parts = {field.name: getattr(grid, field.name) for field in fields(grid)}
    # Only the target costs anything; the bounds that are set now are closer than those tried.
    scores = {place: 3.0 if place[0] == grid.current.target else 2.0 for place in grid.table}
    current = replace(grid.current, max_replicas=3)
    bounds = {"min_replicas": IntDistribution(1, 30), "max_replicas": IntDistribution(3, 40)}
    change = {"table": scores, "current": current, "space": grid.space | bounds}
    flat = Measured(**parts | change)
    found = Search(flat, tmp_path / "study.sqlite", 0).run(40, lambda _: None)
    assert len(found.best_by_trial) == 24
    assert found.left == 0.0
    assert "the last 15 trials saved 0.0% of J" in found.stopped
    assert found.dials == replace(current, target=found.dials.target) != current


def save(path: Path, rate_rps: np.ndarray) -> Path:
    rows = [f"{row * 60},{rate:g}" for row, rate in enumerate(rate_rps)]
    path.write_text("\n".join(["seconds,requests_per_second", *rows]) + "\n")
    return path


@dataclass(frozen=True, slots=True)
class Inputs:
    folder: Path

    def run(self, *arguments: object) -> tuple[int, str, str]:
        files = "--service", self.folder / "web.yaml", "--history", self.folder / "web_60s.csv"
        usual = "--study", self.folder / "study.sqlite", "--no-progress"
        command = map(str, ("hpa", *files, *usual, *arguments))
        result = CliRunner().invoke(tune, list(command))
        return result.exit_code, result.stdout, result.stderr


@pytest.fixture
def inputs(tmp_path: Path) -> Inputs:
    (tmp_path / "web.yaml").write_text(service_text(WEB.profile))
    save(tmp_path / "web_60s.csv", WAVE)
    return Inputs(tmp_path)


def test_the_command_prints_a_patch_for_what_is_clearly_wasteful(inputs: Inputs) -> None:
    told = inputs.folder / "found.json"
    code, patch, report = inputs.run("--trials", 12, "--current", "target=25", "--json", told)
    assert code == 0, report
    found = json.loads(told.read_text())
    assert found["better"]
    assert found["gain"] > 2 * found["standard_error"] > 0
    assert found["after"]["J"][0] < found["before"]["J"][0]
    spec = yaml.safe_load(patch)["spec"]
    (metric,) = spec["metrics"]
    target = metric["resource"]["target"]["averageUtilization"]
    assert target == found["after"]["dials"]["target"] > found["before"]["dials"]["target"] == 25
    assert "stopped since 12 trials were asked for" in report


def test_no_patch_for_what_is_not_better(inputs: Inputs) -> None:
    code, patch, report = inputs.run("--trials", 1, "--current", "target=55")
    assert (code, patch) == (3, "")
    assert "leave it as it is" in report


def two_backends(inputs: Inputs) -> None:
    pair = BackendProfile("a"), BackendProfile("b")
    (inputs.folder / "web.yaml").write_text(service_text(replace(WEB.profile, backends=pair)))


def unknown_service_time(inputs: Inputs) -> None:
    path = inputs.folder / "web.yaml"
    path.write_text(path.read_text().replace("service_time_s: 0.05", "service_time_s: unknown"))


def short_history(inputs: Inputs) -> None:
    save(inputs.folder / "web_60s.csv", WAVE[:60])


def foreign_study(inputs: Inputs) -> None:
    (inputs.folder / "study.sqlite").write_text("not a database, but a text of some length\n" * 99)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        pytest.param(two_backends, "has 2 backends, and an HPA scales one", id="two-backends"),
        pytest.param(unknown_service_time, "service_time_s", id="unknown"),
        pytest.param(short_history, "lasts 1.0 h: give 4 h at least", id="short"),
        pytest.param(foreign_study, "study.sqlite: not a study's file", id="foreign-study"),
    ],
)
def test_bad_inputs_are_refused_with_a_sentence(
    inputs: Inputs, spoil: Callable[[Inputs], None], message: str
) -> None:
    spoil(inputs)
    code, patch, report = inputs.run("--trials", 1)
    assert (code, patch) == (1, "")
    assert message in report
    assert "Traceback" not in report
