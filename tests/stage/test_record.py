"""`trimtab record` on the running stage: what it writes is what was sent."""

from __future__ import annotations

import signal
import time
from pathlib import Path
from threading import Thread

import pytest
from click.testing import CliRunner

from trimtab_agents.fit.recording import read_recordings
from trimtab_controller.cli.record import record

from .client import Stage, eventually, running_stage

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


def test_a_stage_that_hangs_for_a_while_costs_rows_only(
    flat_trace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trimtab_controller.cli.record.DEADLINE_S", 0.3)
    output, directory = tmp_path / "web.csv", tmp_path / "stage"
    with running_stage(directory, "--trace", str(flat_trace)) as stage:
        eventually(stage.is_serving)

        def hang_in_the_middle() -> None:
            eventually(lambda: output.exists() and len(output.read_text().splitlines()) >= 5)
            stage.process.send_signal(signal.SIGSTOP)
            time.sleep(1.0)
            stage.process.send_signal(signal.SIGCONT)

        hanger = Thread(target=hang_in_the_middle)
        hanger.start()
        arguments = ["--socket", str(directory / "stage.sock"), "--step", "0.2", "--seconds", "6"]
        told = CliRunner().invoke(record, [str(output), *arguments])
        hanger.join()
    assert told.exit_code == 0, told.output
    for one in read_recordings(output):
        asleep = one.answers[1:].sum(1) == 0.0
        assert asleep.any()
        assert not asleep[-3:].all()


def test_nobody_there(tmp_path: Path) -> None:
    output = tmp_path / "web.csv"
    told = CliRunner().invoke(record, [str(output), "--socket", str(tmp_path / "none.sock")])
    assert told.exit_code == 1
    assert "stage at" in told.output
    assert not output.exists()


def test_a_stage_that_ends_leaves_what_was_recorded(flat_trace: Path, tmp_path: Path) -> None:
    output, directory = tmp_path / "web.csv", tmp_path / "stage"
    with running_stage(directory, "--trace", str(flat_trace)) as stage:
        eventually(stage.is_serving)

        def kill_in_the_middle() -> None:
            eventually(lambda: output.exists() and len(output.read_text().splitlines()) >= 5)
            stage.process.kill()

        killer = Thread(target=kill_in_the_middle)
        killer.start()
        arguments = [str(output), "--socket", str(directory / "stage.sock"), "--step", "0.2"]
        told = CliRunner().invoke(record, arguments)
        killer.join()
    assert told.exit_code == 1
    assert told.output.endswith(f"; what was recorded is in {output}\n")
    assert len(output.read_text().splitlines()) >= 5
