"""A trial on the real stage: real requests, and a version that is slower."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest

Processes = Any  # the class in conftest.py, which cannot be imported from here

pytestmark = [pytest.mark.stage, pytest.mark.timeout(300)]

TRIMTAB = [sys.executable, "-c", "from trimtab_controller.cli import main; main()"]
WITHIN_S = 120.0
SHARES = ("--old=on-demand", "--new=spot", "--shares=20,50", "--requests=200")


def until(true: Callable[[], object], what: str) -> None:
    end_s = time.monotonic() + WITHIN_S
    while not true():
        assert time.monotonic() < end_s, f"not within {WITHIN_S:g} s: {what}"
        time.sleep(0.2)


@pytest.fixture
def daemon(processes: Processes) -> Processes:
    """A guarded daemon; two hundred requests per second."""
    trace = processes.folder / "flat.csv"
    trace.write_text("seconds,requests_per_second\n0,1\n60,1\n")
    processes.start_stage("--trace", str(trace), "--peak-rps", "200")
    until(lambda: all(b.ready for b in processes.stage_status().backends), "it serves")
    processes.start_daemon()
    processes.status(lambda status: status.decisions >= 8)
    return processes


def cli(daemon: Processes, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [*TRIMTAB, *arguments, f"--address=unix:{daemon.folder}/d.sock"]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def slow(daemon: Processes, factor: float) -> None:
    command = [*TRIMTAB, "stage", "slow", "spot", f"--factor={factor}"]
    subprocess.run([*command, f"--socket={daemon.folder}/s.sock"], check=True)


def share(daemon: Processes) -> float:
    """Spot's share of the route, as Envoy has it."""
    return float(daemon.stage_status().backends[1].weight)


def test_a_slower_version_loses_its_share_also_after_the_daemon_was_killed(
    daemon: Processes,
) -> None:
    slow(daemon, 1.6)
    begun = cli(daemon, "canary", "start", "web", *SHARES, "--detach")
    assert begun.returncode == 0, begun.stderr
    assert "trimtab canary end web" in cli(daemon, "canary", "start", "web", *SHARES).stderr
    until(lambda: share(daemon) == pytest.approx(0.2, abs=0.005), "it gets its first share")
    process = daemon.running[-1]
    process.kill()
    process.wait()
    daemon.start_daemon()
    daemon.status(lambda status: status.decisions > 0)
    done = cli(daemon, "canary", "watch", "web")
    assert "spot is worse: latency p" in done.stdout, (done.stdout, done.stderr)
    assert done.returncode == 1
    until(lambda: share(daemon) == 0.0, "its share goes back")
    assert cli(daemon, "canary", "end", "web").returncode == 0
    assert "no trial runs" in cli(daemon, "canary", "status").stdout
