"""`trimtab bench live` as its user starts it, on the real stage."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from trimtab_controller.journal import read
from trimtab_controller.live_bench import books, watch
from trimtab_controller.live_bench.bench import TRACE, Choices, Trial, measure
from trimtab_controller.live_bench.steps import raises_s
from trimtab_controller.live_bench.watch import Interrupted, Progress
from trimtab_controller.memory import REMEMBERED
from trimtab_controller.up.commands import Options
from trimtab_controller.up.supervisor import UpError
from trimtab_sim.traces import read_trace
from trimtab_stage.replay import plan

pytestmark = [pytest.mark.stage, pytest.mark.timeout(400)]

COMMAND = [sys.executable, "-c", "from trimtab_controller.cli import main; main()", "bench", "live"]
BEGIN_S = 120.0
GONE_S = 5.0


@contextmanager
def live(folder: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A benchmark in ``folder``; whatever is left of it afterwards is a failure."""
    with (folder / "live.log").open("w") as log:
        process = subprocess.Popen(
            [*COMMAND, "--seconds=10", f"--dir={folder}/run", *arguments], stdout=log, stderr=log
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        sys.stdout.write((folder / "live.log").read_text())
    assert psutil.wait_procs(running(f"{folder}/run"), GONE_S)[1] == []


def running(mark: str) -> list[psutil.Process]:
    """Whatever has ``mark`` in its command line, by whomever it was started."""
    found = psutil.process_iter(["cmdline"])
    return [process for process in found if mark in " ".join(process.info["cmdline"] or ())]


def alive(process: subprocess.Popen[str]) -> bool:
    return process.poll() is None


def part(process: subprocess.Popen[str], module: str) -> psutil.Process:
    """Its child that runs ``module``, once there is one."""
    end_s = time.monotonic() + BEGIN_S
    while time.monotonic() < end_s and alive(process):
        for child in psutil.Process(process.pid).children(recursive=True):
            if module in child.cmdline():
                return child
        time.sleep(0.1)
    raise AssertionError(f"no {module} within {BEGIN_S:g} s")


def test_both_are_measured_beside_their_prediction(tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    with live(tmp_path, f"--json={out}") as process:
        process.wait()
    # The bars are about a quiet machine; here it only has to be measured.
    assert process.returncode in (0, 3)
    data = json.loads(out.read_text())
    for world in (data, data["predicted"]):
        for who in ("hpa", "ppo"):
            assert world[who]["fleet"] > 1.0
            assert 0.0 <= world[who]["miss"] <= 1.0
    assert data["generator"]["hpa"]["requests"] > 1000
    assert "seconds_from_load_step_to_action" in data
    assert (process.returncode == 0) == all(bar["met"] for bar in data["gap"])
    raised = {
        who: list(raises_s(read(tmp_path / "run" / who / "journal.db", REMEMBERED)))
        for who in ("hpa", "ppo")
    }
    assert not raised["hpa"]  # the daemon only looked on
    assert raised["ppo"]


def test_an_interrupted_run_says_so_and_leaves_nothing_behind(tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    with live(tmp_path, f"--json={out}") as process:
        stage = part(process, "trimtab_stage")
        part(process, "trimtab_stage.load")
        process.send_signal(signal.SIGINT)
        assert process.wait(30.0) == 130
        assert psutil.wait_procs([stage], GONE_S)[1] == []
    assert not out.exists()
    assert "nothing is left running" in (tmp_path / "live.log").read_text()


@pytest.fixture
def short(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Trial:
    """A second, judged from the beginning on."""
    for module in (books, watch):
        monkeypatch.setattr(module, "WARM_UP_S", 0.0)
    return Trial.of(Choices(tmp_path, seconds=1.0))


def run(short: Trial, progress: Progress) -> watch.Run:
    with short.folders() as folders:
        options = Options(short.stages["hpa"], "shadow")
        return watch.run(options, short.replay, folders["hpa"], short.choices.seconds, progress)


def test_who_interrupts_is_told_so_even_at_the_end(short: Trial) -> None:
    def interrupt(time_s: float, _now: str) -> None:
        if time_s > 2.0:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(Interrupted):
        run(short, interrupt)


def test_what_was_not_counted_to_its_end_is_no_interruption(
    short: Trial, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "SLACK_S", -29.0)
    longer = replace(short, choices=replace(short.choices, seconds=30.0))
    with pytest.raises(UpError, match="not counted to its end"):
        run(longer, lambda *_: None)


def test_a_run_without_requests_could_not_be_measured(short: Trial) -> None:
    stages = {who: replace(stage, peak_rps=1e-3) for who, stage in short.stages.items()}
    quiet = plan(read_trace(TRACE), short.replay.speed, short.replay.start_s, 1e-3)
    silent = replace(short, stages=stages, replay=quiet)
    with (
        silent.folders() as folders,
        pytest.raises(UpError, match=r"hpa, live: no request came .*; try again"),
    ):
        measure(silent, {}, folders, lambda *_: lambda *_: None)
