"""What goes on meanwhile: loads rise and fall, autoscalers follow their floors and report."""

from __future__ import annotations

import json
import math
import threading
import time
from collections.abc import Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.cluster.fake.api import Api
from tests.cluster.fake.cluster import FakeCluster
from tools.kubernetes_load.town import BACKENDS, Object, patch, place, scale

AUTOSCALER = ("autoscaling/v2", "HorizontalPodAutoscaler")
# Every HPA reports anew this often, as the real controller does.
REPORT_S = 15.0
STEP_S = 1.0
# A replica of 4 slots and 50 ms carries 80 requests/s.
MEAN_RPS, SWING, PERIOD_S, ROUND_TRIP_S = 150.0, 0.5, 600.0, 0.06
BOUNDS_S = {"0.05": 0.6, "0.1": 0.9, "0.25": 0.99, "0.5": 1.0, "+Inf": 1.0}


class Autoscalers:
    """Follows the floors that the daemon writes; reports without a pause."""

    def __init__(self, fake: FakeCluster) -> None:
        self._fake = fake
        self._revision = fake.inside(lambda api: api.store.revision)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._live, daemon=True)

    def start(self) -> None:
        """Begin, in a thread."""
        self._thread.start()

    def end(self) -> None:
        """Stop following."""
        self._ended.set()
        self._thread.join()

    def _live(self) -> None:
        turn = 0
        while not self._ended.wait(STEP_S):
            turn += 1
            self._fake.inside(partial(self._step, turn))

    def _step(self, turn: int, api: Api) -> None:
        kind = api.registry.named(*AUTOSCALER)
        changed = api.store.since(kind, self._revision)
        self._revision = api.store.revision
        for change in changed:
            if change.after:
                self._follow(api, change.after)
        every = round(REPORT_S / STEP_S)
        for thing in api.store.objects(kind)[turn % every :: every]:
            status = {"currentMetrics": [{"type": "Resource", "turn": turn}]}
            key = thing["metadata"]["namespace"], thing["metadata"]["name"]
            patch(api, AUTOSCALER, key, {"status": status}, "status")

    def _follow(self, api: Api, autoscaler: Object) -> None:
        metadata, least = autoscaler["metadata"], autoscaler["spec"]["minReplicas"]
        key = metadata["namespace"], metadata["name"]
        target = api.store.get(api.registry.named("apps/v1", "Deployment"), key)
        if target["spec"]["replicas"] != least:
            scale(api, *key, least)


def loads(services: int, now_s: float) -> Iterator[tuple[str, str, float]]:
    """Service, backend and requests per second: each on a wave of its own."""
    for number in range(services):
        _, name = place(number)
        phase = 2 * math.pi * (now_s / PERIOD_S + number / services)
        for backend in BACKENDS:
            yield name, backend, MEAN_RPS * (1 + SWING * math.sin(phase))


def answer(query: str, services: int, now_s: float) -> list[Object]:
    """The vector that Prometheus would give for one of the queries of `town.configuration`."""
    scales = {"in_flight": ROUND_TRIP_S, "error_share": 0.0, "failed_rps": 0.0}
    series = []
    for service, backend, rps in loads(services, now_s):
        labels = {"service": service, "backend": backend}
        if query == "latency":
            series += [({**labels, "le": bound}, rps * q) for bound, q in BOUNDS_S.items()]
        else:
            series.append((labels, now_s if query == "time" else rps * scales.get(query, 1.0)))
    return [{"metric": labels, "value": [now_s, str(value)]} for labels, value in series]


def prometheus(services: int) -> ThreadingHTTPServer:
    """Answers instant queries in a thread of its own."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            query = parse_qs(urlsplit(self.path).query)["query"][0]
            result = answer(query, services, time.time())
            data = {"resultType": "vector", "result": result}
            self._send(json.dumps({"status": "success", "data": data}).encode())

        def _send(self, body: bytes) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server
