"""The gRPC server: where it may listen, and what it serves.

There is no authentication yet, so it listens only where nobody outside this machine can reach it.
"""

from __future__ import annotations

import os
import socket
from concurrent.futures import ThreadPoolExecutor

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from trimtab_controller.api import Controller
from trimtab_proto.v1 import controller_pb2, controller_pb2_grpc

SERVICE = controller_pb2.DESCRIPTOR.services_by_name["Controller"].full_name
THREADS = 16
LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
SOCKET_PATH_MAX = 107
MESSAGE_BYTES_MAX = 2**20


class AddressError(ValueError):
    """An address that the daemon must not, or cannot, listen on; the message says what to do."""


class Server:
    """Serves the controller, health and reflection at one address until it is closed."""

    def __init__(self, controller: Controller, address: str) -> None:
        check_address(address)
        # Without so_reuseport a second daemon at the same port fails instead of sharing it.
        options = [("grpc.so_reuseport", 0), ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX)]
        self._server = grpc.server(ThreadPoolExecutor(THREADS, "api"), options=options)
        controller_pb2_grpc.add_ControllerServicer_to_server(controller, self._server)
        health_pb2_grpc.add_HealthServicer_to_server(_healthy(), self._server)
        names = (SERVICE, health.SERVICE_NAME, reflection.SERVICE_NAME)
        reflection.enable_server_reflection(names, self._server)
        self.address = self._bind(address)
        self._server.start()

    def close(self) -> None:
        """Take no more calls, and give those under way a moment."""
        self._server.stop(grace=0.5).wait()

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


def _healthy() -> health.HealthServicer:
    servicer = health.HealthServicer()
    for name in ("", SERVICE):
        servicer.set(name, health_pb2.HealthCheckResponse.SERVING)
    return servicer
