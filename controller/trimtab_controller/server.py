"""The gRPC server: where it may listen, and what it serves.

It is an asyncio server in a thread of its own, so that a stream costs no thread. Handlers that are
coroutines run in its event loop and must never wait there for anything but the network; plain
functions run in a pool of threads.

There is no authentication yet, so it listens only where nobody outside this machine can reach it.
"""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from trimtab_controller.api import Controller
from trimtab_controller.keda.scaler import ExternalScaler
from trimtab_proto.v1 import (
    controller_pb2,
    controller_pb2_grpc,
    externalscaler_pb2,
    externalscaler_pb2_grpc,
)

SERVICE = controller_pb2.DESCRIPTOR.services_by_name["Controller"].full_name
KEDA = externalscaler_pb2.DESCRIPTOR.services_by_name["ExternalScaler"].full_name
SERVICES = (SERVICE, KEDA)
THREADS = 16
LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
SOCKET_PATH_MAX = 107
MESSAGE_BYTES_MAX = 2**20

T = TypeVar("T")


class AddressError(ValueError):
    """An address that the daemon must not, or cannot, listen on; the message says what to do."""


class Server:
    """Serves all at one address until it is closed: both APIs, health and reflection."""

    def __init__(self, controller: Controller, scaler: ExternalScaler, address: str) -> None:
        check_address(address)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="api", daemon=True)
        self._thread.start()
        try:
            self.address = self._run(self._serve(controller, scaler, address))
        except BaseException:
            self._end()
            raise

    def close(self) -> None:
        """Take no more calls, and give those under way a moment."""
        self._run(self._server.stop(grace=0.5))
        self._end()

    async def _serve(self, controller: Controller, scaler: ExternalScaler, address: str) -> str:
        # Without so_reuseport a second daemon at the same port fails instead of sharing it.
        options = [("grpc.so_reuseport", 0), ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX)]
        self._server = grpc.aio.server(ThreadPoolExecutor(THREADS, "api"), options=options)
        controller_pb2_grpc.add_ControllerServicer_to_server(controller, self._server)
        externalscaler_pb2_grpc.add_ExternalScalerServicer_to_server(scaler, self._server)
        health_pb2_grpc.add_HealthServicer_to_server(await _healthy(), self._server)
        names = (*SERVICES, health.SERVICE_NAME, reflection.SERVICE_NAME)
        reflection.enable_server_reflection(names, self._server)
        bound = self._bind(address)
        await self._server.start()
        return bound

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def _end(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _bind(self, address: str) -> str:
        try:
            port = self._server.add_insecure_port(address)
        except RuntimeError as error:
            raise AddressError(
                f"cannot listen on {address}: is it in use? Choose another with --listen"
            ) from error
        if address.startswith("unix:"):
            os.chmod(address.removeprefix("unix:"), 0o600)
            return address
        return f"{address.rpartition(':')[0]}:{port}"


def check_address(address: str) -> None:
    """Raise `AddressError` unless ``address`` is ``unix:PATH`` or a port of this machine alone."""
    if address.startswith("unix:"):
        _check_socket(address.removeprefix("unix:"))
        return
    host, _, port = address.rpartition(":")
    if not port.isdecimal() or int(port) > 65535:
        raise AddressError(f"{address!r} is no address: give 127.0.0.1:PORT or unix:PATH")
    if host not in LOOPBACK:
        raise AddressError(
            f"{address}: anything but this machine needs TLS and authentication, which this "
            "version does not have: listen on 127.0.0.1:PORT or unix:PATH and tunnel to it"
        )


def _check_socket(path: str) -> None:
    if not 0 < len(path.encode()) <= SOCKET_PATH_MAX:
        raise AddressError(
            f"unix:{path}: a socket's path has 1 to {SOCKET_PATH_MAX} bytes: choose another"
        )
    if not os.path.isdir(os.path.dirname(path) or "."):
        raise AddressError(f"unix:{path}: its folder does not exist: create it")
    # gRPC would take a living daemon's socket away from it without a word.
    with socket.socket(socket.AF_UNIX) as probe:
        if probe.connect_ex(path) == 0:
            raise AddressError(f"unix:{path} is in use: end who listens there, or choose another")


async def _healthy() -> Any:
    servicer = health.aio.HealthServicer()
    for name in ("", *SERVICES):
        await servicer.set(name, health_pb2.HealthCheckResponse.SERVING)
    return servicer
