"""What is not gRPC at all: garbage, halves of it, floods and silence on the port."""

from __future__ import annotations

import os
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from typing import Any

import grpc
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trimtab_controller import server
from trimtab_controller.security.roles import Role
from trimtab_controller.security.spec import SecuritySpec
from trimtab_proto.v1 import controller_pb2 as pb
from trimtab_proto.v1 import controller_pb2_grpc

House = Any  # the class in conftest.py, which cannot be imported from here
PATIENCE_S = 30.0
HANDSHAKE_S, CONNECTIONS = 0.5, 50

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW, CONTINUATION = 0, 1, 3, 4, 6, 7, 8, 9
END_STREAM, END_HEADERS = 1, 4


def frame(kind: int, flags: int = 0, stream: int = 0, body: bytes = b"") -> bytes:
    """One frame of HTTP/2 (RFC 9113, section 4.1)."""
    return struct.pack(">I", len(body))[1:] + struct.pack(">BBI", kind, flags, stream) + body


def header(name: bytes, value: bytes) -> bytes:
    """One literal header of HPACK, not indexed (RFC 7541, section 6.2.2), of short strings."""
    return b"\x00" + bytes([len(name)]) + name + bytes([len(value)]) + value


def call(stream: int, method: bytes = b"ListPending", *more: tuple[bytes, bytes]) -> bytes:
    """The headers that begin a call; its message never comes."""
    path = b"/trimtab.v1.Controller/" + method
    headers = [
        (b":method", b"POST"), (b":scheme", b"http"), (b":path", path), (b":authority", b"x"),
        (b"te", b"trailers"), (b"content-type", b"application/grpc"), *more,
    ]  # fmt: skip
    return frame(HEADERS, END_HEADERS, stream, b"".join(header(*each) for each in headers))


HELLO = PREFACE + frame(SETTINGS)
MALFORMED = {
    "nothing": b"",
    "HTTP/1.1, as from a browser": b"POST /trimtab.v1.Controller/Stop HTTP/1.1\r\nHost: x\r\n\r\n",
    "half a preface": PREFACE[:10],
    "a preface and no settings": PREFACE,
    "zeros": bytes(10_000),
    "a TLS hello": bytes.fromhex("16030100c8010000c40303") + os.urandom(200),
    "a frame longer than itself": HELLO + b"\xff\xff\xff\x01\x04\x00\x00\x00\x01",
    "data without a call": HELLO + frame(DATA, 0, 1, b"x" * 100),
    "an even stream": HELLO + call(2),
    "settings of five bytes": PREFACE + frame(SETTINGS, body=b"12345"),
    "a window of zero": HELLO + frame(WINDOW, body=bytes(4)),
    "a window too large": HELLO + frame(WINDOW, body=b"\x7f\xff\xff\xff") * 2,
    "headers that are no HPACK": HELLO + frame(HEADERS, END_HEADERS, 1, b"\xff" * 50),
    "a header of 64 KiB": HELLO
    + frame(HEADERS, 0, 1, b"\x00\x01x\x7f\x81\xff\x03" + b"y" * 16_000)
    + frame(CONTINUATION, 0, 1, b"y" * 16_000) * 3
    + frame(CONTINUATION, END_HEADERS, 1, b"y" * 1_000),
    "headers without an end": HELLO
    + frame(HEADERS, 0, 1, header(b"a", b"b"))
    + frame(CONTINUATION, 0, 1, header(b"a", b"b")) * 5_000,
    "a flood of settings": HELLO + frame(SETTINGS) * 5_000,
    "a flood of pings": HELLO + frame(PING, body=bytes(8)) * 5_000,
    "calls and resets": HELLO
    + b"".join(call(n) + frame(RST_STREAM, 0, n, bytes(4)) for n in range(1, 4_001, 2)),
    "goodbye": HELLO + frame(GOAWAY, body=bytes(8)) + call(1),
    "a message of 4 GiB": HELLO + call(1) + frame(DATA, 0, 1, b"\x00\xff\xff\xff\xff" + b"x" * 99),
    "a compressed message": HELLO + call(1) + frame(DATA, END_STREAM, 1, b"\x01\x00\x00\x00\x01x"),
}


