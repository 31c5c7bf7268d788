"""The daemon as a process: against the real stage, killed, stopped and told wrong things."""

from __future__ import annotations

import signal
import subprocess
import sys
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from trimtab_controller.daemon import ENDINGS, beat, next_due
from trimtab_controller.journal import read, verify
from trimtab_controller.memory import OutcomeRecord
from trimtab_controller.records import unpack
from trimtab_controller.signals import Inbox
from trimtab_proto.v1 import controller_pb2 as pb

PATIENCE_S = 30.0

Processes = Any  # the class in conftest.py, which cannot be imported from here


@pytest.mark.parametrize(
    ("due_s", "now_s", "following_s"),
    [(10.0, 10.2, 11.0), (10.0, 10.999, 11.0), (10.0, 11.0, 12.0), (10.0, 14.5, 15.0)],
    ids=["in time", "just", "missed one", "missed four"],
)
def test_beats_do_not_drift_and_are_not_made_up_for(
    due_s: float, now_s: float, following_s: float
) -> None:
    assert next_due(due_s, now_s, 1.0) == following_s


def test_beats_of_a_fraction_always_lie_ahead() -> None:
    due_s = now_s = 0.0
    for _ in range(1000):
        due_s = next_due(due_s, now_s, 0.1)
        assert now_s < due_s < now_s + 0.1 + 1e-9
        now_s = due_s


@pytest.mark.parametrize("ending", ENDINGS)
def test_the_tick_that_runs_is_ended_in_order_and_no_other_begins(ending: signal.Signals) -> None:
    ticks = []

    def tick() -> None:
        signal.raise_signal(ending)
        ticks.append(ending)

    with Inbox(ENDINGS) as inbox:
        beat(tick, 0.001, inbox, lambda: None)
    assert ticks == [ending]


def test_a_signal_before_the_first_tick_ends_it() -> None:
    with Inbox(ENDINGS) as inbox:
        signal.raise_signal(signal.SIGTERM)
        beat(lambda: pytest.fail("ticked"), 0.001, inbox, lambda: None)


def test_signals_are_told_in_order_and_the_old_handlers_come_back() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with Inbox((signal.SIGTERM, signal.SIGHUP)) as inbox:
        signal.raise_signal(signal.SIGHUP)
        signal.raise_signal(signal.SIGTERM)
        assert [inbox.next(0.0) for _ in range(3)] == [signal.SIGHUP, signal.SIGTERM, None]
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize("module", ["trimtab_controller.loop", "trimtab_controller.daemon"])
def test_nothing_of_training_and_simulating_is_imported(module: str) -> None:
    code = f"import sys, {module}; print(*sorted({{m.partition('.')[0] for m in sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    loaded = set(done.stdout.split())
    assert "trimtab_guard" in loaded
    training = {"torch", "stable_baselines3", "matplotlib", "onnx", "tensorboard"}
    assert not loaded & {*training, "numba", "llvmlite"}


@pytest.mark.stage
def test_the_real_thing(processes: Processes) -> None:
    stage = processes.start_stage()
    daemon = processes.start_daemon()
    # A tick that happens not to be measured shows no rate; the next one does.
    seen = processes.status(
        lambda status: status.actions >= 2 and sum(b.rate_rps for b in status.backends) > 20
    )
    assert seen.mode == pb.MODE_GUARDED
    assert 5 < seen.p50_ms < seen.p95_ms
    assert processes.stage_status().last_writer == "trimtab"

    daemon.send_signal(signal.SIGKILL)
    daemon.wait()
    assert stage.poll() is None
    before = list(read(processes.folder / "j.db", kinds=("tick",)))[-1]
    processes.start_daemon()
    again = processes.status(lambda status: status.outcome in ("applied", "unchanged"))
    assert again.decisions > before.body["services"][0][-4]
    assert again.actions >= seen.actions
    assert again.error == ""

    processes.running[-1].send_signal(signal.SIGUSR1)
    stopped = processes.status(lambda status: status.outcome == "stopped")
    version = processes.stage_status().resource_version
    later = processes.status(lambda status: status.decisions >= stopped.decisions + 2)
    assert later.stopped
    assert processes.stage_status().resource_version == version

    processes.running[-1].terminate()
    assert processes.running[-1].wait(PATIENCE_S) == 0
    assert stage.poll() is None
    assert verify(processes.folder / "j.db").ok


@pytest.mark.stage
def test_of_two_daemons_on_one_stage_the_older_is_deposed(processes: Processes) -> None:
    processes.start_stage()
    processes.start_daemon()
    processes.status(lambda status: status.actions >= 1)
    folder = processes.folder
    config = (files("trimtab_controller") / "demo.yaml").read_text()
    (folder / "newer.yaml").write_text(config.replace("min_replicas: 1", "min_replicas: 4"))
    newer = ("--config", f"{folder}/newer.yaml", "--journal", f"{folder}/newer.db")
    processes.start_daemon(*newer, "--listen", f"unix:{folder}/newer.sock")
    processes.status(lambda status: status.actions >= 1, of="newer.sock")

    lost = processes.status(lambda status: "deposed" in status.error)
    assert f"process {processes.running[2].pid} leads under epoch 2, ours is 1" in lost.error
    later = processes.status(lambda status: status.decisions >= lost.decisions + 5)
    assert (later.mode, later.actions) == (pb.MODE_SHADOW, lost.actions)
    first_s, last_s = times_of_writes(folder / "newer.db")[0], times_of_writes(folder / "j.db")[-1]
    assert last_s < first_s
    assert processes.stage_status().epoch == 2

    processes.set_mode(pb.MODE_GUARDED)
    processes.status(lambda status: status.actions > later.actions)
    regained = processes.status(lambda status: "deposed" in status.error, of="newer.sock")
    assert f"process {processes.running[1].pid} leads under epoch 3, ours is 2" in regained.error


def times_of_writes(journal: Path) -> list[float]:
    """When the stage acknowledged each."""
    records = (entry.body["service"] for entry in read(journal, kinds=("outcome",)))
    outcomes = (unpack(OutcomeRecord, record) for record in records)
    return [outcome.time_s for outcome in outcomes if outcome.applied]


def test_it_waits_for_its_stage_and_ends_cleanly(processes: Processes) -> None:
    daemon = processes.start_daemon()
    status = processes.status(lambda status: status.outcome == "held")
    assert "s.sock" in status.error
    daemon.send_signal(signal.SIGINT)
    assert daemon.wait(PATIENCE_S) == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--listen", "0.0.0.0:7070"), "needs TLS and authentication"),
        (("--config", "/no/such.yaml"), "/no/such.yaml: No such file"),
        (("--policy", "/no/bundle"), "/no/bundle/policy.onnx"),
        (("--mode", "auto"), "'auto' is not one of"),
        (("--journal", "{folder}"), "is a folder"),
    ],
)
def test_what_cannot_start_says_why(
    processes: Processes, options: tuple[str, str], message: str
) -> None:
    name, value = options
    daemon = processes.start_daemon(name, value.format(folder=processes.folder))
    assert daemon.wait(PATIENCE_S) != 0
    log = (processes.folder / "trimtab_controller.daemon.log").read_text()
    assert message in log
    assert "Traceback" not in log


def test_a_second_daemon_on_the_same_journal_is_refused(processes: Processes) -> None:
    processes.start_daemon()
    processes.status(lambda status: status.outcome == "held")
    second = processes.start_daemon("--listen", f"unix:{processes.folder}/other.sock")
    assert second.wait(PATIENCE_S) != 0
    assert "j.db" in (processes.folder / "trimtab_controller.daemon.log").read_text()
