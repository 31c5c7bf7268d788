"""Variants on the real stage: a search that finds what is better, and nothing that is left over."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

Processes = Any  # the class in conftest.py, which cannot be imported from here

pytestmark = [pytest.mark.stage, pytest.mark.timeout(300)]

TRIMTAB = [sys.executable, "-c", "from trimtab_controller.cli import main; main()"]
EXAMPLE = Path(__file__).parents[3] / "examples/experiments/web.yaml"
WITHIN_S = 120.0
FILE = """\
name: threads
service: web
backend: on-demand
safeToMirror: true
settings: {threads: [1, 6]}
now: {threads: 1, replicas: 1}
rate_rps: 30
requests: 100
settle_s: 2
together: 2
limits: {replicas: 2, share: 0.5}
"""


def until(true: Callable[[], object], what: str) -> None:
    end_s = time.monotonic() + WITHIN_S
    while not true():
        assert time.monotonic() < end_s, f"not within {WITHIN_S:g} s: {what}"
        time.sleep(0.2)


@pytest.fixture
def daemon(processes: Processes) -> Processes:
    """A guarded daemon; a hundred requests per second; FILE is there."""
    trace = processes.folder / "flat.csv"
    trace.write_text("seconds,requests_per_second\n0,1\n60,1\n")
    processes.start_stage("--trace", str(trace), "--peak-rps", "100")
    until(lambda: all(b.ready for b in processes.stage_status().backends), "it serves")
    processes.start_daemon()
    processes.status(lambda status: status.decisions >= 8)
    (processes.folder / "threads.yaml").write_text(FILE)
    return processes


def command(daemon: Processes, *arguments: str) -> list[str]:
    return [*TRIMTAB, *arguments, f"--address=unix:{daemon.folder}/d.sock"]


def cli(daemon: Processes, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(daemon, *arguments), capture_output=True, text=True, check=False)


def run(daemon: Processes) -> list[str]:
    return command(daemon, "experiment", "run", f"{daemon.folder}/threads.yaml")


def variants(daemon: Processes) -> list[psutil.Process]:
    """The processes that answer copies."""
    stage = psutil.Process(daemon.running[0].pid)
    return [child for child in stage.children() if "copy-" in command_line(child)]


def command_line(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.NoSuchProcess:  # ended meanwhile
        return ""


def test_it_finds_what_is_better_and_leaves_nothing(daemon: Processes) -> None:
    before = daemon.stage_status()
    done = cli(daemon, *run(daemon)[len(TRIMTAB) : -1])
    assert done.returncode == 0, (done.stdout, done.stderr)
    assert "enough: every choice was tried" in done.stdout
    assert "to try threads=6 on live traffic" in done.stdout
    assert "trimtab stage roll spot --set threads=6" in done.stdout
    until(lambda: not variants(daemon), "no variant is left")
    assert "over: measured" in cli(daemon, "experiment", "status").stdout
    after = daemon.stage_status()
    assert after.load.failed == before.load.failed
    again = cli(daemon, *run(daemon)[len(TRIMTAB) : -1])  # nothing is tried twice
    assert "score" in again.stdout
    assert "experiment" not in again.stderr


def test_the_example_runs(daemon: Processes) -> None:
    text = EXAMPLE.read_text()
    for long, short in {
        "trials: 24": "trials: 2",
        "requests: 500": "requests: 60",
        "rate_rps: 60": "rate_rps: 20",
    }.items():
        assert long in text
        text = text.replace(long, short, 1)
    (daemon.folder / "threads.yaml").write_text(text)
    done = cli(daemon, *run(daemon)[len(TRIMTAB) : -1])
    assert done.returncode == 0, (done.stdout, done.stderr)
    assert "enough: 2 trials were asked for" in done.stdout
    assert "as it is now" in done.stdout


@pytest.mark.parametrize("how", ["stop", "kill -9"])
def test_what_ends_it_ends_its_processes(daemon: Processes, how: str) -> None:
    with subprocess.Popen(
        run(daemon), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as search:
        until(lambda: len(variants(daemon)) == 2, "the variants start")
        assert (
            "trimtab experiment end web"
            in cli(daemon, "canary", "start", "web", "--old=on-demand", "--new=spot").stderr
        )
        if how == "stop":
            assert cli(daemon, "stop").returncode == 0
        else:
            process = daemon.running[-1]
            process.kill()
            process.wait()
        until(lambda: not variants(daemon), "they are gone")
        assert search.wait(WITHIN_S) == 1
    if how == "kill -9":  # the stage let go by itself; the daemon says so when it is back
        daemon.start_daemon()
        daemon.status(lambda status: status.decisions > 0)
        until(lambda: "started again" in cli(daemon, "experiment", "status").stdout, "it is over")
    else:
        assert "stop" in cli(daemon, "experiment", "status").stdout
