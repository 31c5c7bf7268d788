"""From outlooks to the API's messages."""

from __future__ import annotations

from collections.abc import Iterable

from trimtab_controller.config import ServiceConfig
from trimtab_controller.foresight.outlook import Measure, Outlook, Remedy
from trimtab_controller.foresight.words import described
from trimtab_proto.v1 import controller_pb2 as pb

UNITS = {Measure.MEMORY: "bytes", Measure.CONNECTIONS: "connections", Measure.LATENCY: "ms"}


def message(config: ServiceConfig, outlooks: Iterable[Outlook]) -> pb.Forecast:
    """All of a service."""
    return pb.Forecast(
        service=config.name, outlooks=[_outlook(config, outlook) for outlook in outlooks]
    )


def _outlook(config: ServiceConfig, outlook: Outlook) -> pb.Outlook:
    found, record = outlook.forecast, outlook.record
    return pb.Outlook(
        measure=outlook.measure,
        unit=UNITS[outlook.measure],
        backend=outlook.backend,
        finding=found.finding.name.lower(),
        level=found.level,
        limit=found.limit,
        pace_per_h=found.pace_per_s * 3600.0,
        seen_s=found.seen_s,
        mid_s=found.mid_s,
        low_s=found.low_s,
        high_s=found.high_s,
        calls=record.calls,
        right=record.right,
        early=record.early,
        remedy=outlook.remedy,
        command=_command(config, outlook),
        words=described(outlook),
    )


def _command(config: ServiceConfig, outlook: Outlook) -> str:
    """On Kubernetes a restart is for people: trimtab's account may not touch a pod's template."""
    kubernetes = config.spec.kubernetes
    if outlook.remedy is not Remedy.RESTART or not kubernetes:
        return ""
    target = next(each.target for each in config.spec.backends if each.name == outlook.backend)
    if target is None:
        return ""
    kind = target.kind.lower()
    return f"kubectl -n {kubernetes.namespace} rollout restart {kind}/{target.name}"
