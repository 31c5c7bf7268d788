"""Between the steps' dataclasses and `trimtab.v1` messages, with what a caller may send."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from trimtab_controller.approvals import Envelope
from trimtab_controller.board import Status
from trimtab_controller.protocols import BackendReport, Signal, StageReport
from trimtab_controller.recommend import Recommendation
from trimtab_controller.refusals import InvalidRequest
from trimtab_controller.sense import join
from trimtab_guard.model import Reading, State, Verdict, Want
from trimtab_guard.modes import Change, Mode
from trimtab_proto.v1 import controller_pb2 as pb

# How far ahead of ours a caller's clock may be.
SKEW_S = 1.0


def mode_of(number: int) -> Mode:
    """The mode of a request; `InvalidRequest` when there is none."""
    name = pb.Mode.Name(number).removeprefix("MODE_") if number in pb.Mode.values() else ""
    if name not in Mode.__members__:
        raise InvalidRequest(
            "mode", "must be MODE_SHADOW, MODE_APPROVE, MODE_ASSIST or MODE_GUARDED"
        )
    return Mode[name]


def mode_name(mode: Mode) -> str:
    """A mode as messages name it."""
    return f"MODE_{mode.name}"


def state_of(request: pb.RecommendRequest, backends: Sequence[str], now_s: float) -> State:
    """The reported state, with ``backends`` in their configured order; `InvalidRequest`.

    A reading that was not sent is NaN: missing, never zero.
    """
    time_s = _number("time_s", request.time_s, most=now_s + SKEW_S) or now_s
    reports = {report.name: report for report in request.backends}
    if sorted(reports) != sorted(backends) or len(reports) != len(request.backends):
        raise InvalidRequest("backends", f"must name each of {', '.join(backends)} once")
    readings: dict[Signal, float] = {}
    for name, report in reports.items():
        for field in ("rate_rps", "in_flight"):
            readings[field, name] = _optional(f"backends[{name}].", report, field)
    for field, most in (("p50_ms", math.inf), ("p95_ms", math.inf), ("miss_share", 1.0)):
        readings[field, ""] = _optional("", request, field, most)
    present = StageReport(time_s, "", "", tuple(_report(reports[name]) for name in backends), "")
    timed = {signal: Reading(value, time_s) for signal, value in readings.items()}
    return join(request.service, time_s, present, timed)


def _report(report: pb.BackendReport) -> BackendReport:
    weight = _number(f"backends[{report.name}].weight", report.weight, most=1.0)
    return BackendReport(
        report.name, report.wanted, report.starting, report.ready, report.draining, 0, weight
    )


def _optional(
    prefix: str, message: pb.RecommendRequest | pb.BackendReport, field: str, most: float = math.inf
) -> float:
    if not message.HasField(field):
        return math.nan
    return _number(prefix + field, getattr(message, field), most)


def _number(field: str, value: float, most: float = math.inf) -> float:
    if not (math.isfinite(value) and 0.0 <= value <= most):
        bounds = "0 or more" if math.isinf(most) else f"between 0 and {most:g}"
        raise InvalidRequest(field, f"{value:g} must be a number, {bounds}")
    return value


def recommendation(service: str, made: Recommendation) -> pb.RecommendReply:
    """The answer to `Recommend`."""
    return pb.RecommendReply(
        service=service,
        policy=made.proposal.policy,
        decision=_wants(made.verdict.backends),
        proposal=_wants(made.proposal.backends),
        reasons=_reasons(made.verdict),
        why=made.why,
    )


def status(status: Status) -> pb.ServiceStatus:
    """One service after a tick, with the mode that holds now."""
    tick = status.tick
    message = pb.ServiceStatus(
        service=tick.service,
        time_s=tick.time_s,
        mode=mode_name(status.standing.mode),
        lowered="; ".join(ceiling.why for ceiling in status.standing.reasons),
        lease_until_s=status.lease.until_s,
        stopped=status.stopped,
        outcome=tick.outcome,
        error=tick.error,
        decisions=tick.decisions,
        actions=tick.actions,
        policy=status.policy,
        pending=status.pending,
        config_error=status.config_error,
    )
    if tick.state:
        message.backends.extend(_backends(tick.state))
        message.p50_ms = tick.state.p50_ms.value
        message.p95_ms = tick.state.p95_ms.value
        message.miss_share = tick.state.miss_share.value
    if tick.proposal:
        message.proposal.extend(_wants(tick.proposal.backends))
        message.why = tick.proposal.why
    if tick.verdict:
        message.decision.extend(_wants(tick.verdict.backends))
        message.reasons.extend(_reasons(tick.verdict))
    return message


def envelope(envelope: Envelope) -> pb.Envelope:
    """An envelope; the bounds of what it does not change are what is."""
    replicas, share = envelope.seen
    bounds = (envelope.least, envelope.most)
    route = envelope.change is Change.ROUTE
    least_replicas, most_replicas = (replicas, replicas) if route else bounds
    least_share, most_share = bounds if route else (share, share)
    return pb.Envelope(
        id=envelope.id,
        service=envelope.service,
        backend=envelope.backend,
        change=envelope.change,
        min_replicas=int(least_replicas),
        max_replicas=int(most_replicas),
        min_weight=least_share,
        max_weight=most_share,
        expires_s=envelope.expires_s,
        why=envelope.why,
    )


def _backends(state: State) -> Iterable[pb.BackendStatus]:
    for backend in state.backends:
        yield pb.BackendStatus(
            name=backend.name,
            wanted=backend.wanted,
            starting=backend.starting,
            ready=backend.ready,
            draining=backend.draining,
            weight=backend.weight,
            rate_rps=backend.rate_rps.value,
            in_flight=backend.in_flight.value,
        )


def _wants(wants: Iterable[Want]) -> list[pb.BackendDecision]:
    return [
        pb.BackendDecision(name=want.name, replicas=max(0, want.replicas), weight=want.weight)
        for want in wants
    ]


def _reasons(verdict: Verdict) -> list[pb.GuardReason]:
    return [
        pb.GuardReason(code=r.code, backend=r.backend, before=r.before, after=r.after)
        for r in verdict.reasons
    ]
