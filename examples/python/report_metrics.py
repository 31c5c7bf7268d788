"""A server that measures itself and pushes it to trimtab ten times a second.

    python examples/python/report_metrics.py 127.0.0.1:7070

Monitoring that is scraped, stored and queried is a minute late; this is as late as the next tick.
The service must have `sensor: pushed` in trimtab.yaml; examples/trimtab.yaml has it.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock, Thread

import grpc

from trimtab_proto.v1 import controller_pb2 as pb
from trimtab_proto.v1.controller_pb2_grpc import ControllerStub

EVERY_S = 0.1


class Meter:
    """Counts the requests of this process."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._arrived = self._in_flight = 0

    @contextmanager
    def request(self) -> Iterator[None]:
        """Around the work for one request."""
        with self._lock:
            self._arrived += 1
            self._in_flight += 1
        try:
            yield
        finally:
            with self._lock:
                self._in_flight -= 1

    def reports(self, seconds: float) -> Iterator[pb.MetricsReport]:
        """What happened since the last report, at a steady pace. gRPC waits when trimtab does."""
        last_s = time.time()
        end_s = last_s + seconds
        while last_s < end_s:
            time.sleep(EVERY_S)
            now_s = time.time()
            with self._lock:
                arrived, self._arrived = self._arrived, 0
                rate_rps = arrived / (now_s - last_s)
                web = pb.BackendMetrics(name="web", rate_rps=rate_rps, in_flight=self._in_flight)
            last_s = now_s
            yield pb.MetricsReport(service="shop", time_s=now_s, backends=[web])


def serve(meter: Meter, until_s: float) -> None:
    """Stands for your server: twenty requests a second, of a twentieth of a second each."""
    while time.time() < until_s:
        with meter.request():
            time.sleep(0.05)


def main(address: str, seconds: str = "10") -> None:
    """Serve and report for a while."""
    meter = Meter()
    Thread(target=serve, args=(meter, time.time() + float(seconds)), daemon=True).start()
    with grpc.insecure_channel(address) as channel:
        try:
            reply = ControllerStub(channel).ReportMetrics(meter.reports(float(seconds)))
        except grpc.RpcError as error:
            sys.exit(f"{error.details()} ({error.code().name})")
    print(f"{reply.taken} reports taken, {reply.ignored} ignored")


if __name__ == "__main__":
    main(*sys.argv[1:])
