"""The gRPC server: where it may listen, and what it serves.

It is an asyncio server in a thread of its own, so that a stream costs no thread. Handlers that are
coroutines run in its event loop and must never wait there for anything but the network; plain
functions run in a pool of threads.

Where others than this machine can reach it, it listens only with TLS and authentication.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from resource import RLIM_INFINITY, RLIMIT_NOFILE, getrlimit, setrlimit
from typing import Any

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from trimtab_controller.keda.scaler import ExternalScaler
from trimtab_controller.reader import Reader
from trimtab_controller.security.addresses import UNIX, AddressError, check_address
from trimtab_controller.security.certificates import Certificates
from trimtab_controller.security.entrance import Entrance
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
GRACE_S = 0.5
# Every watcher may come with a connection of its own, or all with one.
CONNECTIONS = 2000
# What the rest of the daemon may have open: its journal, stages, sensors.
OTHER_FILES = 500
MESSAGE_BYTES_MAX = 2**20
LIMITS = (
    # A second daemon at the same port fails instead of sharing it.
    ("grpc.so_reuseport", 0),
    ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
    ("grpc.max_metadata_size", 2**13),
    ("grpc.absolute_max_metadata_size", 2**14),
    ("grpc.max_concurrent_streams", 1000),
    # Who opens a connection must say something soon, go on saying something, and be there.
    ("grpc.server_handshake_timeout_ms", 10_000),
    ("grpc.max_connection_idle_ms", 300_000),
    # A client's CA that was replaced counts for all within the hour.
    ("grpc.max_connection_age_ms", 3_600_000),
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
)


class Server:
    """Serves all at one address until it is closed: both APIs, health and reflection."""

    def __init__(
        self,
        controller: Reader,
        scaler: ExternalScaler,
        address: str,
        entrance: Entrance,
    ) -> None:
        check_address(address, entrance.spec)
        bound: Future[str] = Future()
        life = self._live(bound, controller, scaler, address, entrance)
        self._thread = threading.Thread(target=asyncio.run, args=(life,), name="api", daemon=True)
        self._thread.start()
        self.address = bound.result()

    def close(self) -> None:
        """Take no more calls, and give those under way a moment."""
        self._loop.call_soon_threadsafe(self._closing.set)
        self._thread.join()

    async def _live(self, bound: Future[str], *parts: Any) -> None:
        """Serve from ``bound`` on until it is time to close; `asyncio.run` ends what is left."""
        self._loop, self._closing = asyncio.get_running_loop(), asyncio.Event()
        try:
            address = await self._serve(*parts)
        except Exception as error:  # whoever waits for the address raises it
            bound.set_exception(error)
            return
        bound.set_result(address)
        await self._closing.wait()
        await self._server.stop(GRACE_S)

    async def _serve(
        self,
        controller: Reader,
        scaler: ExternalScaler,
        address: str,
        entrance: Entrance,
    ) -> str:
        threads, gate = ThreadPoolExecutor(THREADS, "api"), entrance.gate
        most = ("grpc.max_allowed_incoming_connections", room_for(CONNECTIONS))
        self._server = grpc.aio.server(threads, interceptors=[gate], options=(*LIMITS, most))
        by_name: Any = ByName(self._server)
        controller_pb2_grpc.add_ControllerServicer_to_server(controller, by_name)
        externalscaler_pb2_grpc.add_ExternalScalerServicer_to_server(scaler, by_name)
        health_pb2_grpc.add_HealthServicer_to_server(await _healthy(SERVICES), by_name)
        names = (*SERVICES, health.SERVICE_NAME, reflection.SERVICE_NAME)
        reflection.enable_server_reflection(names, self._server)  # it must see that it is one
        bound = self._bind(address, entrance.certificates)
        await self._server.start()
        return bound

    def _bind(self, address: str, certificates: Certificates | None) -> str:
        local = address.startswith(UNIX)
        # A socket is for its owner alone, from its first moment on.
        before = os.umask(0o177)
        try:
            if certificates and not local:
                port = self._server.add_secure_port(address, certificates.credentials())
            else:
                port = self._server.add_insecure_port(address)
        except RuntimeError as error:
            raise AddressError(
                f"cannot listen on {address}: is it in use? Choose another with --listen"
            ) from error
        finally:
            os.umask(before)
        return address if local else f"{address.rpartition(':')[0]}:{port}"


class ByName:
    """Stands for a server while services are added: each call's method is looked up by its name.

    A registered method has a queue of its own, and grpcio waits for all queues anew with every
    call: with two dozen of them that took an eighth of the server's time.
    """

    def __init__(self, server: grpc.aio.Server) -> None:
        self.add_generic_rpc_handlers = server.add_generic_rpc_handlers

    def add_registered_method_handlers(self, _service: str, _handlers: object) -> None:
        """Register none."""


def room_for(connections: int) -> int:
    """How many of them there may be, so that the loop always gets at its journal and stages.

    The process is allowed as many open files as that takes, or as many as it can be.
    """
    soft, hard = getrlimit(RLIMIT_NOFILE)
    wanted = connections + OTHER_FILES
    if soft != RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == RLIM_INFINITY else min(wanted, hard)
        setrlimit(RLIMIT_NOFILE, (soft, hard))
    return connections if soft == RLIM_INFINITY else max(1, min(connections, soft - OTHER_FILES))


async def _healthy(services: Iterable[str]) -> Any:
    servicer = health.aio.HealthServicer()
    for name in ("", *services):
        await servicer.set(name, health_pb2.HealthCheckResponse.SERVING)
    return servicer
