"""`trimtab bench fidelity` and `speed`: what they say, and when they say that a bar is missed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from trimtab_agents.bench import speed
from trimtab_agents.bench.fidelity.exact import mg1_wait, mmc_late, mmc_wait
from trimtab_agents.bench.fidelity.report import data, table
from trimtab_agents.bench.fidelity.rows import EVENT_MODEL, Estimate, Quantity, Row
from trimtab_agents.model_command import bench


@pytest.mark.parametrize(
    ("quantity", "expected", "found", "is_within"),
    [
        ("wait", Estimate(1.0), Estimate(1.049), True),
        ("wait", Estimate(1.0), Estimate(0.94), False),
        ("wait", Estimate(1.0, 0.01), Estimate(0.93, 0.011), True),
        ("wait", Estimate(0.001), Estimate(0.0105), True),
        ("wait", Estimate(0.001), Estimate(0.0115), False),
        ("late", Estimate(0.002), Estimate(0.0065), True),
        ("late", Estimate(0.002), Estimate(0.0075), False),
        ("late", Estimate(0.5), Estimate(0.53), False),
    ],
)
def test_bars(quantity: Quantity, expected: Estimate, found: Estimate, is_within: bool) -> None:
    row = Row(EVENT_MODEL, "case", quantity, expected, found)
    assert row.is_within is is_within
    verdict = "yes" if is_within else "NO"
    assert f"| {verdict}" in table([row])
    assert f"{int(is_within)} of 1 within" in table([row])
    assert data([row])["within"] == int(is_within)


@pytest.mark.parametrize("utilisation", [0.3, 0.8, 0.95])
def test_formulas_agree_where_they_meet(utilisation: float) -> None:
    """M/M/1 is both M/M/c and M/G/1, and its latency is exponential."""
    assert mmc_wait(1, utilisation) == pytest.approx(mg1_wait(1.0, utilisation))
    assert mmc_late(1, utilisation, 6.0) == pytest.approx(np.exp(-6.0 * (1.0 - utilisation)))


@pytest.mark.parametrize("tick", ["0", "3", "10", "abc", "nan"])
def test_ticks_that_do_not_fit_the_reference_are_refused(tick: str) -> None:
    done = CliRunner().invoke(bench, ["fidelity", "--tick", tick])
    assert done.exit_code == 2
    assert "--tick" in done.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--json", "/nowhere/x.json"], "its folder does not exist or cannot be written"),
        (["--out", "/proc/x"], "/proc/x: "),
    ],
)
def test_what_cannot_be_written_is_refused_before_the_work(
    arguments: list[str], message: str
) -> None:
    done = CliRunner().invoke(bench, ["fidelity", *arguments])
    assert done.exit_code == 2
    assert message in done.output


def test_fidelity_says_what_is_off(tmp_path: Path) -> None:
    target = tmp_path / "fidelity.json"
    done = CliRunner().invoke(bench, ["fidelity", "--json", str(target), "--out", str(tmp_path)])
    found = json.loads(target.read_text())
    within = sum(row["is_within"] for row in found["rows"])
    assert within == found["within"] > 0.95 * len(found["rows"])
    assert done.exit_code == int(within < len(found["rows"]))
    assert f"{within} of {len(found['rows'])} within the bar" in done.output
    assert {"steady.png", "changes.png"} <= {path.name for path in tmp_path.iterdir()}


def test_speed_is_beside_the_event_models_on_the_same_work() -> None:
    event, simulator, environment = (
        speed.event_model(),
        speed.simulation(ticks=3),
        speed.environment(decisions=2),
    )
    told: list[None] = []
    found = [
        speed.paces(piece, event, 2, lambda: told.append(None))
        for piece in (simulator, environment)
    ]
    assert len(told) == 6
    said = speed.speed_data(found)
    assert said["service_ticks_per_s"] == np.median(said["service_ticks_per_s_runs"]) > 0.0
    assert said["service_ticks_ratio"] > 1.0
    assert {"env_ticks_per_s", "env_ticks_ratio", "env_ticks_aim"} <= set(said)
    page = speed.speed_table(found)
    assert f"| service-ticks | {said['service_ticks_per_s']:,.0f} |" in page
