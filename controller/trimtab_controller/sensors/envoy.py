"""Sees through Envoy's own counters, because the proxy is the one place every request passes.

Counters only grow, so each signal is the difference between two reads. The first read and
the first one after Envoy restarted (a counter went back) have no difference: they yield no
signal rather than a wrong one. Envoy counts the reads themselves, too: an answer in which that
number stands still is an old one, and a service that looks quiet in it may not be.
"""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from typing import Any, TypeVar
from urllib.parse import quote

from trimtab_controller.protocols import Clock, SensorError, Signal, StageReport
from trimtab_guard.model import Reading

# How often Envoy was asked for its statistics, this time included.
READS = "http.admin.downstream_rq_total"

# A latency bin in milliseconds: lower bound and width. Envoy's bins are two digits wide.
Bin = tuple[float, float]
Key = TypeVar("Key")


@dataclass(frozen=True, slots=True)
class Stats:
    """An answer of Envoy's: its counters and gauges, and its histograms by bin, by name."""

    values: Mapping[str, int]
    bins: Mapping[str, Mapping[Bin, int]]

    @classmethod
    def parse(cls, stats: Sequence[Mapping[str, Any]]) -> Stats:
        """Take Envoy's JSON apart."""
        histograms = [h for s in stats for h in s.get("histograms", {}).get("details", ())]
        return cls(
            {stat["name"]: stat["value"] for stat in stats if "name" in stat},
            {
                h["name"]: {(b["lower_bound"], b["width"]): b["count"] for b in h["totals"]}
                for h in histograms
            },
        )

    def value(self, name: str) -> int:
        """One of ``values``; `SensorError` when Envoy has no such."""
        if name not in self.values:
            raise SensorError(f"Envoy does not count {name!r}: is the cluster there?")
        return self.values[name]


@dataclass(frozen=True, slots=True)
class Counters:
    """Envoy's totals at one moment.

    ``requests``, ``timeouts`` and ``failed``, the 5xx answers, are per cluster; ``latency_ms``
    counts answers per bin; ``errors`` are 5xx answers to clients; ``reads`` those of these totals;
    ``connections`` are open to each cluster.
    """

    time_s: float
    requests: Mapping[str, int]
    timeouts: Mapping[str, int]
    failed: Mapping[str, int]
    active: Mapping[str, int]
    errors: int
    latency_ms: Mapping[Bin, int]
    reads: int
    connections: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, stats: Stats, listener: str, clusters: Sequence[str], time_s: float) -> Counters:
        """Pick the counters out of an answer; `SensorError` when one is missing."""
        return cls(
            time_s=time_s,
            requests={c: stats.value(f"cluster.{c}.upstream_rq_total") for c in clusters},
            timeouts={c: stats.value(f"cluster.{c}.upstream_rq_timeout") for c in clusters},
            # Envoy begins to count a class of answers with the first one.
            failed={c: stats.values.get(f"cluster.{c}.upstream_rq_5xx", 0) for c in clusters},
            active={c: stats.value(f"cluster.{c}.upstream_rq_active") for c in clusters},
            errors=stats.value(f"http.{listener}.downstream_rq_5xx"),
            latency_ms=stats.bins.get(f"http.{listener}.downstream_rq_time", {}),
            reads=stats.value(READS),
            connections={
                cluster: stats.values[name]
                for cluster in clusters
                if (name := f"cluster.{cluster}.upstream_cx_active") in stats.values
            },
        )

    @property
    def answers(self) -> int:
        """How many requests were answered, by whomever."""
        return sum(self.latency_ms.values())

    def since(self, before: Counters) -> Counters | None:
        """Return what was counted after ``before``, or ``None`` when a counter was reset."""
        delta = Counters(
            time_s=self.time_s - before.time_s,
            requests=_minus(self.requests, before.requests),
            timeouts=_minus(self.timeouts, before.timeouts),
            failed=_minus(self.failed, before.failed),
            active=self.active,
            errors=self.errors - before.errors,
            latency_ms=_minus(self.latency_ms, before.latency_ms),
            reads=self.reads - before.reads,
            connections=self.connections,
        )
        clusters = (delta.requests, delta.timeouts, delta.failed)
        counts = (count for cluster in clusters for count in cluster.values())
        lowest = min((delta.errors, delta.reads, *counts, *delta.latency_ms.values()))
        return delta if delta.time_s > 0 and lowest >= 0 else None


