"""A file that changes while the daemon runs: limits follow it, and nothing bad is followed."""

from __future__ import annotations

import signal
import time
from pathlib import Path
from typing import Any

import pytest

from trimtab_controller.recommend import Recommender
from trimtab_controller.reload import Reloader
from trimtab_guard.modes import Mode

World = Any  # the class in conftest.py, which cannot be imported from here
Processes = Any


class Reloading:
    """A world whose file a human edits."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.file: Path = world.folder / "trimtab.yaml"
        web = world.config.services[0]
        self.recommender = Recommender(web, world.policy, world.journal, world.clock)
        recommenders = {"web": self.recommender}
        self.reloader = Reloader(self.file, world.config, world.board, world.services, recommenders)

    def edit(self, old: str, new: str) -> None:
        text = self.file.read_text()
        assert old in text
        self.file.write_text(text.replace(old, new))
        self.reloader.reload()


@pytest.fixture
def reloading(world: World) -> Reloading:
    return Reloading(world)


def test_limits_hold_from_the_next_tick_on(reloading: Reloading) -> None:
    world = reloading.world
    reloading.edit("min_replicas: 1, max_replicas: 12", "min_replicas: 2, max_replicas: 3")
    world.want(a=9, b=1)
    world.tick()
    assert world.floors == (3, 2)
    assert reloading.recommender.config.limits.backends[0].max_replicas == 3


def test_the_limits_of_all_services_follow(reloading: Reloading) -> None:
    reloading.edit("tick_s: 1", "tick_s: 1\ncluster: {budget: 2}")
    reloading.world.want(a=9, b=1)
    reloading.world.tick()
    assert reloading.world.floors == (3, 1)


def test_ceilings_and_schedules_follow(reloading: Reloading) -> None:
    reloading.edit("ceiling: guarded", "ceiling: assist")
    assert reloading.world.tick().tick.mode is Mode.ASSIST
    freeze = "schedule: {freezes: [{start: 2027-01-15T00:00, end: 2027-01-16T00:00}]}"
    reloading.edit("ceiling: assist", f"ceiling: guarded\n    {freeze}")
    assert reloading.world.tick().tick.mode is Mode.APPROVE


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("max_replicas: 12", "max_replicas: 0", "trimtab.yaml:11: services[0].backends[0].max"),
        ("ceiling: guarded", "ceiling: bold", "'bold' must be one of shadow, approve"),
        ("tick_s: 1", "tick_s: 2", "restart needed: it changes tick_s;"),
        ("speed: 60", "speed: 30", "restart needed: it changes speed;"),
        ("name: web", "name: api", "it changes service web, web.name"),
        ("{name: b,", "{name: c,", "it changes web.backends;"),
        ("miss_price: 50", "miss_price: 60", "it changes web.miss_price;"),
        ("latency_s: 0.3", "latency_s: 0.4", "it changes web.slo;"),
    ],
)
def test_what_is_not_followed_changes_nothing_and_says_why(
    reloading: Reloading, caplog: pytest.LogCaptureFixture, old: str, new: str, message: str
) -> None:
    world = reloading.world
    before = world.services[0].config
    reloading.edit("ceiling: guarded", "ceiling: assist")  # good: this one stays
    last_good = world.services[0].config
    assert last_good != before
    reloading.edit("ceiling: assist" if old == "ceiling: guarded" else old, new)
    assert world.services[0].config is last_good
    assert world.mandate.configs["web"] is last_good
    assert "the last good limits stay" in caplog.records[-1].getMessage()
    assert message in caplog.records[-1].getMessage()


def test_a_file_that_is_gone_changes_nothing(
    reloading: Reloading, caplog: pytest.LogCaptureFixture
) -> None:
    reloading.file.unlink()
    reloading.reloader.reload()
    assert "No such file" in caplog.records[-1].getMessage()
    assert reloading.world.tick().tick.mode is Mode.GUARDED


def test_the_daemon_reloads_on_sighup_and_lives_on(processes: Processes) -> None:
    daemon = processes.start_daemon()
    before = processes.status(lambda status: status.outcome == "held")
    daemon.send_signal(signal.SIGHUP)
    log = processes.folder / "trimtab_controller.daemon.log"
    while "demo.yaml: reloaded" not in log.read_text():
        assert daemon.poll() is None
        time.sleep(0.05)
    processes.status(lambda status: status.time_s > before.time_s)
