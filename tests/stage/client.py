"""A stage as its clients see it, and a replica as Envoy sees it."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import grpc
import psutil
from grpc_health.v1 import health_pb2, health_pb2_grpc

from trimtab_proto.v1 import stage_pb2, stage_pb2_grpc

WORK = b"GET / HTTP/1.1\r\n\r\n"
HEALTH = b"GET /healthz HTTP/1.1\r\n\r\n"
REQUEST_IDS = (f"request-{number}" for number in count())


def eventually(seen: Callable[[], object], within_s: float = 15.0) -> None:
    """Wait until `seen()` is true; a deadline for things that must happen, not a speed test."""
    deadline_s = time.monotonic() + within_s
    while not seen():
        assert time.monotonic() < deadline_s, f"did not happen within {within_s} s"
        time.sleep(0.02)


@dataclass
class Stage:
    """A stage process, reached as any client reaches it."""

    process: subprocess.Popen[str]
    directory: Path
    channel: grpc.Channel

    @property
    def stub(self) -> stage_pb2_grpc.StageStub:
        return stage_pb2_grpc.StageStub(self.channel)

    def status(self) -> stage_pb2.StageStatus:
        return self.stub.GetStatus(stage_pb2.GetStatusRequest(), timeout=10, wait_for_ready=True)

    def backend(self, name: str) -> stage_pb2.StageBackend:
        return next(backend for backend in self.status().backends if backend.name == name)

    def apply(self, *asks: stage_pb2.BackendAsk, **fields: str | int) -> stage_pb2.ApplyReply:
        given = {"service": "web", "request_id": next(REQUEST_IDS), "writer": "test", **fields}
        return self.stub.Apply(stage_pb2.ApplyRequest(backends=asks, **given), timeout=5)

    def is_serving(self) -> bool:
        request = health_pb2.HealthCheckRequest(service="trimtab.v1.Stage")
        health = health_pb2_grpc.HealthStub(self.channel)
        reply = health.Check(request, timeout=10, wait_for_ready=True)
        return bool(reply.status == health_pb2.HealthCheckResponse.SERVING)

    def children(self, part: str) -> list[psutil.Process]:
        """The stage's child processes whose command line contains `part`."""
        children = psutil.Process(self.process.pid).children()
        return [child for child in children if part in _command(child)]


def _command(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.NoSuchProcess:  # ended meanwhile
        return ""


@contextlib.contextmanager
def running_stage(directory: Path, *options: str) -> Iterator[Stage]:
    command = [sys.executable, "-m", "trimtab_stage", "--port", "0", "--dir", str(directory)]
    process = subprocess.Popen([*command, *options], stderr=subprocess.PIPE, text=True)
    channel = grpc.insecure_channel(f"unix:{directory / 'stage.sock'}")
    try:
        yield Stage(process, directory, channel)
    finally:
        channel.close()
        process.terminate()
        process.communicate(timeout=20)


def ask(path: Path, request: bytes = WORK) -> socket.socket:
    """Send a request straight to a replica."""
    sock = socket.socket(socket.AF_UNIX)
    eventually(lambda: sock.connect_ex(str(path)) == 0)
    sock.settimeout(10)
    sock.sendall(request)
    return sock


def answer(sock: socket.socket) -> str:
    with sock:
        return sock.recv(1000).decode()


def health(path: Path) -> str:
    return answer(ask(path, HEALTH))


def busy_s(path: Path) -> float:
    """Slot-seconds that a replica has worked."""
    return float(health(path).split("\r\n\r\n")[1])
