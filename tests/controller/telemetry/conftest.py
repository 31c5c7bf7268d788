"""A world whose metrics are served, as a daemon's are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import urllib3

from trimtab_controller.security.entrance import Entrance
from trimtab_controller.security.spec import SecuritySpec
from trimtab_controller.telemetry.exposition import Exposition
from trimtab_controller.telemetry.metrics import Metrics

World = Any  # the class in the conftest.py above, which cannot be imported from here
OPEN = SecuritySpec()


class Scraped:
    """The metrics of a world, at an address."""

    def __init__(self, world: World, security: SecuritySpec, services_max: int = 1000) -> None:
        self.metrics = Metrics(world.board, "fixed", services_max, world.clock)
        world.board.followers.append(self.metrics.count)
        service_of = world.approvals.service_of
        self.entrance = Entrance(security, service_of, world.journal, world.clock)
        self.exposition = Exposition(self.metrics.registry, "127.0.0.1:0", self.entrance)
        self.address = self.exposition.address

    def get(self, path: str = "/metrics", **options: Any) -> urllib3.BaseHTTPResponse:
        pool = urllib3.PoolManager(retries=False, timeout=5.0, **options.pop("pool", {}))
        scheme = "https" if self.entrance.spec.tls else "http"
        return pool.request("GET", f"{scheme}://{self.address}{path}", **options)

    def close(self) -> None:
        self.exposition.close()
        self.entrance.close()


@pytest.fixture
def scraping() -> Iterator[Callable[..., Scraped]]:
    """Serve a world's metrics."""
    serving: list[Scraped] = []

    def serve(world: World, security: SecuritySpec = OPEN, **options: int) -> Scraped:
        serving.append(Scraped(world, security, **options))
        return serving[-1]

    yield serve
    for each in serving:
        each.close()
