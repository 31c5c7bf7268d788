"""Gives every service the stage that its configuration names."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from contextlib import ExitStack

from trimtab_controller.config import Config, ServiceConfig
from trimtab_controller.protocols import Stage
from trimtab_controller.stages.local import LocalStage

log = logging.getLogger(__name__)

# How long to wait for the first sight of a cluster; without it, the loop holds until it comes.
SYNC_S = 15.0


def start(config: Config, socket: str | None, parts: ExitStack) -> dict[str, Stage]:
    """Each service's stage; ``socket`` is the local stage's, in place of the configured one.

    Raises `ConfigError` when there is no way to a cluster that some service lives on.
    """
    stages: dict[str, Stage] = {}
    for each in config.services:
        if local := each.spec.stage:
            stage = LocalStage(each.name, socket or local.socket)
            parts.callback(stage.close)
            stages[each.name] = stage
    if afar := [each for each in config.services if each.spec.kubernetes]:
        stages |= _afar(afar, config.kubernetes.context, parts)
    return stages


def _afar(services: Sequence[ServiceConfig], context: str, parts: ExitStack) -> dict[str, Stage]:
    """The stages on a cluster, which all look through the same watches."""
    from trimtab_controller.kubernetes.cluster import Cluster  # the client takes half a second
    from trimtab_controller.stages.kubernetes import KubernetesStage

    # A silence that lasts half as long as the guard waits is looked into before it acts on it.
    watch_s = max(1, int(min(each.limits.stale_s for each in services) / 2))
    cluster = Cluster(context, time.time, watch_s)
    parts.callback(cluster.close)
    stages: dict[str, Stage] = {each.name: KubernetesStage(each.spec, cluster) for each in services}
    log.info("%d services on Kubernetes, at %s", len(services), cluster.api.host)
    if not cluster.start(SYNC_S):
        log.warning("not all of them were seen within %g s: they are held meanwhile", SYNC_S)
    return stages
