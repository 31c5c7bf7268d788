"""The library of drills against trimtab itself: a real daemon over a real stage.

``make soak`` runs all of it; otherwise there are two short ones.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Processes = Any  # the class in conftest.py, which cannot be imported from here

pytestmark = [pytest.mark.stage, pytest.mark.timeout(300)]

# A shell that runs tests in its background has their children ignore Ctrl-C.
HEEDS = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
TRIMTAB = [sys.executable, "-c", f"{HEEDS}; from trimtab_controller.cli import main; main()"]
LIBRARY = sorted((Path(__file__).parents[3] / "examples" / "drills").glob("*.yaml"))
SHORT = ("kill-a-replica", "cut-stage")
CHOSEN = [f for f in LIBRARY if "TRIMTAB_SOAK_S" in os.environ or f.stem in SHORT]
WITHIN_S = 120.0


def until(true: Callable[[], object], what: str) -> None:
    end_s = time.monotonic() + WITHIN_S
    while not true():
        assert time.monotonic() < end_s, f"not within {WITHIN_S:g} s: {what}"
        time.sleep(0.2)


def amid_faults(daemon: Processes, drill: subprocess.Popen[str]) -> None:
    def begun() -> bool:
        assert drill.poll() is None, drill.communicate()
        return phase(daemon) == "faults"

    until(begun, "something is broken")


@pytest.fixture
def daemon(processes: Processes) -> Processes:
    """A guarded daemon that keeps three replicas of each backend; sixty requests per second."""
    config = processes.folder / "trimtab.yaml"
    config.write_text(
        Path(processes.demo).read_text().replace("min_replicas: 1", "min_replicas: 3")
    )
    processes.demo = str(config)
    trace = processes.folder / "flat.csv"
    trace.write_text("seconds,requests_per_second\n0,1\n60,1\n")
    processes.start_stage("--trace", str(trace), "--peak-rps", "60", "--initial-replicas", "3")
    until(lambda: all(b.ready for b in processes.stage_status().backends), "it serves")
    processes.start_daemon()
    processes.status(lambda status: status.decisions >= 8)
    return processes


def gentle(file: Path, folder: Path) -> Path:
    """A drill as it is, but where a machine that stalls for a moment is steady still."""
    text = file.read_text().replace("miss_share: 0.05, for_s: 5", "miss_share: 0.25, for_s: 3")
    path = folder / file.name
    path.write_text(text)
    return path


def start(daemon: Processes, *arguments: object) -> subprocess.Popen[str]:
    command = [*TRIMTAB, "drill", *map(str, arguments), f"--address=unix:{daemon.folder}/d.sock"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def phase(daemon: Processes) -> str:
    listed, _ = start(daemon, "--list").communicate()
    return listed.strip().splitlines()[-1].strip().partition(":")[0]


@pytest.mark.parametrize("file", CHOSEN, ids=lambda file: file.stem)
def test_it_withstands_what_the_library_breaks(daemon: Processes, file: Path) -> None:
    drill = start(daemon, gentle(file, daemon.folder))
    page, progress = drill.communicate()
    assert drill.returncode == 0, (page, progress)
    assert "**Withstood**: steady again" in page
    assert "| drill | begins: " in page
    assert "| drill | all faults are over |" in page
    until(lambda: all(b.ready for b in daemon.stage_status().backends), "all is whole again")


def test_a_killed_daemon_leaves_nothing_broken_and_the_next_one_says_so(
    daemon: Processes,
) -> None:
    file = next(f for f in LIBRARY if f.stem == "partition-a-replica")
    drill = start(daemon, gentle(file, daemon.folder))
    amid_faults(daemon, drill)
    process = daemon.running[-1]
    process.kill()
    process.wait()
    drill.communicate()
    assert drill.returncode == 1
    log = daemon.folder / "trimtab_stage.log"
    until(lambda: "nobody has asked again for partition-a-replica" in log.read_text(), "undone")
    daemon.start_daemon()
    daemon.status(lambda status: status.decisions > 0)
    until(lambda: phase(daemon) == "aborted", "it is over")
    page, _ = start(daemon, "--show", "web").communicate()
    assert "the daemon was restarted amid it" in page
    assert "begins: partition 1 of spot" in page


def test_ctrl_c_undoes_everything(daemon: Processes) -> None:
    file = next(f for f in LIBRARY if f.stem == "cut-stage")
    drill = start(daemon, gentle(file, daemon.folder))
    amid_faults(daemon, drill)
    drill.send_signal(signal.SIGINT)
    page, progress = drill.communicate()
    assert drill.returncode == 1
    assert "nothing is broken any more" in progress
    assert "**Aborted**: ended by " in page
    daemon.status(lambda status: not status.error)
