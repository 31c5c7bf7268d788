"""Whose a connection on this machine is, by real sockets and by what the kernel writes."""

from __future__ import annotations

import os
import socket
import subprocess
from pathlib import Path

import pytest

from trimtab_controller.console.neighbours import is_ours, owner

HEAD = (
    "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout\n"
)
ROW = "   0: {} {} {} 00000000:00000000 00:00000000 00000000  {}        0 1 1 0\n"


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_connection_of_ours_is_ours(host: str) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, 0), family=family) as server:
        here = server.getsockname()[:2]
        with socket.create_connection(here) as client:
            there = client.getsockname()[:2]
            assert owner(there, here) == os.getuid()
            assert is_ours(there, here)
            assert owner(there, (host, 1)) is None
        assert owner((host, 1), here) is None


def test_a_connection_of_somebody_else_is_not() -> None:
    if os.getuid() != 0:
        pytest.skip("only root can become somebody else")
    nobody = 65534
    with socket.create_server(("127.0.0.1", 0)) as server:
        dial = f"exec 3<>/dev/tcp/127.0.0.1/{server.getsockname()[1]}; read"
        command = ["/bin/bash", "-c", dial]
        other = subprocess.Popen(command, stdin=subprocess.PIPE, user=nobody, group=nobody, cwd="/")
        connection, there = server.accept()
        with connection:
            assert owner(there, server.getsockname()) == nobody
            assert not is_ours(there, server.getsockname())
            other.communicate(b"\n")


@pytest.mark.parametrize(
    ("table", "written", "host"),
    [
        ("tcp", "0100007F", "127.0.0.1"),
        ("tcp6", "0" * 24 + "01000000", "::1"),
        ("tcp6", "0000000000000000FFFF00000100007F", "127.0.0.1"),
    ],
    ids=["v4", "v6", "v4 within v6"],
)
def test_as_the_kernel_writes_it(tmp_path: Path, table: str, written: str, host: str) -> None:
    client, server = (host, 0x1F98), (host, 0x1F99)
    over = ROW.format(f"{written}:1F98", f"{written}:1F99", "06", 0)
    open_ = ROW.format(f"{written}:1F98", f"{written}:1F99", "01", 1234)
    (tmp_path / table).write_text(HEAD + over + open_)
    assert owner(client, server, tmp_path) == 1234
    assert owner(server, client, tmp_path) is None
    assert not is_ours(client, server, tmp_path)
    (tmp_path / table).write_text(HEAD + over)
    assert not is_ours(client, server, tmp_path)  # what is over was not root's, though listed so
