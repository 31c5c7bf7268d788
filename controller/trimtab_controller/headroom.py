"""How near the limits are: what of each is used up now, for people who look.

Counted from the guard's own memory and with its own functions, so that what is shown here as full
is what the guard refuses.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain

from trimtab_controller.board import Board
from trimtab_controller.config import ServiceConfig
from trimtab_controller.memory import Memory
from trimtab_controller.worst_case import grown_from, shrunk_from
from trimtab_guard.history import History
from trimtab_guard.limits import BackendLimits, ClusterLimits, Limits
from trimtab_guard.ration import Purse
from trimtab_guard.reasons import Code
from trimtab_guard.series import Band, Steps
from trimtab_proto.v1 import controller_pb2 as pb


def limits_reply(board: Board, services: Iterable[str], now_s: float) -> pb.GetLimitsReply:
    """The limits of ``services``, and those that all share."""
    names = [name for name in services if name in board.memories]
    reply = pb.GetLimitsReply(shared=shared(board.cluster, board.memories.values(), now_s))
    for name in names:
        config, history = board.configs[name], board.memories[name].history
        reply.services.append(_service(config, history, now_s))
    return reply


def _service(config: ServiceConfig, history: History, now_s: float) -> pb.ServiceLimits:
    slo = config.spec.slo
    return pb.ServiceLimits(
        service=config.name,
        slo=pb.Slo(latency_s=slo.latency_s, share=slo.share),
        ceiling=f"MODE_{config.spec.ceiling.name}",
        uses=chain.from_iterable(
            used(config.limits, backend, history, now_s) for backend in config.limits.backends
        ),
    )


def used(
    limits: Limits, backend: BackendLimits, history: History, now_s: float
) -> Iterator[pb.LimitUse]:
    """What one backend has used; nothing for replicas and shares that were never seen."""
    steps, share = history.replicas.get(backend.name), history.shares.get(backend.name)
    if steps and steps.points:
        yield from _of_replicas(limits, backend, steps, now_s)
    if share:
        yield _of_route(limits, backend, share, now_s)


def _of_replicas(
    limits: Limits, backend: BackendLimits, steps: Steps, now_s: float
) -> Iterator[pb.LimitUse]:
    rate_s, flap_s = limits.rate_window_s, limits.flap_window_s
    levels = [int(level) for level in steps.levels(now_s - rate_s)]
    present, top = levels[-1], backend.max_replicas

    def use(code: Code, used: float, most: float, window_s: float = 0.0) -> pb.LimitUse:
        return pb.LimitUse(
            code=code, backend=backend.name, used=used, most=most, unit="replicas",
            window_s=window_s,
        )  # fmt: skip

    yield use(Code.MAX_REPLICAS, present, top)
    low = min(levels, key=lambda level: grown_from(level, limits, backend))
    yield use(Code.RATE_UP, max(0, present - low), grown_from(low, limits, backend) - low, rate_s)
    high = max(levels, key=lambda level: shrunk_from(level, limits, backend))
    yield use(
        Code.RATE_DOWN, max(0, high - present), high - shrunk_from(high, limits, backend), rate_s
    )
    spent = steps.churn(now_s - flap_s) + max(0, top - present)
    yield use(Code.FLAP, spent, int(limits.flap_budget * max(present, top)), flap_s)


def _of_route(limits: Limits, backend: BackendLimits, share: Band, now_s: float) -> pb.LimitUse:
    low, high = share.span(now_s - limits.weight_interval_s, share.level)
    moved = max(share.level - low, high - share.level)
    return pb.LimitUse(
        code=Code.WEIGHT_STEP, backend=backend.name, used=moved, most=limits.weight_step,
        unit="share", window_s=limits.weight_interval_s,
    )  # fmt: skip


def shared(
    cluster: ClusterLimits, memories: Iterable[Memory], now_s: float
) -> Iterator[pb.LimitUse]:
    """What all services together have used."""
    spent = chain.from_iterable(memory.spent for memory in memories)
    purse = Purse.counted(cluster, spent, now_s)
    yield pb.LimitUse(
        code=Code.BUDGET, used=cluster.budget - purse.left, most=cluster.budget, unit="price",
        window_s=cluster.budget_window_s,
    )  # fmt: skip
    yield pb.LimitUse(
        code=Code.CROWD, used=len(purse.busy), most=cluster.services_at_once, unit="services",
        window_s=cluster.change_window_s,
    )  # fmt: skip
