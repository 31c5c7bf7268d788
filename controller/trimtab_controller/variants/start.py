"""Gives rounds the stages that can run them, and each its way to see what its variants answer."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import ExitStack

from trimtab_controller.config import Config, Sensing
from trimtab_controller.journal import Journal
from trimtab_controller.protocols import Stage
from trimtab_controller.sensors.prometheus.copies import Copies, counts_copies
from trimtab_controller.variants.mirror import Mirror
from trimtab_controller.variants.rounds import Rounds
from trimtab_controller.variants.sight import Looks


def start(
    config: Config, journal: Journal, stages: Mapping[str, Stage], parts: ExitStack
) -> Rounds:
    """The rounds of all services; where nothing can be measured, copies are still taken away."""
    mirrors = {name: stage for name, stage in stages.items() if isinstance(stage, Mirror)}
    return Rounds(journal, time.time, mirrors, afar=_afar(config, parts))


def _afar(config: Config, parts: ExitStack) -> dict[str, Looks]:
    """How to look through Prometheus."""
    looks: dict[str, Looks] = {}
    spec = config.prometheus
    if spec is None or not counts_copies(spec):
        return looks
    for each in config.services:
        if each.spec.sensor is Sensing.PROMETHEUS:
            copies = Copies(each.spec.series(spec), spec)
            parts.callback(copies.close)
            looks[each.name] = copies.look
    return looks