class EnvoySensor:
    """Rate, requests in flight, errors and connections per backend; latency and misses of all."""

    def __init__(
        self, listener: str, clusters: Sequence[str], slo_latency_s: float, clock: Clock
    ) -> None:
        """``clusters`` are named as the backends that they are."""
        self._listener = listener
        self._clusters = clusters
        self._slo_ms = slo_latency_s * 1e3
        self._clock = clock
        self._before: Counters | None = None
        names = "|".join(re.escape(cluster) for cluster in clusters)
        self._filter = (
            rf"^cluster\.({names})\.upstream_(rq_(total|timeout|5xx|active)|cx_active)$"
            rf"|^http\.{re.escape(listener)}\.downstream_rq_(5xx|time)$|^{re.escape(READS)}$"
        )

    def count(self, admin_socket: str) -> Counters:
        """Envoy's totals now; raises `SensorError`."""
        stats = fetch_stats(admin_socket, self._filter)
        return Counters.of(stats, self._listener, self._clusters, self._clock())

    def read(self, report: StageReport) -> dict[Signal, Reading]:
        """Return every signal that the time since the last read allows to measure.

        `SensorError` when what comes is what came before.
        """
        now = self.count(report.metrics)
        before, self._before = self._before, now
        if before and now.reads == before.reads:
            raise SensorError(f"{report.metrics} gives an old answer again: {READS} stands still")
        delta = now.since(before) if before else None
        return self._signals(delta, now.time_s) if delta else {}

    def _signals(self, delta: Counters, now_s: float) -> dict[Signal, Reading]:
        values: dict[Signal, float] = {}
        for cluster in self._clusters:
            values["rate_rps", cluster] = delta.requests[cluster] / delta.time_s
            values["in_flight", cluster] = delta.active[cluster]
            values["error_share", cluster] = _error_share(delta, cluster)
        for cluster, connections in delta.connections.items():
            values["connections", cluster] = connections
        if any(delta.latency_ms.values()):
            values["p50_ms", ""] = quantile(delta.latency_ms, 0.50)
            values["p95_ms", ""] = quantile(delta.latency_ms, 0.95)
            values["miss_share", ""] = miss_share(delta, self._slo_ms)
        return {signal: Reading(value, now_s) for signal, value in values.items()}


def _error_share(delta: Counters, cluster: str) -> float:
    """Errors may answer requests of the time before; what the route timed out was only slow."""
    errors = max(0, delta.failed[cluster] - delta.timeouts[cluster])
    return min(errors / max(delta.requests[cluster], 1), 1.0)


def quantile(counts: Mapping[Bin, int], q: float) -> float:
    """The latency below which the share ``q`` of the answers lies, linear within its bin."""
    rank = q * sum(counts.values())
    for (lower, width), count in sorted(counts.items()):
        if count and rank <= count:
            return lower + width * rank / count
        rank -= count
    raise ValueError("no answers, no quantile")


def misses(delta: Counters, slo_ms: float) -> int:
    """How many of the answers came late or failed.

    A bin that the SLO cuts in two counts as late. A 5xx after the route's time-out is late
    already; only the other ones are added.
    """
    late = sum(n for (lower, width), n in delta.latency_ms.items() if lower + width > slo_ms)
    failed = max(0, delta.errors - sum(delta.timeouts.values()))
    return min(delta.answers, late + failed)


def miss_share(delta: Counters, slo_ms: float) -> float:
    """The same as a share of the answers, of which there must be some."""
    return misses(delta, slo_ms) / delta.answers


def fetch_stats(path: str, pattern: str, deadline_s: float = 1.0) -> Stats:
    """Ask the admin socket at ``path`` for what matches ``pattern``; `SensorError`."""
    # Not `usedonly`: a counter at zero must differ from one that does not exist.
    query = f"/stats?format=json&histogram_buckets=detailed&filter={quote(pattern)}"
    try:
        stats = json.loads(fetch(path, query, deadline_s))
        if not isinstance(stats, dict) or not isinstance(stats.get("stats"), list):
            raise ValueError("no statistics in the answer")
    except (OSError, HTTPException, ValueError) as error:
        raise SensorError(f"Envoy's admin socket {path}: {error}") from error
    return Stats.parse(stats["stats"])


def fetch(path: str, query: str, deadline_s: float = 1.0) -> bytes:
    """What Envoy's admin socket at ``path`` answers; ``OSError`` or `HTTPException`."""
    connection = _UnixConnection(path, deadline_s)
    try:
        connection.request("GET", query)
        response = connection.getresponse()
        if response.status != HTTPStatus.OK:
            raise HTTPException(f"answers {response.status}")
        return response.read()
    finally:
        connection.close()


class _UnixConnection(HTTPConnection):
    """HTTP over a Unix socket: only the way to connect differs."""

    def __init__(self, path: str, deadline_s: float) -> None:
        super().__init__("envoy", timeout=deadline_s)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def _minus(after: Mapping[Key, int], before: Mapping[Key, int]) -> dict[Key, int]:
    return {key: after.get(key, 0) - before.get(key, 0) for key in after.keys() | before.keys()}
