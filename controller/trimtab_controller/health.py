"""Tells a kubelet whether the loop goes on, on a port that says nothing else.

Its probes know neither TLS nor tokens, which all else asks for that others can reach.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from trimtab_controller.security.addresses import AddressError

# A loop that has not come round for so long, or for so many ticks, hangs.
HUNG_S, HUNG_TICKS = 60.0, 10
GRACE_S = 0.5

Reply = health_pb2.HealthCheckResponse


class Health(health_pb2_grpc.HealthServicer):  # type: ignore[misc]  # untyped stubs
    """`grpc.health.v1.Health` at ``address``, if there is one, while `beat` is called."""

    def __init__(self, address: str | None, tick_s: float) -> None:
        self._hung_s = max(HUNG_S, HUNG_TICKS * tick_s)
        self._beat_s = time.monotonic()
        self._server = grpc.server(
            ThreadPoolExecutor(1, "health"), options=[("grpc.so_reuseport", 0)]
        )
        if address:
            self._listen(address)

    def beat(self) -> None:
        """The loop has come round once more, or a standby has looked whether it is called."""
        self._beat_s = time.monotonic()

    def beating(self, tick: Callable[[], None]) -> Callable[[], None]:
        """``tick``, and every one is a beat."""

        def tick_and_beat() -> None:
            self.beat()
            tick()

        return tick_and_beat

    def Check(  # noqa: N802  # gRPC's name
        self, request: health_pb2.HealthCheckRequest, context: grpc.ServicerContext
    ) -> health_pb2.HealthCheckResponse:
        """Whether the daemon as a whole is alive; it knows of no single services."""
        if request.service:
            context.abort(
                grpc.StatusCode.NOT_FOUND, "only the daemon as a whole: leave service out"
            )
        hangs = time.monotonic() - self._beat_s > self._hung_s
        return Reply(status=Reply.NOT_SERVING if hangs else Reply.SERVING)

    def close(self) -> None:
        """Answer no more."""
        self._server.stop(GRACE_S).wait()

    def _listen(self, address: str) -> None:
        health_pb2_grpc.add_HealthServicer_to_server(self, self._server)
        try:
            self._server.add_insecure_port(address)
        except RuntimeError as error:
            raise AddressError(
                f"--health cannot listen on {address}: is it in use? Choose another HOST:PORT"
            ) from error
        self._server.start()
