"""docs/OBSERVABILITY.md lists every metric as it is exposed, and no other."""

from __future__ import annotations

import re
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from trimtab_controller.telemetry.spec import WebhookSpec
from trimtab_controller.telemetry.webhook import Webhook
from trimtab_guard.modes import Mode

World = Any  # the classes in the conftest.py files, which cannot be imported from here
Scraped = Any

PAGE = Path(__file__).parents[3] / "docs/OBSERVABILITY.md"
ROW = re.compile(r"\| `(trimtab_\w+)` \| (\w+) \| (.*?) \| (.+) \|")
Row = tuple[str, str, tuple[str, ...], str]


def listed() -> list[Row]:
    rows = ROW.findall(PAGE.read_text())
    return [
        (name, kind, tuple(re.findall(r"`(\w+)`", labels)), text)
        for name, kind, labels, text in rows
    ]


def exposed(scraped: Scraped) -> list[Row]:
    return [
        (
            f"{family.name}_total" if family.type == "counter" else family.name,
            family.type,
            tuple(label for label in family.samples[0].labels if label != "le"),
            family.documentation,
        )
        for family in text_string_to_metric_families(scraped.get().data.decode())
        if family.name.startswith("trimtab_")
    ]


@pytest.fixture
def webhook(tmp_path: Path) -> Iterator[Webhook]:
    """One that nothing happens to."""
    (tmp_path / "key").write_text(b64encode(bytes(32)).decode())
    (tmp_path / "key").chmod(0o600)
    spec = WebhookSpec("https://localhost/", "key").within(tmp_path)
    webhook = Webhook(spec, time.time, time.monotonic)
    yield webhook
    webhook.close()


def test_the_page_lists_what_is_exposed(
    new_world: Callable[[Mode], World], scraping: Callable[..., Scraped], webhook: Webhook
) -> None:
    world = new_world(Mode.GUARDED)
    scraped = scraping(world)
    scraped.metrics.registry.register(webhook.results)
    webhook.results.labels("sent").inc()
    world.sensor.values |= {("p50_ms", ""): 40.0, ("p95_ms", ""): 90.0, ("miss_share", ""): 0.02}
    world.policy.demand_rps = 100.0
    world.want(a=12)
    world.tick()
    assert sorted(listed()) == sorted(exposed(scraped))
