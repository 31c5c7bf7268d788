"""A child of `trimtab up`: how it ends, and what is said about it. Real processes."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from rich.console import Console

from trimtab_controller.up import supervisor
from trimtab_controller.up.child import Child
from trimtab_controller.up.folder import claim
from trimtab_controller.up.record import Record
from trimtab_controller.up.screen import Lines
from trimtab_controller.up.supervisor import Supervisor, UpError

STUBBORN = "import signal, time; signal.signal(15, signal.SIG_IGN); print('up', flush=True)\n"


@pytest.fixture
def child(tmp_path: Path) -> Callable[[str], Child]:
    def make(program: str, name: str = "stage") -> Child:
        return Child(name, [sys.executable, "-c", program], tmp_path / f"{name}.log")

    return make


def ended(child: Child) -> Child:
    child.start()
    while child.ended is None:
        time.sleep(0.01)
    return child


def test_its_last_words_tell_why(child: Callable[[str], Child]) -> None:
    failed = ended(child("print('starting'); print('Error: no room\\n'); raise SystemExit(3)"))
    said = f"the stage ended with exit code 3: no room (all of it: {failed.log})"
    assert failed.obituary() == said
    failed.end(patience_s=1.0)  # again is harmless


def test_a_killed_one_has_none(child: Callable[[str], Child]) -> None:
    killed = ended(child("print('fine', flush=True); import os; os.kill(os.getpid(), 9)"))
    assert killed.obituary() == f"the stage was ended by SIGKILL (all of it: {killed.log})"


def test_it_is_killed_when_it_will_not_end(child: Callable[[str], Child]) -> None:
    stubborn = child(f"{STUBBORN}time.sleep(60)")
    stubborn.start()
    while stubborn.last_words() != "up":
        time.sleep(0.01)
    stubborn.end(patience_s=0.2)
    assert stubborn.ended == -signal.SIGKILL


def test_one_that_never_serves_is_named_and_all_are_ended(
    child: Callable[..., Child], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "START_S", 1.0)
    mute = [child("import time; time.sleep(60)", name) for name in ("stage", "daemon")]
    with claim(tmp_path / "run") as folder:
        run = Supervisor(*mute, Record(50.0), Lines(Console(quiet=True)), time.time)
        with pytest.raises(UpError, match="after 1 s the stage does not answer"):
            run.run(folder, seconds=None)
    assert [one.ended for one in mute] == [-signal.SIGTERM] * 2
    assert not any(psutil.pid_exists(one.pid or 0) for one in mute)
