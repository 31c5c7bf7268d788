"""Between the API's messages and rounds."""

from __future__ import annotations

import math
from collections.abc import Collection

from trimtab_controller.board import Board
from trimtab_controller.config import Sensing, ServiceConfig
from trimtab_controller.experiments import admit
from trimtab_controller.mandate import Refusal
from trimtab_controller.refusals import FullError, InvalidRequest
from trimtab_controller.variants.plan import Plan, Setting, Variant
from trimtab_controller.variants.round import Result
from trimtab_controller.variants.rounds import Rounds, crowded
from trimtab_proto.v1 import controller_pb2 as pb
from trimtab_sim.profile import Profile, Profiles

OPTIONAL = ("most_share", "requests", "seconds", "settle_s")
WARNING = (
    "a mirrored request is carried out a second time, by the variant: what it writes, sends or "
    "books is written, sent and booked twice. Set it when requests only read, or when variants "
    "have a database, a queue and an outbox of their own"
)


def plan(request: pb.StartRoundRequest, who: str, backends: Collection[str]) -> Plan:
    """What is asked for; `InvalidRequest` names the field that cannot be."""
    if request.backend not in backends:
        raise InvalidRequest("backend", f"must be one of the backends: {', '.join(backends)}")
    if not request.safe_to_mirror:
        raise InvalidRequest("safe_to_mirror", f"is not set: {WARNING}")
    given = {name: getattr(request, name) for name in OPTIONAL if request.HasField(name)}
    try:
        return Plan(
            request.service,
            request.backend,
            request.experiment,
            tuple(map(_variant, request.variants)),
            request.rate_rps,
            who=who,
            **given,
        )
    except ValueError as error:
        field, _, problem = str(error).partition(": ")
        raise InvalidRequest(field, problem) from error


def check(board: Board, plan: Plan, now_s: float) -> int:
    """How many replicas the backend may have; `Refusal` and `FullError` when it cannot be run."""
    service, config = plan.service, board.configs[plan.service]
    admit(board, service, now_s)
    if not board.rounds.can(service) or not (config.spec.kubernetes or _by_envoy(config)):
        raise Refusal(
            f"{service}: variants can be run on the local stage with `sensor: envoy` in "
            "trimtab.yaml, and on Kubernetes"
        )
    if home := config.spec.kubernetes:
        _check_afar(board, service, home.route)
    most = next(b.max_replicas for b in config.profile.backends if b.name == plan.backend)
    seen = board.tick(service)
    state = seen.state if seen else None
    live = next((b.wanted for b in state.backends if b.name == plan.backend), 0) if state else 0
    if crowd := crowded(plan, live, most):
        raise FullError(f"{crowd}: wait, try fewer at once, or raise max_replicas")
    return int(most)


def _by_envoy(config: ServiceConfig) -> bool:
    return config.spec.sensor is Sensing.ENVOY


def _check_afar(board: Board, service: str, route: str) -> None:
    """`Refusal` where nothing can copy requests on Kubernetes, or count what became of them."""
    if not route:
        raise Refusal(
            f"{service}: it is an HTTPRoute that copies requests: name it, `kubernetes.route`"
        )
    if not board.rounds.sees_afar(service):
        raise Refusal(
            f"{service}: variants on Kubernetes are measured through Prometheus: write `sensor: "
            "prometheus`, with `preset: envoy` and no label but envoy_cluster_name"
        )


def message(rounds: Rounds, service: str, profile: Profile) -> pb.Round:
    """The last round of a service as it is now."""
    round_ = rounds.rounds[service]
    plan = round_.plan
    return pb.Round(
        service=service,
        backend=plan.backend,
        experiment=plan.experiment,
        number=round_.number,
        over=round_.over,
        why=round_.why,
        began_s=round_.began_s,
        who=plan.who,
        share=rounds.share(service),
        again=round_.again,
        variants=[
            pb.Variant(name=v.name, replicas=v.replicas, settings=dict(v.settings))
            for v in plan.variants
        ],
        results=[_result(each, plan.backend, profile) for each in rounds.results(service)],
    )


def _variant(variant: pb.Variant) -> Variant:
    settings = tuple(Setting(name, variant.settings[name]) for name in sorted(variant.settings))
    return Variant(variant.name, variant.replicas, settings)


def _result(result: Result, backend: str, profile: Profile) -> pb.VariantResult:
    return pb.VariantResult(
        name=result.name,
        step=result.step,
        requests=result.requests,
        misses=result.misses,
        errors=result.errors,
        seconds=result.seconds,
        replicas=result.replicas,
        p50_ms=result.p50_ms,
        p95_ms=result.p95_ms,
        crashed=result.crashed,
        fleet=fleet(result, backend, profile),
    )


def fleet(result: Result, backend: str, profile: Profile) -> float:
    """What ran costs, by the least that could have done the work; NaN while that is not known."""
    price = {each.name: each.price for each in profile.backends}.get(backend, math.nan)
    least = float(Profiles.stack([profile]).least_price[0]) * result.requests
    return result.replicas * result.seconds * price / least if least else math.nan
