"""`trimtab bench live` as its user starts it, on the real stage."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from trimtab_controller.journal import read
from trimtab_controller.live_bench.steps import raises_s
from trimtab_controller.memory import REMEMBERED

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
        family = psutil.Process(process.pid).children(recursive=True) if alive(process) else []
        process.kill()
        process.wait()
        sys.stdout.write((folder / "live.log").read_text())
    assert psutil.wait_procs(family, GONE_S)[1] == []


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
