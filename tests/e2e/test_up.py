"""The whole demonstration as a newcomer starts it: real Envoy, replicas, daemon and policy."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.request import urlopen

import grpc
import psutil
import pytest

from trimtab_controller.journal import verify
from trimtab_proto.v1 import controller_pb2, controller_pb2_grpc, stage_pb2, stage_pb2_grpc

pytestmark = pytest.mark.stage

TRIMTAB = [sys.executable, "-c", "from trimtab_controller.cli import main; main()"]
START_S = 40.0
GONE_S = 5.0


def until(true: Callable[[], object], within_s: float, what: str) -> None:
    """Wait for a condition; fail by name when it does not come."""
    end_s = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < end_s, f"not within {within_s:g} s: {what}"
        time.sleep(0.1)


@dataclass
class Demonstration:
    """A running `trimtab up` and what is asked of it from outside."""

    process: subprocess.Popen[str]
    folder: Path

    def children(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def daemon(self) -> psutil.Process | None:
        found = [p for p in self.children() if "trimtab_controller.daemon" in p.cmdline()]
        return found[0] if found else None

    def console(self) -> psutil.Process | None:
        found = [p for p in self.children() if "trimtab_controller.cli.console" in p.cmdline()]
        return found[0] if found else None

    def page(self) -> int:
        """What the console answers; 0 while it does not answer."""
        log = (self.folder.parent / "up.log").read_text()
        url = re.findall(r"^console (http://127.0.0.1:\d+)$", log, re.MULTILINE)[-1]
        try:
            with urlopen(f"{url}/static/console.css") as reply:  # noqa: S310  # http to this machine
                return int(reply.status)
        except OSError:
            return 0

    def requests(self) -> int:
        """How many the stage has been sent; 0 while it does not answer."""
        with grpc.insecure_channel(f"unix:{self.folder}/stage.sock") as channel:
            stub = stage_pb2_grpc.StageStub(channel)
            try:
                status = stub.GetStatus(stage_pb2.GetStatusRequest(), timeout=2.0)
            except grpc.RpcError:
                return 0
            return int(status.load.requests)

    def tick(self) -> controller_pb2.ServiceStatus | None:
        """The daemon's latest; ``None`` while it is away."""
        with grpc.insecure_channel(f"unix:{self.folder}/daemon.sock") as channel:
            stub = controller_pb2_grpc.ControllerStub(channel)
            try:
                request = controller_pb2.WatchDecisionsRequest()
                return next(iter(stub.WatchDecisions(request, timeout=2.0)))
            except grpc.RpcError:
                return None

    def decisions(self) -> int:
        tick = self.tick()
        return tick.decisions if tick else 0

    def cli(self, *arguments: str) -> str:
        """What a command of a human prints; it must succeed."""
        address = f"--address=unix:{self.folder}/daemon.sock"
        command = [*TRIMTAB, *arguments, address]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout


@contextmanager
def demonstration(folder: Path, *arguments: str) -> Iterator[Demonstration]:
    """`trimtab up` that serves; whatever is left of it afterwards is a failure."""
    ports = "--port=0", "--console-port=0"
    command = [*TRIMTAB, "up", "--headless", *ports, f"--dir={folder}", *arguments]
    with (folder.parent / "up.log").open("a+") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, text=True)
        shown = Demonstration(process, folder)
        try:
            until(lambda: shown.tick() and shown.requests(), START_S, "both serve")
            yield shown
            family = shown.children() if process.poll() is None else []
        except BaseException:
            log.seek(0)
            sys.stdout.write(log.read())
            raise
        finally:
            process.terminate()
            process.wait(20.0)
    assert psutil.wait_procs(family, GONE_S)[1] == []


