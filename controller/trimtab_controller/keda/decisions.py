"""Where the last decisions come from: a board, the daemon's own or one that follows another's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from trimtab_controller.config import ServiceConfig
from trimtab_controller.memory import TickRecord


class Decisions(Protocol):
    """What a scaler reports from. Nothing here may wait."""

    @property
    def configs(self) -> Mapping[str, ServiceConfig]:
        """The services, by name."""

    @property
    def stopped(self) -> bool:
        """Whether a human has stopped trimtab."""

    def tick(self, service: str) -> TickRecord | None:
        """A service's last tick."""
