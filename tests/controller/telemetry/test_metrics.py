"""What is exposed: the numbers of the world, by Prometheus's conventions, to those who may look."""

from __future__ import annotations

import math
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
import urllib3
from prometheus_client.parser import text_string_to_metric_families

from trimtab_controller.security.addresses import AddressError
from trimtab_controller.security.entrance import Entrance
from trimtab_controller.security.spec import ClientSpec, SecuritySpec, TlsSpec
from trimtab_controller.telemetry.exposition import CONNECTIONS, Exposition
from trimtab_guard.modes import Mode

World = Any  # the classes in the conftest.py files, which cannot be imported from here
Scraped = Any
Serve = Callable[..., Scraped]

PROMTOOL = shutil.which("promtool") or ""


def samples(scraped: Scraped) -> dict[str, float]:
    """Every sample by its name and labels, as PromQL writes them."""
    text = scraped.get().data.decode()
    return {
        f"{sample.name}{{{','.join(f'{k}={v}' for k, v in sample.labels.items())}}}": sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_the_numbers_are_the_worlds(world: World, scraping: Serve) -> None:
    scraped = scraping(world)
    world.sensor.values |= {("p50_ms", ""): 40.0, ("p95_ms", ""): 90.0, ("miss_share", ""): 0.02}
    world.want(a=12)
    tick = scraped.metrics.timed(world.tick)
    tick()
    found = samples(scraped)
    expected = {
        "trimtab_info{policy=fixed,version=0.1.0}": 1.0,
        "trimtab_stopped{}": 0.0,
        "trimtab_mode{mode=guarded,service=web}": 1.0,
        "trimtab_mode{mode=shadow,service=web}": 0.0,
        "trimtab_requests_per_second{backend=a,service=web}": 50.0,
        "trimtab_replicas{backend=a,service=web,state=ready}": 1.0,
        "trimtab_proposed_replicas{backend=a,service=web}": 12.0,
        "trimtab_allowed_replicas{backend=a,service=web}": 5.0,
        "trimtab_route_ratio{backend=b,service=web}": 0.5,
        "trimtab_miss_ratio{service=web}": 0.02,
        "trimtab_latency_seconds{quantile=0.95,service=web}": 0.09,
        "trimtab_tick_outcomes_total{outcome=applied,service=web}": 1.0,
        "trimtab_guard_reasons_total{code=RATE_UP,service=web}": 1.0,
        "trimtab_tick_duration_seconds_count{}": 1.0,
        "trimtab_tick_timestamp_seconds{service=web}": world.clock(),
        "trimtab_actions_total{service=web}": world.memory.actions,
        "trimtab_decisions_total{service=web}": world.memory.decisions,
        "trimtab_approvals_pending{service=web}": 0.0,
    }
    assert {name: found.get(name) for name in expected} == expected


def test_what_was_not_measured_is_left_out(world: World, scraping: Serve) -> None:
    scraped = scraping(world)
    world.sensor.error = "Envoy does not answer"
    world.tick()
    found = samples(scraped)
    assert found["trimtab_trouble{service=web}"] == 1.0
    assert not any("requests_per_second" in name for name in found)
    assert not any(math.isnan(value) for value in found.values())


def test_a_stop_and_a_question_show(new_world: Callable[[Mode], World], scraping: Serve) -> None:
    world = new_world(Mode.APPROVE)
    scraped = scraping(world)
    world.want(a=3)
    world.tick()
    world.mandate.stop("ann", "", world.clock())
    found = samples(scraped)
    assert found["trimtab_approvals_pending{service=web}"] == 1.0
    assert found["trimtab_stopped{}"] == 1.0


@pytest.mark.skipif(not PROMTOOL, reason="promtool is not installed")
def test_the_names_are_by_convention(world: World, scraping: Serve) -> None:
    scraped = scraping(world)
    world.tick()
    checked = subprocess.run(
        [PROMTOOL, "check", "metrics"], input=scraped.get().data, capture_output=True, check=False
    )
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, b"")


def test_many_services_have_a_bounded_number_of_series(world: World, scraping: Serve) -> None:
    text = (world.folder / "trimtab.yaml").read_text()
    head, web = text.split("services:\n")
    more = web.replace("name: web", "name: api").replace("/nowhere", "/elsewhere")
    world.journal.close()
    world.configure(f"{head}services:\n{web}{more}")
    world.boot()
    scraped = scraping(world, services_max=1)
    world.tick()
    found = samples(scraped)
    assert found["trimtab_services{}"] == 2.0
    assert found["trimtab_services_shown{}"] == 1.0
    assert not any("service=api" in name for name in found)


def test_a_tick_that_hangs_keeps_nobody_from_the_metrics(world: World, scraping: Serve) -> None:
    scraped = scraping(world)
    hanging, go_on = threading.Event(), threading.Event()
    world.stage.before = lambda: (hanging.set(), go_on.wait())
    world.want(a=3)
    ticking = threading.Thread(target=world.tick)
    ticking.start()
    try:
        hanging.wait()
        assert scraped.get().status == 200
    finally:
        go_on.set()
        ticking.join()


def test_who_connects_and_says_nothing_takes_a_bounded_room(world: World, scraping: Serve) -> None:
    scraped = scraping(world)
    host, _, port = scraped.address.rpartition(":")
    idle = [socket.create_connection((host, int(port))) for _ in range(CONNECTIONS)]
    with pytest.raises(urllib3.exceptions.HTTPError):
        scraped.get()
    for each in idle:
        each.close()
    until_s = time.monotonic() + 20.0
    while True:
        try:
            assert scraped.get().status == 200
            return
        except urllib3.exceptions.HTTPError:
            assert time.monotonic() < until_s


@pytest.mark.parametrize("path", ["/", "/metrics/", "/favicon.ico"])
def test_there_is_nothing_else(world: World, scraping: Serve, path: str) -> None:
    assert scraping(world).get(path).status == 404


@pytest.mark.parametrize(
    ("address", "security", "says"),
    [
        pytest.param("0.0.0.0:0", SecuritySpec(), "needs TLS and authentication", id="abroad"),
        pytest.param("unix:/tmp/m", SecuritySpec(), "needs HOST:PORT", id="socket"),
        pytest.param("nowhere", SecuritySpec(), "is no address", id="nonsense"),
        pytest.param(
            "127.0.0.1:0",
            SecuritySpec(TlsSpec("c", "k", "ca"), clients=(ClientSpec("x", 1),)),  # type: ignore[arg-type]  # any role
            "add security.tokens",
            id="certificates",
        ),
    ],
)
def test_where_it_does_not_listen(
    world: World, address: str, security: SecuritySpec, says: str
) -> None:
    entrance = Entrance(SecuritySpec(), world.approvals.service_of, world.journal, world.clock)
    entrance.spec = security
    with pytest.raises(AddressError, match=says):
        Exposition(None, address, entrance)  # type: ignore[arg-type]  # it is never asked


def test_a_taken_port_is_told(world: World, scraping: Serve) -> None:
    scraped = scraping(world)
    with pytest.raises(AddressError, match="in use: choose another"):
        Exposition(scraped.metrics.registry, scraped.address, scraped.entrance)