@pytest.fixture
def house(house: House, monkeypatch: pytest.MonkeyPatch) -> House:
    """A house that loses patience sooner, so that this test may have some."""
    short = {"grpc.server_handshake_timeout_ms": round(1e3 * HANDSHAKE_S)}
    limits = dict(server.LIMITS)
    assert short.keys() <= limits.keys()
    monkeypatch.setattr(server, "LIMITS", tuple((limits | short).items()))
    monkeypatch.setattr(server, "CONNECTIONS", CONNECTIONS)
    return house


def until(true: Callable[[], bool]) -> bool:
    """Whether it becomes true."""
    end_s = time.monotonic() + PATIENCE_S
    while not (found := true()) and time.monotonic() < end_s:
        time.sleep(0.01)
    return found


def connect(house: House) -> socket.socket:
    return socket.create_connection(("127.0.0.1", house.port), PATIENCE_S)


def send(house: House, what: bytes) -> None:
    """Send it, and read whatever comes until the other side has had enough, or a moment is over."""
    with connect(house) as client:
        client.settimeout(0.2)
        with suppress(TimeoutError, ConnectionError):
            client.sendall(what)
            while client.recv(2**16):
                pass


def counted() -> tuple[int, int]:
    """Open files, and Python's threads."""
    return len(os.listdir("/proc/self/fd")), threading.active_count()


def alive(house: House, token: str = "") -> bool:
    """Whether somebody who means well is answered, on a new connection."""
    own = [("grpc.use_local_subchannel_pool", 1)]
    shown = (("authorization", f"Bearer {token}"),) if token else ()
    with grpc.insecure_channel(house.address, own) as channel:
        stub = controller_pb2_grpc.ControllerStub(channel)
        request = pb.ListPendingRequest()
        stub.ListPending(request, timeout=PATIENCE_S, metadata=shown, wait_for_ready=True)
    return True


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "TLS"])
def test_what_is_malformed_harms_nobody_and_leaves_nothing(house: House, secure: bool) -> None:
    token = house.token("ann", Role.VIEWER)
    house.serve(None if secure else SecuritySpec())
    if secure:
        house.stub(token).ListPending(pb.ListPendingRequest(), timeout=PATIENCE_S)
    else:
        assert alive(house)
    send(house, HELLO)
    before = counted()
    for what in MALFORMED.values():
        send(house, what)
    assert until(lambda: counted()[0] <= before[0])
    assert until(lambda: counted()[1] <= before[1] + 1)
    if secure:
        house.stub(token).ListPending(pb.ListPendingRequest(), timeout=PATIENCE_S)
    else:
        assert alive(house)
    assert not house.world.mandate.stopped


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    frames=st.lists(
        st.builds(
            frame,
            st.integers(0, 12),
            st.integers(0, 255),
            st.integers(0, 9),
            st.binary(max_size=99),
        ),
        max_size=20,
    )
)
def test_random_frames(house: House, frames: list[bytes]) -> None:
    if not hasattr(house, "served"):
        house.serve(SecuritySpec())
    send(house, HELLO + b"".join(frames))
    assert alive(house)


def test_who_says_nothing_is_hung_up_on(house: House) -> None:
    house.serve()
    with ExitStack() as open_:
        silent = [open_.enter_context(connect(house)) for _ in range(20)]
        for number, client in enumerate(silent):
            client.sendall(PREFACE[: number % 5])
            client.settimeout(PATIENCE_S)
        for client in silent:
            with suppress(ConnectionError):
                while client.recv(2**16):
                    pass


