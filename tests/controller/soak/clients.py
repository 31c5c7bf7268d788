"""The clients of a soak: those that ask, slow ones, those that vanish, and those that come back.

All of them are coroutines of one process, and go on until they are cancelled.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from typing import Any

import grpc

from trimtab_proto.v1 import controller_pb2 as pb
from trimtab_proto.v1 import controller_pb2_grpc

CALLERS = 64
# A connection takes a thousand calls at once; what a stall heaps up needs some more.
CONNECTIONS = 4
DEADLINE_S = 10.0
SLOW, STORM, VANISHING = 20, 100, 20
STORM_EVERY_S, VANISH_EVERY_S = 10.0, 1.0
BEAT_S = 0.01


@dataclass
class Books:
    """What the good clients saw, and what the others did."""

    answered: int = 0
    failed: list[str] = field(default_factory=list)
    stormed: int = 0
    vanished: int = 0


def report(caller: int) -> pb.RecommendRequest:
    request = pb.RecommendRequest(service="web", caller=f"autoscaler {caller}", miss_share=0.0)
    for name in ("on-demand", "spot"):
        request.backends.add(
            name=name, wanted=3, ready=3, weight=0.5, rate_rps=50.0 + caller, in_flight=3.0
        )
    return request


@contextlib.asynccontextmanager
async def stub(address: str) -> Any:
    """A connection of its own, as every process has."""
    own = (("grpc.use_local_subchannel_pool", 1),)
    async with grpc.aio.insecure_channel(address, own) as channel:
        yield controller_pb2_grpc.ControllerStub(channel)


async def capacity_rps(address: str, seconds: float) -> float:
    """Recommendations per second of `CALLERS` that ask without a pause."""
    answered, until_s = 0, time.monotonic() + seconds

    async def ask(client: Any, caller: int) -> None:
        nonlocal answered
        while time.monotonic() < until_s:
            await client.Recommend(report(caller), timeout=DEADLINE_S)
            answered += 1

    async with stub(address) as client:
        await asyncio.gather(*(ask(client, caller) for caller in range(CALLERS)))
    return answered / seconds


async def steady(address: str, rps: float, books: Books) -> None:
    """Ask ``rps`` times a second, whether answers come or not."""
    requests, under_way = cycle([report(caller) for caller in range(CALLERS)]), set()

    async def ask(client: Any, request: pb.RecommendRequest) -> None:
        try:
            await client.Recommend(request, timeout=DEADLINE_S)
            books.answered += 1
        except grpc.aio.AioRpcError as error:
            books.failed.append(f"{error.code()}: {error.details()}")

    async with contextlib.AsyncExitStack() as open_:
        clients = cycle(
            [await open_.enter_async_context(stub(address)) for _ in range(CONNECTIONS)]
        )
        begun_s, asked = time.monotonic(), 0
        try:
            while True:
                due = int((time.monotonic() - begun_s) * rps)
                for _ in range(due - asked):
                    task = asyncio.create_task(ask(next(clients), next(requests)))
                    under_way.add(task)
                    task.add_done_callback(under_way.discard)
                asked = due
                await asyncio.sleep(BEAT_S)
        finally:
            # Closing a connection cancels what is under way on it, and that is nobody's failure.
            await asyncio.gather(*under_way)


async def slow(address: str) -> None:
    """Watch, and never read."""
    async with contextlib.AsyncExitStack() as open_:
        streams = []
        for _ in range(SLOW):
            client = await open_.enter_async_context(stub(address))
            streams.append(client.WatchDecisions(pb.WatchDecisionsRequest()))
            await streams[-1].wait_for_connection()
        await asyncio.Event().wait()


async def vanishing(address: str, path: Path, books: Books) -> None:
    """Again and again: begin to ask, to watch, or to say something, and be gone."""
    while True:
        for number in range(VANISHING):
            if number % 4 == 3:
                _, writer = await asyncio.open_unix_connection(path)
                writer.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00")
                writer.close()
            else:
                async with stub(address) as client:
                    if number % 2:
                        client.WatchDecisions(pb.WatchDecisionsRequest())
                    else:
                        client.Recommend(report(number), timeout=DEADLINE_S)
                    await asyncio.sleep(BEAT_S * (number % 3))
            books.vanished += 1
        await asyncio.sleep(VANISH_EVERY_S)


async def storms(address: str, books: Books) -> None:
    """Many watchers that are cut off and come back, all at the same moment."""

    async def watch(until: asyncio.Event) -> None:
        async with stub(address) as client:
            stream = client.WatchDecisions(pb.WatchDecisionsRequest(service="web"))
            await stream.read()
            books.stormed += 1
            await until.wait()

    while True:
        until = asyncio.Event()
        watchers = [asyncio.create_task(watch(until)) for _ in range(STORM)]
        try:
            await asyncio.sleep(STORM_EVERY_S)
            until.set()
            await asyncio.gather(*watchers)
        except BaseException:
            for watcher in watchers:
                watcher.cancel()
            raise
