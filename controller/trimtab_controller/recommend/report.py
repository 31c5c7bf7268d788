"""What a caller reports, as a state: what is missing is named, and never taken for zero.

Some of it can be told from the rest. What was told so may add replicas, and never takes any away.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from trimtab_controller.protocols import BackendReport, Signal, StageReport
from trimtab_controller.recommend.subject import Subject
from trimtab_controller.refusals import InvalidRequest
from trimtab_controller.sense import join
from trimtab_guard.model import Reading, State
from trimtab_proto.v1 import controller_pb2 as pb

# How far ahead of ours a caller's clock may be.
SKEW_S = 1.0
Message = pb.RecommendRequest | pb.BackendReport


@dataclass(frozen=True, slots=True)
class Report:
    """A state, the fields that were ``missing``, and those of them that were ``estimated``."""

    state: State
    missing: tuple[str, ...]
    estimated: tuple[str, ...]


def in_order(request: pb.RecommendRequest, names: Sequence[str], now_s: float) -> bool:
    """Whether `read` takes it, told at a glance. It takes some more: backends in another order.

    What is not set reads as zero, which is in order.
    """
    service = (request.p50_ms, request.p95_ms, request.rate_rps)
    return (
        [one.name for one in request.backends] == [*names]
        and all(map(_in_order, request.backends))
        and all(0.0 <= value < math.inf for value in service)
        and 0.0 <= request.miss_share <= 1.0
        and 0.0 <= request.time_s <= now_s + SKEW_S
    )


def _in_order(one: pb.BackendReport) -> bool:
    return (
        0.0 <= one.rate_rps < math.inf
        and 0.0 <= one.in_flight < math.inf
        and 0.0 <= one.weight <= 1.0
        and 0.0 <= one.error_share <= 1.0
        and bool(one.wanted or one.ready)
    )


def read(request: pb.RecommendRequest, subject: Subject, now_s: float) -> Report:
    """The report in ``request``, its backends in the order of ``subject``; `InvalidRequest`."""
    fields = _Fields()
    time_s = number("time_s", request.time_s, now_s + SKEW_S) or fields.lacking("time_s", now_s)
    sent = _by_name(request.backends, subject.backends)
    present = tuple(_present(fields, sent[name]) for name in subject.backends)
    weights = _weights(fields, subject, sent, present)
    values: dict[Signal, float] = {
        (name, ""): fields.number(request, name, most)
        for name, most in (("p50_ms", math.inf), ("p95_ms", math.inf), ("miss_share", 1.0))
    }
    rates = _rates(fields, request, sent, weights)
    for backend in subject.profile.backends:
        name, latency_s = backend.name, backend.service_time_s
        if values["p50_ms", ""] > 1e3 * latency_s:
            latency_s = 1e-3 * values["p50_ms", ""]
        values["rate_rps", name] = rates[name]
        # Little's law: what arrives per second, for as long as it stays.
        values["in_flight", name] = fields.number(
            sent[name], "in_flight", otherwise=rates[name] * latency_s
        )
        values["error_share", name] = fields.number(sent[name], "error_share", 1.0)
    backends = tuple(
        BackendReport(name, *counts, floor=0, weight=weights[name])
        for name, counts in zip(subject.backends, present, strict=True)
    )
    readings = {signal: Reading(value, time_s) for signal, value in values.items()}
    state = join(request.service, time_s, StageReport(time_s, "", "", backends, ""), readings)
    return Report(state, tuple(fields.missing), tuple(fields.estimated))


def number(path: str, value: float, most: float = math.inf) -> float:
    """``value``, or `InvalidRequest` when it is not a number from 0 to ``most``."""
    if 0.0 <= value <= most and value < math.inf:
        return value
    bounds = "0 or more" if math.isinf(most) else f"between 0 and {most:g}"
    raise InvalidRequest(path, f"{value:g} must be a number, {bounds}")


class _Fields:
    """Reads optional fields, and notes which were missing."""

    def __init__(self) -> None:
        self.missing: list[str] = []
        self.estimated: list[str] = []

    def number(
        self, message: Message, name: str, most: float = math.inf, otherwise: float = math.nan
    ) -> float:
        """A field, or what it is ``otherwise``: NaN when nobody can say."""
        if message.HasField(name):
            return number(_path(message, name), getattr(message, name), most)
        path = _path(message, name)
        if math.isfinite(otherwise):
            self.estimated.append(path)
        return self.lacking(path, otherwise)

    def count(self, backend: pb.BackendReport, name: str) -> int | None:
        """A number of replicas, if it was sent."""
        if backend.HasField(name):
            count: int = getattr(backend, name)
            return count
        self.missing.append(_path(backend, name))
        return None

    def lacking(self, path: str, otherwise: float) -> float:
        """Note what is missing; returns what stands for it."""
        self.missing.append(path)
        return otherwise


def _path(message: Message, name: str) -> str:
    return f"backends[{message.name}].{name}" if isinstance(message, pb.BackendReport) else name


def _by_name(
    sent: Sequence[pb.BackendReport], names: Sequence[str]
) -> Mapping[str, pb.BackendReport]:
    reports = {report.name: report for report in sent}
    if reports.keys() != set(names) or len(reports) != len(sent):
        raise InvalidRequest("backends", f"must name each of {', '.join(names)} once")
    return reports


def _present(fields: _Fields, sent: pb.BackendReport) -> tuple[int, int, int, int]:
    """Replicas wanted, starting, ready and draining; one of the first and the third is needed."""
    names = ("wanted", "starting", "ready", "draining")
    wanted, starting, ready, draining = (fields.count(sent, name) for name in names)
    if wanted is None and ready is None:
        raise InvalidRequest(f"backends[{sent.name}]", "needs `wanted` or `ready`: what is there?")
    if wanted is None or ready is None:
        fields.estimated.append(_path(sent, "wanted" if wanted is None else "ready"))
    if wanted is None:
        wanted = (ready or 0) + (starting or 0)
    if ready is None:
        ready = max(0, wanted - (starting or 0))
    return wanted, max(0, wanted - ready) if starting is None else starting, ready, draining or 0


def _weights(
    fields: _Fields,
    subject: Subject,
    sent: Mapping[str, pb.BackendReport],
    present: Sequence[tuple[int, int, int, int]],
) -> dict[str, float]:
    """Shares of the route; when one is missing, all are as what is ready could carry."""
    if len(present) == 1:
        return dict.fromkeys(subject.backends, 1.0)
    shares = {name: fields.number(sent[name], "weight", 1.0) for name in subject.backends}
    if not any(map(math.isnan, shares.values())):
        return shares
    carried_rps = [
        ready * backend.concurrency / backend.service_time_s
        for backend, (_, _, ready, _) in zip(subject.profile.backends, present, strict=True)
    ]
    total_rps = sum(carried_rps)
    equal = 1.0 / len(carried_rps)
    even = [rps / total_rps if total_rps else equal for rps in carried_rps]
    return dict(zip(subject.backends, even, strict=True))


def _rates(
    fields: _Fields,
    request: pb.RecommendRequest,
    sent: Mapping[str, pb.BackendReport],
    weights: Mapping[str, float],
) -> dict[str, float]:
    """Requests per second; what backends do not tell is the service's, by the route's shares."""
    known = {
        name: number(_path(one, "rate_rps"), one.rate_rps)
        for name, one in sent.items()
        if one.HasField("rate_rps")
    }
    others = [name for name in sent if name not in known]
    if not others:
        number("rate_rps", request.rate_rps)
        return known
    rest_rps = fields.number(request, "rate_rps") - sum(known.values())
    if len(others) == 1 and rest_rps >= 0.0:
        return known | {others[0]: rest_rps}
    parts = sum(weights[name] for name in others) or math.nan
    return known | {
        name: fields.number(
            sent[name], "rate_rps", otherwise=max(rest_rps, 0.0) * weights[name] / parts
        )
        for name in others
    }