def test_connections_are_counted_and_given_back(house: House) -> None:
    house.serve(SecuritySpec())
    before = counted()[0]
    with ExitStack() as open_:
        crowd = [open_.enter_context(connect(house)) for _ in range(3 * CONNECTIONS)]
        for client in crowd:
            with suppress(ConnectionError):  # one too many
                client.sendall(HELLO)
        ours = len(crowd)
        assert until(lambda: counted()[0] - before - ours <= CONNECTIONS)
    assert until(lambda: counted()[0] <= before)
    assert alive(house)


@pytest.mark.parametrize(
    ("soft", "hard", "room", "then"),
    [
        pytest.param(256, 4096, 2000, 2500, id="raised"),
        pytest.param(4000, 4096, 2000, 4000, id="enough"),
        pytest.param(256, 1024, 524, 1024, id="not enough for all"),
        pytest.param(256, 300, 1, 300, id="hardly any"),
    ],
)
def test_connections_leave_the_loop_its_files(soft: int, hard: int, room: int, then: int) -> None:
    program = (
        "import resource, sys\n"
        "from trimtab_controller.server import CONNECTIONS, room_for\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (int(sys.argv[1]), int(sys.argv[2])))\n"
        "print(room_for(CONNECTIONS), resource.getrlimit(resource.RLIMIT_NOFILE)[0])"
    )
    command = [sys.executable, "-c", program, str(soft), str(hard)]
    assert subprocess.check_output(command, text=True).split() == [str(room), str(then)]


def test_calls_without_a_message_keep_nobody_from_stopping(house: House) -> None:
    """As many as all threads of the server and more wait for messages that never come."""
    token = house.token("ann", Role.OPERATOR)
    house.serve(SecuritySpec(tokens=str(house.tokens)))
    shown = (b"authorization", b"Bearer " + token.encode())
    with connect(house) as client:
        client.sendall(HELLO + b"".join(call(n, b"Stop", shown) for n in range(1, 401, 2)))
        assert alive(house, token)
        with grpc.insecure_channel(house.address) as channel:
            stub = controller_pb2_grpc.ControllerStub(channel)
            metadata = (("authorization", f"Bearer {token}"),)
            stub.Stop(pb.StopRequest(why="flood"), timeout=PATIENCE_S, metadata=metadata)
    assert house.world.mandate.stopped


def test_who_is_not_known_is_refused_before_the_message(house: House) -> None:
    """Nothing is kept waiting for a message of somebody who may not send one."""
    house.serve(SecuritySpec(tokens=str(house.tokens)))
    with connect(house) as client:
        client.settimeout(PATIENCE_S)
        client.sendall(HELLO + call(1, b"Stop"))
        heard = b""
        while b"grpc-status" not in heard:
            heard += client.recv(2**16)
    assert not house.world.mandate.stopped
    assert until(lambda: len(house.denials()) == 1)


def test_watchers_that_vanish_are_forgotten(house: House) -> None:
    house.serve(SecuritySpec())
    before = counted()
    clients = [connect(house) for _ in range(10)]
    for client in clients:
        client.sendall(HELLO + call(1, b"WatchDecisions") + frame(DATA, END_STREAM, 1, bytes(5)))
        client.settimeout(PATIENCE_S)
        heard = b""
        while b"web" not in heard:
            heard += client.recv(2**16)
        # As when a machine loses its power: no goodbye, and no more answers.
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
    assert until(lambda: counted()[0] <= before[0])
    house.world.tick()
    assert alive(house)


def test_a_server_that_is_closed_leaves_nothing(house: House) -> None:
    def life() -> tuple[int, int]:
        served = house.world.serve("127.0.0.1:0", SecuritySpec())
        house.address = served.server.address
        with grpc.insecure_channel(house.address) as channel:
            watch = controller_pb2_grpc.ControllerStub(channel).WatchDecisions
            next(watch(pb.WatchDecisionsRequest(), timeout=PATIENCE_S))
            served.close()
        return counted()

    files, threads = life()
    assert until(lambda: (found := life())[0] <= files and found[1] <= threads)
    assert counted()[1] <= threads
