"""`Recommend` beside a bare echo of the same sizes: latencies as a caller meets them.

Both take turns in short rounds, so that a slow moment of the machine slows both. Callers send and
take bytes, and so cost the same for both.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from itertools import cycle, islice
from typing import NamedTuple

import grpc
import numpy as np

from trimtab_controller.rpc_bench.serving import ECHO, Child
from trimtab_proto.v1 import controller_pb2 as pb

METHOD = f"/{pb.DESCRIPTOR.services_by_name['Controller'].full_name}/Recommend"
CONCURRENCIES = 1, 64
CALLERS = 64
ROUNDS, CALLS = 10, 640
TIMEOUT_S = 30.0
# Each report of a service that is asked about so often is another tick.
ALWAYS_S = 0.01
FRACTIONS = 0.5, 0.99

Call = Callable[..., Awaitable[bytes]]


class Server(NamedTuple):
    """One of the two: its process, and its method."""

    process: Child
    call: Call


@dataclass(slots=True)
class Timing:
    """What calls took, seconds: each of them, all of a round together, and the server's CPU."""

    each_s: list[float] = field(default_factory=list)
    whole_s: float = 0.0
    cpu_s: float = 0.0

    @property
    def rps(self) -> float:
        """Calls per second."""
        return len(self.each_s) / self.whole_s

    @property
    def cpu_us(self) -> float:
        """The server's microseconds for one call."""
        return self.cpu_s / len(self.each_s) * 1e6


@dataclass(frozen=True, slots=True)
class Versus:
    """`Recommend` and echo at so many calls at once."""

    concurrency: int
    recommend: Timing
    echo: Timing

    @property
    def ratios(self) -> tuple[float, ...]:
        """`Recommend` over echo, at each of `FRACTIONS`."""
        ours = np.quantile(self.recommend.each_s, FRACTIONS)
        return tuple((ours / np.quantile(self.echo.each_s, FRACTIONS)).tolist())


def report(caller: int, always: bool) -> bytes:
    """What one autoscaler sends; ``always``: so that its every report is decided anew."""
    request = pb.RecommendRequest(
        service=f"service-{caller}", caller=f"autoscaler {caller}", miss_share=0.001
    )
    request.p50_ms, request.p95_ms = 55.0, 140.0
    request.backends.add(
        name="zone-0",
        wanted=8,
        starting=1,
        ready=7,
        draining=0,
        weight=1.0,
        rate_rps=380.0 + caller,
        in_flight=21.0,
        error_share=0.0,
    )
    if always:
        request.caller += ", often"
        described = request.description
        described.slo.latency_s, described.slo.share = 0.3, 0.99
        described.miss_price, described.tick_s = 50.0, ALWAYS_S
        described.backends.add(
            name="zone-0",
            concurrency=4,
            service_time_s=0.05,
            startup_mean_s=45.0,
            min_replicas=1,
            max_replicas=200,
        )
    return bytes(request.SerializeToString())


async def compare(daemon: Child, plain: Child, always: bool) -> list[Versus]:
    """Let callers ask, at each of `CONCURRENCIES`."""
    async with (
        grpc.aio.insecure_channel(daemon.address) as api,
        grpc.aio.insecure_channel(plain.address) as echo,
    ):
        recommend = Server(daemon, api.unary_unary(METHOD))
        answer = Server(plain, echo.unary_unary(f"/{ECHO}/Call"))
        requests = [report(caller, always) for caller in range(CALLERS)]
        replies = [await recommend.call(request, timeout=TIMEOUT_S) for request in requests]
        plain.ask("reply", replies[0])
        return [
            await _versus(recommend, answer, requests, concurrency) for concurrency in CONCURRENCIES
        ]


async def _versus(
    recommend: Server, echo: Server, requests: list[bytes], concurrency: int
) -> Versus:
    found = Versus(concurrency, Timing(), Timing())
    for number in range(ROUNDS + 1):
        for server, timing in ((echo, found.echo), (recommend, found.recommend)):
            one = await _round(server, requests, concurrency)
            if number:  # the first one warms up
                timing.each_s += one.each_s
                timing.whole_s += one.whole_s
                timing.cpu_s += one.cpu_s
    return found


async def _round(server: Server, requests: list[bytes], concurrency: int) -> Timing:
    timing, waiting = Timing(), islice(cycle(requests), CALLS)

    async def ask() -> None:
        for request in waiting:
            begun_s = time.perf_counter()
            await server.call(request)
            timing.each_s.append(time.perf_counter() - begun_s)

    cpu_s, begun_s = server.process.ask("cpu"), time.perf_counter()
    await asyncio.gather(*(ask() for _ in range(concurrency)))
    timing.whole_s = time.perf_counter() - begun_s
    timing.cpu_s = server.process.ask("cpu") - cpu_s
    return timing
