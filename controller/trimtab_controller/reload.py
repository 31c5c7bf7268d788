"""A changed trimtab.yaml while the daemon runs: new limits, ceilings and calendars, or none."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from trimtab_controller.board import Board
from trimtab_controller.config import Config, ServiceSpec, load
from trimtab_controller.journal import Journal, JournalError
from trimtab_controller.protocols import Clock
from trimtab_controller.recommend.recommenders import Recommenders
from trimtab_controller.recommend.subject import configured
from trimtab_controller.security.entrance import Entrance
from trimtab_controller.service import Service
from trimtab_sim.schema import ConfigError

log = logging.getLogger(__name__)

# What of a service may change; and of its backends, the bounds of their replicas.
LOOSE = ("ceiling", "schedule", "limits", "drills", "backends")


def reloaded(file: Path, running: Config) -> Config:
    """Read ``file`` anew; raises `ConfigError` when it is wrong, or when it changes too much.

    A file that needs a restart is not followed by halves.
    """
    config = load(file)
    before, after = _fixed(running), _fixed(config)
    changed = [name for name in before | after if before.get(name) != after.get(name)]
    if changed:
        raise ConfigError(
            f"{file}: restart needed: it changes {', '.join(changed)}; while trimtab runs, only "
            "limits, drills, ceilings, schedules, bounds of replicas and security.clients can "
            "change"
        )
    return config


class Reloader:
    """Brings what a file says to everything that goes by it, between two ticks."""

    def __init__(
        self,
        file: Path,
        config: Config,
        board: Board,
        services: Sequence[Service],
        recommenders: Recommenders,
        entrance: Entrance,
        journal: Journal,
        clock: Clock,
    ) -> None:
        self._file = file
        self._config = config
        self._board = board
        self._services = services
        self._recommenders = recommenders
        self._entrance = entrance
        self._journal = journal
        self._clock = clock

    def reload(self) -> None:
        """Follow the file from now on, or keep what was good; journal and `status` say which."""
        with self._board.lock:
            try:
                config = reloaded(self._file, self._config)
                self._remember("")
            except (ConfigError, JournalError) as error:
                self._refuse(str(error))
            else:
                self._follow(config)

    def _refuse(self, error: str) -> None:
        log.error("nothing is reloaded, the last good limits stay: %s", error)
        self._board.config_error = error
        with suppress(JournalError):
            self._remember(error)

    def _follow(self, config: Config) -> None:
        self._config = config
        self._board.mandate.configs = config.by_name
        self._board.cluster = config.cluster
        self._board.config_error = ""
        self._recommenders.subjects = configured(config)
        self._entrance.follow(config.security.clients)
        for service in self._services:
            service.config = config.by_name[service.name]
        log.info("%s: reloaded; its limits hold from the next tick on", self._file)

    def _remember(self, error: str) -> None:
        body = {"file": str(self._file), "error": error}
        self._journal.append("reload", body, self._clock())


def _fixed(config: Config) -> dict[str, Any]:
    """What cannot change without a restart, by the name that a message gives it."""
    found: dict[str, Any] = {
        "tick_s": config.tick_s, "speed": config.speed,
        "approval": config.approval, "journal": config.journal,
        "metrics": config.metrics, "webhook": config.webhook,
        "money": config.money, "gates": config.gates, "lease": config.lease,
        "security": replace(config.security, clients=()),
        "whether callers must say who they are": config.security.authenticates,
    }  # fmt: skip
    for service in config.services:
        found[f"service {service.name}"] = True
        found |= {f"{service.name}.{name}": value for name, value in _fixed_of(service.spec)}
    return found


def _fixed_of(spec: ServiceSpec) -> list[tuple[str, Any]]:
    backends = [replace(backend, min_replicas=0, max_replicas=1) for backend in spec.backends]
    kept = [(f.name, getattr(spec, f.name)) for f in fields(spec) if f.name not in LOOSE]
    return [*kept, ("backends", backends)]
