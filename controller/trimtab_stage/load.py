"""The load generator: a process of its own that replays a trace through Envoy, open-loop.

Arrivals never wait for answers: each request takes an idle keep-alive connection or opens another
one. Latency counts from the moment of sending; when the machine holds the generator itself up,
that shows as ``lag_s`` and not as the service's fault.
Writes its `Tally` to standard output, one JSON line per report.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from asyncio import Task, TimerHandle, Transport
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from random import Random
from typing import cast

from trimtab_sim.traces import read_trace
from trimtab_stage.replay import Replay

REQUEST = b"GET /%d HTTP/1.1\r\nhost: stage\r\n\r\n"
# What is asked for: one of so many keys, the k-th as often as 1/k, as Zipf's law has it.
KEYS = 10_000
REPORT_S = 0.1
# Envoy answers 504 at the service's time-out; only a dead Envoy leaves us waiting past it.
PATIENCE_S = 1.0


@dataclass(frozen=True, slots=True)
class Job:
    """What to replay, where to, and from when on: ``begin_s`` by the machine's monotonic clock."""

    trace: str
    speed: float
    start_s: float
    begin_s: float
    scale: float
    port: int
    slo_latency_s: float
    timeout_s: float
    seed: int


@dataclass(slots=True)
class Tally:
    """Counts since the generator started; ``lag_s`` is the worst since the last report."""

    requests: int = 0
    misses: int = 0
    failed: int = 0
    lag_s: float = 0.0
    worst_lag_s: float = 0.0


class Connection(asyncio.Protocol):
    """One keep-alive connection, holding at most one request."""

    def __init__(self, generator: Generator) -> None:
        self._generator = generator
        self._clock = generator.clock
        self._sent_s: float | None = None
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Asyncio calls it once connected."""
        self._transport = cast(Transport, transport)

    def ask(self, sent_s: float) -> None:
        """Send a request whose latency counts from ``sent_s``."""
        self._sent_s = sent_s
        loop = asyncio.get_running_loop()
        wait_s = self._generator.job.timeout_s + PATIENCE_S
        self._deadline: TimerHandle = loop.call_later(wait_s, self._transport.abort)
        self._transport.write(self._generator.request())

    def data_received(self, data: bytes) -> None:
        """Settle the request when its response is whole."""
        self._received += data
        if _is_whole(self._received):
            status, self._received = self._received[9:12], b""
            self._settle(answered=not status.startswith(b"5"))
            self._generator.idle.append(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 # asyncio's signature
        """Count what was on its way as failed."""
        self._settle(answered=False)
        if self in self._generator.idle:
            self._generator.idle.remove(self)

    def _settle(self, *, answered: bool) -> None:
        if self._sent_s is not None:
            self._deadline.cancel()
            self._generator.settle(self._clock() - self._sent_s, answered=answered)
            self._sent_s = None


class Generator:
    """Sends each request at its time and keeps the tally."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.idle: list[Connection] = []
        self.clock = asyncio.get_running_loop().time
        self._tally = Tally()
        self._opening: set[Task[None]] = set()
        self._keys = Random(job.seed)

    async def run(self, arrivals: Iterator[float]) -> None:
        """Send at each of ``arrivals``, seconds from the job's begin, or from now when later."""
        begin_s = max(self.job.begin_s, self.clock())
        self._tally.lag_s = begin_s - self.job.begin_s
        for due_s in arrivals:
            # Also when late: without a pause nothing would ever be received.
            await asyncio.sleep(max(0.0, begin_s + due_s - self.clock()))
            self._tally.lag_s = max(self._tally.lag_s, self.clock() - begin_s - due_s)
            self._send()

    async def report(self) -> None:
        """Write the tally at every interval; when nobody reads, a report is skipped."""
        os.set_blocking(sys.stdout.fileno(), False)
        while True:
            tally = self._tally
            tally.worst_lag_s = max(tally.worst_lag_s, tally.lag_s)
            line = json.dumps(asdict(tally)) + "\n"
            try:
                os.write(sys.stdout.fileno(), line.encode())
                tally.lag_s = 0.0
            except BlockingIOError:
                pass
            await asyncio.sleep(REPORT_S)

    def request(self) -> bytes:
        """The next one to send."""
        return REQUEST % int(KEYS ** self._keys.random())

    def settle(self, latency_s: float, *, answered: bool) -> None:
        """Count the end of one request."""
        self._tally.failed += not answered
        self._tally.misses += not answered or latency_s > self.job.slo_latency_s

    def _send(self) -> None:
        self._tally.requests += 1
        if self.idle:
            self.idle.pop().ask(self.clock())
            return
        opening = asyncio.create_task(self._open_and_ask(self.clock()))
        self._opening.add(opening)
        opening.add_done_callback(self._opening.discard)

    async def _open_and_ask(self, sent_s: float) -> None:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self.job.timeout_s + PATIENCE_S):
                _, connection = await loop.create_connection(
                    lambda: Connection(self), "127.0.0.1", self.job.port
                )
        except OSError:  # includes TimeoutError
            self.settle(self.clock() - sent_s, answered=False)
        else:
            connection.ask(sent_s)


def _is_whole(received: bytes) -> bool:
    """Whether a response is complete: Envoy and the replicas always give a content-length."""
    head, end, body = received.partition(b"\r\n\r\n")
    _, _, after = head.partition(b"content-length: ")
    return bool(end) and len(body) >= int(after.partition(b"\r\n")[0])


async def generate(job: Job) -> None:
    """Replay for ever."""
    replay = Replay(read_trace(job.trace), job.speed, job.start_s, job.scale)
    generator = Generator(job)
    await asyncio.gather(generator.run(replay.arrivals(Random(job.seed))), generator.report())


if __name__ == "__main__":
    asyncio.run(generate(Job(**json.loads(sys.argv[1]))))
