"""Servers that give prepared answers, one per connection, good or bad."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


def http(body: Any) -> bytes:
    return b"HTTP/1.1 200 OK\r\n\r\n" + json.dumps(body).encode()


@contextmanager
def envoy(path: Path, *answers: bytes) -> Iterator[str]:
    """An admin socket at ``path``, which it yields as text."""
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()
        with _giving(listening, answers):
            yield str(path)


@contextmanager
def web_server(*answers: bytes) -> Iterator[str]:
    """A TCP server; yields its URL."""
    with socket.create_server(("127.0.0.1", 0)) as listening, _giving(listening, answers):
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


@contextmanager
def _giving(listening: socket.socket, answers: tuple[bytes, ...]) -> Iterator[None]:
    def serve() -> None:
        for answer in answers:
            connection, _ = listening.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(answer)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield
    thread.join(5.0)
