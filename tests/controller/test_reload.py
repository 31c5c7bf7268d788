"""A file that changes while the daemon runs: limits follow it, and nothing bad is followed."""

from __future__ import annotations

import signal
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from trimtab_controller.cli import main
from trimtab_controller.journal import JournalError
from trimtab_controller.recommend.ledger import Ledger
from trimtab_controller.recommend.recommenders import Recommenders
from trimtab_controller.recommend.subject import configured
from trimtab_controller.reload import Reloader
from trimtab_controller.security.entrance import Entrance
from trimtab_controller.security.spec import SecuritySpec
from trimtab_guard.modes import Mode

World = Any  # the class in conftest.py, which cannot be imported from here
Processes = Any


class Reloading:
    """A world whose file a human edits."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.file: Path = world.folder / "trimtab.yaml"
        ledger = Ledger(world.journal, world.clock)
        subjects = configured(world.config)
        self.recommenders = Recommenders(subjects, lambda _: world.policy, ledger, world.clock)
        self.reloader = Reloader(
            self.file,
            world.config,
            world.board,
            world.services,
            self.recommenders,
            Entrance(SecuritySpec(), lambda _: "", world.journal, world.clock),
            world.journal,
            world.clock,
        )

    @property
    def remembered(self) -> list[str]:
        """Why each reload was refused, empty for those that were followed."""
        return [entry.body["error"] for entry in self.world.journal.entries(kinds=("reload",))]

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
    assert reloading.recommenders.subjects["web"].limits.backends[0].max_replicas == 3


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


ZONE = "ceiling: guarded\n    schedule: {zone: Mars/Base}"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        pytest.param("max_replicas: 12", "max_replicas: 0", "yaml:12: services[0].ba", id="no max"),
        pytest.param(
            "min_replicas: 1,", "min_replicas: 13,", "yaml:11: services[0].", id="min>max"
        ),
        pytest.param("budget: 7", "budget: -1", "yaml:3: cluster.budget: -1", id="budget"),
        pytest.param("miss_price", "limits: {hold_s: -1}\n    miss_price", "yaml:9: ", id="window"),
        pytest.param("miss_price", "miss_prize", "did you mean 'miss_price'", id="unknown key"),
        pytest.param("ceiling: guarded", ZONE, "zone is 'Mars/Base', which this", id="zone"),
        pytest.param("ceiling: guarded", "ceiling: bold", "'bold' must be one of sh", id="ceiling"),
        pytest.param("tick_s: 1", "tick_s: 2", "restart needed: it changes tick_s;", id="tick"),
        pytest.param("speed: 60", "speed: 30", "restart needed: it changes speed;", id="speed"),
        pytest.param("name: web", "name: api", "it changes service web, web.name", id="service"),
        pytest.param("{name: b,", "{name: c,", "it changes web.backends;", id="backend"),
        pytest.param("{name: b,", "{name: b, price: 2,", "it changes web.backends;", id="price"),
        pytest.param("miss_price: 50", "miss_price: 60", "changes web.miss_price;", id="lambda"),
        pytest.param(
            "speed: 60",
            "security: {tokens: t}\nspeed: 60",
            "whether callers must say who",
            id="tokens",
        ),
        pytest.param("latency_s: 0.3", "latency_s: 0.4", "it changes web.slo;", id="slo"),
    ],
)
def test_what_is_not_followed_changes_nothing_and_says_why(
    reloading: Reloading, caplog: pytest.LogCaptureFixture, old: str, new: str, message: str
) -> None:
    world = reloading.world
    reloading.edit("services:", "cluster: {budget: 7}\nservices:")  # good: this one stays
    last_good = world.services[0].config
    reloading.edit(old, new)
    assert (world.services[0].config, world.mandate.configs["web"]) == (last_good, last_good)
    assert world.board.cluster.budget == 7
    assert "the last good limits stay" in caplog.records[-1].getMessage()
    assert message in caplog.records[-1].getMessage()
    assert message in reloading.remembered[-1]


def test_a_refusal_is_shown_until_the_next_good_file(reloading: Reloading) -> None:
    assert reloading.world.tick().config_error == ""
    reloading.edit("tick_s: 1", "tick_s: 2")
    assert "restart needed" in reloading.world.tick(3).config_error
    reloading.edit("tick_s: 2", "tick_s: one")
    assert "'one' must be a number" in reloading.world.tick().config_error
    reloading.edit("tick_s: one", "tick_s: 1")
    assert reloading.world.tick().config_error == ""
    assert list(map(bool, reloading.remembered)) == [True, True, False]


def test_what_cannot_be_recorded_is_not_followed(
    reloading: Reloading, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> int:
        raise JournalError("the disk is full")

    with monkeypatch.context() as patched:
        patched.setattr(reloading.world.journal, "append", full)
        reloading.edit("ceiling: guarded", "ceiling: assist")
    status = reloading.world.tick()
    assert (status.config_error, status.tick.mode) == ("the disk is full", Mode.GUARDED)


def test_a_file_that_is_gone_changes_nothing(
    reloading: Reloading, caplog: pytest.LogCaptureFixture
) -> None:
    reloading.file.unlink()
    reloading.reloader.reload()
    assert "No such file" in caplog.records[-1].getMessage()
    assert reloading.world.tick().tick.mode is Mode.GUARDED


def test_the_daemon_reloads_on_sighup_and_says_what_it_does_not_follow(
    processes: Processes,
) -> None:
    file = processes.folder / "trimtab.yaml"
    good = (files("trimtab_controller") / "demo.yaml").read_text()
    file.write_text(good)
    daemon = processes.start_daemon("--config", str(file))
    address = f"unix:{processes.folder}/d.sock"
    processes.status(lambda status: status.outcome == "held")

    def told() -> str:
        return CliRunner().invoke(main, ["status", "--address", address]).output

    file.write_text(good.replace("\ntick_s: 1", "\ntick_s: 0"))
    daemon.send_signal(signal.SIGHUP)
    processes.status(lambda status: status.config_error)
    assert f"not reloaded, the last good limits hold: {file}:2: tick_s: 0 must" in told()
    file.write_text(good)
    daemon.send_signal(signal.SIGHUP)
    processes.status(lambda status: not status.config_error)
    assert "not reloaded" not in told()
    log = (processes.folder / "trimtab_controller.daemon.log").read_text()
    assert "the last good limits stay" in log
    assert "trimtab.yaml: reloaded" in log
