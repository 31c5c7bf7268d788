"""Starts what the configuration asks for of all this."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack

from trimtab_controller.board import Board
from trimtab_controller.config import Config
from trimtab_controller.journal import Journal
from trimtab_controller.security.entrance import Entrance
from trimtab_controller.telemetry import diary
from trimtab_controller.telemetry.exposition import Exposition
from trimtab_controller.telemetry.metrics import Metrics
from trimtab_controller.telemetry.webhook import Webhook

Tick = Callable[[], None]


def start(
    tick: Tick,
    config: Config,
    board: Board,
    journal: Journal,
    policy: str,
    entrance: Entrance,
    parts: ExitStack,
) -> Tick:
    """Start the diary, metrics and webhook, which end with ``parts``; the tick to call from now on.

    `ConfigError` or `AddressError` when one cannot be.
    """
    journal.listeners.append(diary.note)
    webhook = None
    if config.webhook:
        webhook = Webhook(config.webhook, time.time, time.monotonic)
        parts.callback(webhook.close)
        journal.listeners.append(webhook.listen)
    if config.metrics is None:
        return tick
    metrics = Metrics(board, policy, config.metrics.services_max, time.time)
    if webhook:
        metrics.registry.register(webhook.results)
    board.followers.append(metrics.count)
    parts.callback(Exposition(metrics.registry, config.metrics.listen, entrance).close)
    return metrics.timed(tick)
