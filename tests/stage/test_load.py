"""The load generator against servers that answer well, late, badly or not at all."""

from __future__ import annotations

import asyncio
import json
import sys
from asyncio import StreamReader, StreamWriter
from asyncio.subprocess import PIPE
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from pathlib import Path

import pytest

from trimtab_stage.load import Job, Tally

pytestmark = pytest.mark.stage

RATE_RPS = 200.0
Answer = Callable[[StreamWriter], Awaitable[None]]


def respond(status: str, after_s: float = 0.0) -> Answer:
    async def answer(writer: StreamWriter) -> None:
        await asyncio.sleep(after_s)
        writer.write(f"HTTP/1.1 {status}\r\ncontent-length: 3\r\n\r\nok\n".encode())

    return answer


async def hang_up(writer: StreamWriter) -> None:
    writer.close()


async def stay_silent(_writer: StreamWriter) -> None:
    await asyncio.sleep(0)


async def load(answer: Answer, trace: Path, requests: int, lead_s: float = 0.0) -> Tally:
    """Run a generator until it has sent a server so many requests, none before ``lead_s``."""

    async def serve(reader: StreamReader, writer: StreamWriter) -> None:
        while not writer.is_closing() and (await reader.readline()).startswith(b"GET"):
            await reader.readuntil(b"\r\n\r\n")
            await answer(writer)

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        clock = asyncio.get_running_loop().time
        begin_s = clock() + lead_s
        job = Job(
            str(trace), 1.0, 0.0, begin_s, RATE_RPS, port, slo_latency_s=0.3, timeout_s=0.0, seed=1
        )
        command = (sys.executable, "-m", "trimtab_stage.load", json.dumps(asdict(job)))
        process = await asyncio.create_subprocess_exec(*command, stdout=PIPE)
        assert process.stdout is not None
        try:
            tally = Tally()
            while tally.requests < requests:
                tally = Tally(**json.loads(await process.stdout.readline()))
                assert clock() >= begin_s or not tally.requests
            return tally
        finally:
            process.kill()
            await process.wait()


@pytest.mark.parametrize(
    ("answer", "misses", "fails"),
    [
        (respond("200 OK"), False, False),
        (respond("200 OK", after_s=0.4), True, False),
        (respond("503 Service Unavailable"), True, True),
        (hang_up, True, True),
        (stay_silent, True, True),
    ],
    ids=["well", "late", "error", "hangs-up", "silent"],
)
def test_counts(answer: Answer, misses: bool, fails: bool, flat_trace: Path) -> None:
    requests = 400
    tally = asyncio.run(load(answer, flat_trace, requests))
    # Two seconds of requests, those of the last 1.1 s at most still under way.
    some = tally.requests / 4
    assert (tally.misses > some) == misses
    assert (tally.failed > some) == fails
    assert tally.failed <= tally.misses <= tally.requests < 1.5 * requests
    assert 0 <= tally.lag_s <= tally.worst_lag_s


def test_it_begins_when_told(flat_trace: Path) -> None:
    assert asyncio.run(load(respond("200 OK"), flat_trace, requests=1, lead_s=2.0)).requests