def test_twenty_seconds_end_with_a_measured_summary(tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    with demonstration(tmp_path / "run", "--seconds=20", f"--json={out}") as shown:
        family = shown.children()
        assert len(family) >= 2 + 1 + 1 + 2  # stage, daemon, Envoy, generator, replicas
        shown.process.wait(60.0)
    assert shown.process.returncode == 0
    assert psutil.wait_procs(family, GONE_S)[1] == []
    summary = json.loads(out.read_text())
    assert list(summary) == [
        "requests", "miss_share", "fleet", "scale_events", "route_changes", "decisions",
        "policy", "seconds",
    ]  # fmt: skip
    assert summary["requests"] > 500
    assert 0.0 <= summary["miss_share"] < 0.5
    assert summary["fleet"] > 1.0
    assert summary["decisions"] >= 10
    assert summary["policy"]
    assert summary["seconds"] == pytest.approx(20.0, abs=3.0)
    assert "This run" in (tmp_path / "up.log").read_text()


def test_the_daemon_is_killed_and_the_stage_carries_on(tmp_path: Path) -> None:
    with demonstration(tmp_path / "run") as shown:
        until(lambda: shown.decisions() >= 3, 15.0, "decisions")
        first = shown.daemon()
        assert first is not None
        first.send_signal(signal.SIGKILL)
        first.wait(GONE_S)
        requests, decisions = shown.requests(), verify(shown.folder / "journal.db").entries
        assert shown.tick() is None
        until(lambda: shown.requests() > requests, 5.0, "the stage carries on without the daemon")
        until(lambda: shown.tick() is not None, 20.0, "the daemon is back")
        second = shown.daemon()
        assert second is not None
        assert second.pid != first.pid
        before = shown.decisions()
        assert before >= 3  # it remembers what it had decided
        until(lambda: shown.decisions() > before, 10.0, "it decides again")
        shown.process.send_signal(signal.SIGTERM)
        assert shown.process.wait(20.0) == 0
    found = verify(shown.folder / "journal.db")
    assert found.ok, found.problem
    assert found.entries > decisions
    log = (tmp_path / "up.log").read_text()
    assert "the daemon was ended by SIGKILL" in log
    assert "started again" in log


def test_the_console_is_beside_it_and_comes_back(tmp_path: Path) -> None:
    with demonstration(tmp_path / "run") as shown:
        until(lambda: shown.page() == 200, 30.0, "the console's page")
        first = shown.console()
        assert first is not None
        first.kill()
        first.wait(GONE_S)
        until(lambda: shown.page() == 200, 30.0, "the console is back")
        assert shown.tick()
    assert "the console was ended by SIGKILL" in (tmp_path / "up.log").read_text()


def test_a_killed_supervisor_leaves_no_orphan_and_a_second_start_works(tmp_path: Path) -> None:
    with demonstration(tmp_path / "run") as shown:
        family = shown.children()
        shown.process.kill()
        shown.process.wait()
        assert psutil.wait_procs(family, GONE_S)[1] == []
    with demonstration(tmp_path / "run") as again:
        assert len(list(again.folder.glob("journal-*.db"))) == 1
        again.process.send_signal(signal.SIGINT)
        assert again.process.wait(20.0) == 0


def test_the_stage_ends_and_so_does_the_run(tmp_path: Path) -> None:
    with demonstration(tmp_path / "run") as shown:
        family = shown.children()
        stage = next(p for p in family if "trimtab_stage" in p.cmdline())
        stage.kill()
        assert shown.process.wait(20.0) == 1
        assert psutil.wait_procs(family, GONE_S)[1] == []
    assert "Error: the stage was ended by SIGKILL" in (tmp_path / "up.log").read_text()


def test_a_human_takes_and_gives_authority(tmp_path: Path) -> None:
    with demonstration(tmp_path / "run", "--mode=approve") as shown:
        assert "web: approve" in shown.cli("status", "web")
        until(lambda: "nothing is pending" not in shown.cli("pending"), 20.0, "it asks")
        envelope = shown.cli("pending").split()[0]
        assert "granted: web/" in shown.cli("approve", envelope, "--who=ada", "--why=seen")
        assert "web: shadow" in shown.cli("mode", "web", "shadow")
        assert "stopped" in shown.cli("stop", "--why=drill")
        until(lambda: "STOPPED" in shown.cli("status"), 5.0, "the next tick says so")
        assert "nothing is stopped now" in shown.cli("resume")
        until(lambda: "web: shadow" in shown.cli("status", "web"), 5.0, "the next tick says so")
