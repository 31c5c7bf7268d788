"""`trimtab record` on the running stage: what it writes is what was sent."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from trimtab_agents.fit.recording import read_recordings
from trimtab_controller.cli.record import record

from .client import Stage

pytestmark = pytest.mark.stage


def test_every_request_is_in_the_recording(stage: Stage, tmp_path: Path) -> None:
    output = tmp_path / "web.csv"
    before = stage.status()
    arguments = [
        str(output),
        "--socket",
        str(stage.directory / "stage.sock"),
        "--step",
        "0.2",
        "--seconds",
        "4",
    ]
    told = CliRunner().invoke(record, arguments)
    assert told.exit_code == 0, told.output
    sent = stage.status().load.requests - before.load.requests
    recordings = read_recordings(output)
    assert [one.backend for one in recordings] == [b.name for b in before.backends]
    asked = sum((one.rate_rps * one.step_s).sum() for one in recordings)
    answered = sum(one.answers.sum() for one in recordings)
    # The first row needs two reads, and reading takes its time.
    assert 0.6 * sent < asked <= 1.1 * sent
    assert answered == pytest.approx(asked, rel=0.15)
    again = CliRunner().invoke(record, arguments)
    assert "is there already: give another name" in again.output


def test_nobody_there(tmp_path: Path) -> None:
    arguments = [str(tmp_path / "web.csv"), "--socket", str(tmp_path / "none.sock")]
    told = CliRunner().invoke(record, arguments)
    assert told.exit_code == 1
    assert "stage at" in told.output
