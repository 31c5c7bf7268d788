"""From the steps' dataclasses to `trimtab.v1` messages."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from trimtab_controller.approvals import Envelope
from trimtab_controller.board import Status
from trimtab_controller.refusals import InvalidRequest
from trimtab_guard.model import State, Verdict, Want
from trimtab_guard.modes import Change, Mode
from trimtab_proto.v1 import controller_pb2 as pb


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
        message.backends.extend(_backends(tick.state, tick.floors))
        message.p50_ms = tick.state.p50_ms.value
        message.p95_ms = tick.state.p95_ms.value
        message.miss_share = tick.state.miss_share.value
    if tick.proposal:
        message.proposal.extend(wants(tick.proposal.backends))
        message.why = tick.proposal.why
    if tick.verdict:
        message.decision.extend(wants(tick.verdict.backends))
        message.reasons.extend(reasons(tick.verdict))
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


def _backends(state: State, floors: Sequence[int]) -> Iterable[pb.BackendStatus]:
    for backend, floor in zip(state.backends, floors, strict=True):
        yield pb.BackendStatus(
            name=backend.name,
            wanted=backend.wanted,
            starting=backend.starting,
            ready=backend.ready,
            draining=backend.draining,
            weight=backend.weight,
            rate_rps=backend.rate_rps.value,
            in_flight=backend.in_flight.value,
            floor=floor,
        )


def wants(wants: Iterable[Want]) -> list[pb.BackendDecision]:
    """What backends should have."""
    return [
        pb.BackendDecision(name=want.name, replicas=max(0, want.replicas), weight=want.weight)
        for want in wants
    ]


def reasons(verdict: Verdict) -> list[pb.GuardReason]:
    """Why a proposal was changed."""
    return [
        pb.GuardReason(code=r.code, backend=r.backend, before=r.before, after=r.after)
        for r in verdict.reasons
    ]
