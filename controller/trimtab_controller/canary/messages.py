"""Between the API's messages and trials."""

from __future__ import annotations

from collections.abc import Collection

from trimtab_controller.board import Board
from trimtab_controller.canary.canaries import Canaries
from trimtab_controller.canary.plan import Plan
from trimtab_controller.canary.trial import Trial
from trimtab_controller.config import Sensing
from trimtab_controller.experiments import admit
from trimtab_controller.mandate import Refusal
from trimtab_controller.refusals import InvalidRequest
from trimtab_proto.v1 import controller_pb2 as pb

OPTIONAL = ("requests", "most_requests", "margin")


def plan(request: pb.StartCanaryRequest, who: str, backends: Collection[str]) -> Plan:
    """What is asked for; `InvalidRequest` names the field that cannot be."""
    for field in ("old", "new"):
        if getattr(request, field) not in backends:
            raise InvalidRequest(field, f"must be one of the backends: {', '.join(backends)}")
    given = {name: getattr(request, name) for name in OPTIONAL if request.HasField(name)}
    if request.shares:
        given["shares"] = tuple(request.shares)
    try:
        return Plan(request.service, request.old, request.new, who=who, **given)
    except ValueError as error:
        field, _, problem = str(error).partition(": ")
        raise InvalidRequest(field, problem) from error


def check(board: Board, plan: Plan, now_s: float) -> None:
    """`Refusal` while this trial could not be carried out as things are."""
    service = plan.service
    admit(board, service, now_s)
    if board.configs[service].spec.sensor is not Sensing.ENVOY:
        raise Refusal(
            f"{service}: a trial needs the latencies of each backend, and only the local stage's "
            "Envoy tells them, with `sensor: envoy` in trimtab.yaml"
        )


def message(canaries: Canaries, service: str) -> pb.Canary:
    """The trial of a service as it is now."""
    trial = canaries.trials[service]
    found = described(trial)
    found.why = canaries.told(trial)
    return found


def described(trial: Trial) -> pb.Canary:
    """A trial and what it found."""
    verdict, plan = trial.comparison.verdict(), trial.plan
    return pb.Canary(
        service=plan.service,
        old=plan.old,
        new=plan.new,
        phase=trial.phase,
        share=trial.share,
        why=trial.why,
        old_answers=verdict.old_answers,
        new_answers=verdict.new_answers,
        effects=[
            pb.CanaryEffect(metric=e.metric, worse=e.value, low=e.low, high=e.high)
            for e in verdict.effects
        ],
        worse_share=_part(verdict.bad, verdict.needed),
        no_worse_share=_part(verdict.good, verdict.needed),
        began_s=trial.began_s,
        who=plan.who,
    )


def _part(evidence: float, needed: float) -> float:
    return min(max(evidence / needed, 0.0), 1.0)
