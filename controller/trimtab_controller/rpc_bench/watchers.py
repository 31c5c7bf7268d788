"""How many may watch before ticks take longer than they do with nobody there."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from statistics import median

import grpc

from trimtab_controller.rpc_bench.serving import SERVICES, Child
from trimtab_proto.v1 import controller_pb2 as pb
from trimtab_proto.v1 import controller_pb2_grpc

COUNTS = 500, 250, 100, 50
TICKS = 30
TIMEOUT_S = 600.0


async def most(child: Child) -> int:
    """The most of `COUNTS` that saw every tick while ticks took no longer than without them.

    Noise is what happens alone: nine ticks in ten must not be exceeded by the median.
    """
    alone_s = sorted(child.ask("ticks", TICKS))
    noise_s = alone_s[round(0.9 * (TICKS - 1))]
    for count in COUNTS:
        seen, tick_s = await _watched(child, count)
        if min(seen) >= TICKS and median(tick_s) <= noise_s:
            return count
    return 0


async def _watched(child: Child, count: int) -> tuple[list[int], Sequence[float]]:
    """How many statuses each watcher saw beside its first one, and the ticks' seconds."""
    seen = [0] * count
    async with grpc.aio.insecure_channel(child.address) as channel:
        stub = controller_pb2_grpc.ControllerStub(channel)
        streams = [
            stub.WatchDecisions(
                pb.WatchDecisionsRequest(service=f"service-{number % SERVICES}"), timeout=TIMEOUT_S
            )
            for number in range(count)
        ]
        for stream in streams:
            await stream.read()
        watching = [
            asyncio.create_task(_count(stream, seen, place)) for place, stream in enumerate(streams)
        ]
        tick_s = await asyncio.to_thread(child.ask, "ticks", TICKS)
        await asyncio.sleep(1.0)  # for the last tick to arrive
        for task in watching:
            task.cancel()
        await asyncio.gather(*watching, return_exceptions=True)
    return seen, tick_s


async def _count(
    stream: grpc.aio.UnaryStreamCall[pb.WatchDecisionsRequest, pb.ServiceStatus],
    seen: list[int],
    place: int,
) -> None:
    while await stream.read() is not grpc.aio.EOF:
        seen[place] += 1
