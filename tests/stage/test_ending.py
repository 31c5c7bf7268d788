"""However the stage ends, or fails to start, nothing of it is left and the next one can start."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from .client import Stage, eventually, running_stage

pytestmark = pytest.mark.stage

# Envoy, the generator, and two replicas of each backend.
CHILDREN = 6


def full_tree(stage: Stage) -> list[psutil.Process]:
    eventually(stage.is_serving)
    eventually(lambda: stage.status().load.requests > 10)
    children = psutil.Process(stage.process.pid).children(recursive=True)
    assert len(children) >= CHILDREN - 1  # the HPA may have taken one away by now
    return children


def are_gone(processes: list[psutil.Process]) -> bool:
    return not any(p.is_running() and p.status() != psutil.STATUS_ZOMBIE for p in processes)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["sigterm", "sigint"])
def test_a_signal_ends_everything_cleanly(number: signal.Signals, tmp_path: Path) -> None:
    with running_stage(tmp_path) as stage:
        children = full_tree(stage)
        stage.process.send_signal(number)
        assert stage.process.wait(timeout=10) == 0
        assert are_gone(children)
        assert not list(tmp_path.glob("*.sock"))


def test_a_killed_stage_leaves_nobody_and_the_next_start_works_at_once(tmp_path: Path) -> None:
    with running_stage(tmp_path) as stage:
        children, port = full_tree(stage), stage.status().port
        stage.process.kill()
        stage.process.wait(timeout=10)
        eventually(lambda: are_gone(children))
    with running_stage(tmp_path, "--port", str(port)) as stage:
        eventually(stage.is_serving)
        assert stage.status().port == port


def refusal(*options: str) -> str:
    """The one line that a stage that cannot start prints."""
    command = [sys.executable, "-m", "trimtab_stage", *options]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    assert ended.returncode == 1
    assert ended.stderr.count("\n") == 1
    return ended.stderr


def test_a_busy_port_is_named_with_the_way_out(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        message = refusal("--port", str(port), "--dir", str(tmp_path))
    assert f"cannot listen on 127.0.0.1:{port}: Address already in use" in message
    assert "--port" in message


def test_a_port_lost_while_envoy_restarts_ends_the_stage(tmp_path: Path) -> None:
    with running_stage(tmp_path) as stage:
        children, port = full_tree(stage), stage.status().port
        (envoy,) = stage.children("envoy.json")
        envoy.kill()
        envoy.wait()
        with socket.create_server(("127.0.0.1", port)):
            assert stage.process.wait(timeout=20) == 1
        assert stage.process.stderr is not None
        assert f"Envoy cannot listen on 127.0.0.1:{port}" in stage.process.stderr.read()
        assert are_gone(children)


def test_a_directory_holds_one_stage_at_a_time(stage: Stage) -> None:
    message = refusal("--port", "0", "--dir", str(stage.directory))
    assert f"another stage runs in {stage.directory}" in message
    assert stage.is_serving()


@pytest.mark.parametrize(
    ("trace", "message"),
    [
        ("seconds,requests_per_second\n0,1\n60,-2\n", "bad.csv:3: the rate -2 is negative"),
        ("seconds,requests_per_second\n0,0\n60,0\n", "trace bad holds no request"),
    ],
    ids=["negative", "empty"],
)
def test_a_bad_trace_is_refused(trace: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.csv"
    path.write_text(trace)
    assert message in refusal("--port", "0", "--trace", str(path))


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--dir", "/tmp/" + "x" * 90, "choose a shorter --dir"),
        ("--speed", "0", "speed is 0.0"),
        ("--peak-rps", "nan", "peak_rps is nan"),
        ("--start-s", "-1", "start_s is -1.0"),
        ("--port", "70000", "port is 70000"),
    ],
)
def test_a_bad_option_is_refused(option: str, value: str, message: str) -> None:
    assert message in refusal("--port", "0", option, value)
