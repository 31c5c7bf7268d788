"""One tick from end to end: what is written, what is not, and what is shown."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from trimtab_agents.bundle import load
from trimtab_agents.proposer import Proposer
from trimtab_controller.journal import JournalError
from trimtab_controller.memory import Outcome
from trimtab_guard.model import Want
from trimtab_guard.modes import Mode
from trimtab_stage.spec import Ask

World = Any  # the class in conftest.py, which cannot be imported from here

UP, DOWN, ROUTE = "scale up", "scale down", "route"


def wish(world: World, change: str) -> None:
    """Bring the world to 3 replicas each as its own doing, then want one change."""
    if change == UP:
        world.want(a=5, b=3)
    elif change == DOWN:
        world.want(a=2, b=3)
    else:
        world.want(a=3, b=3, share_a=0.45)


def prepared(new_world: Callable[..., World], mode: Mode) -> World:
    world = new_world(Mode.GUARDED, warm=False)
    world.want(a=3, b=3)
    world.tick(9)
    assert world.floors == (3, 3)
    world.mandate.set_mode("web", mode, "tester", world.clock())
    return world


@pytest.mark.parametrize(
    ("mode", "change", "outcome"),
    [
        (Mode.SHADOW, UP, Outcome.SHADOW),
        (Mode.SHADOW, DOWN, Outcome.SHADOW),
        (Mode.SHADOW, ROUTE, Outcome.SHADOW),
        (Mode.APPROVE, UP, Outcome.ASKED),
        (Mode.APPROVE, DOWN, Outcome.ASKED),
        (Mode.APPROVE, ROUTE, Outcome.ASKED),
        (Mode.ASSIST, UP, Outcome.APPLIED),
        (Mode.ASSIST, DOWN, Outcome.ASKED),
        (Mode.ASSIST, ROUTE, Outcome.ASKED),
        (Mode.GUARDED, UP, Outcome.APPLIED),
        (Mode.GUARDED, DOWN, Outcome.APPLIED),
        (Mode.GUARDED, ROUTE, Outcome.APPLIED),
    ],
)
def test_modes(new_world: Callable[..., World], mode: Mode, change: str, outcome: Outcome) -> None:
    world = prepared(new_world, mode)
    calls = world.stage.calls
    wish(world, change)
    outcomes = [world.tick().tick.outcome for _ in range(6 if change == DOWN else 1)]
    assert outcomes[-1] is outcome  # down only once the hold window has passed
    assert world.stage.calls - calls == (outcome is Outcome.APPLIED)


def test_shadow_makes_not_one_writing_call(new_world: Callable[..., World]) -> None:
    world = new_world(Mode.SHADOW)
    for number in range(30):
        world.want(a=1 + number % 5, b=3, share_a=0.3 + 0.1 * (number % 3))
        world.tick()
    assert world.stage.calls == 0
    assert world.memory.decisions > 30


def test_only_what_differs_is_written(world: World) -> None:
    world.want(a=4)
    world.tick()
    first = world.stage.spec
    assert (first.floors, first.weights) == ({"a": 4, "b": 1}, {"a": 0.5, "b": 0.5})
    assert world.tick().tick.outcome is Outcome.UNCHANGED
    assert world.stage.calls == 1


@pytest.mark.parametrize(
    ("change", "outcome"),
    [(UP, Outcome.APPLIED), (DOWN, Outcome.UNCHANGED), (ROUTE, Outcome.UNCHANGED)],
)
def test_during_a_rollout_only_capacity_is_added(
    new_world: Callable[..., World], change: str, outcome: Outcome
) -> None:
    world = prepared(new_world, Mode.GUARDED)
    wish(world, change)
    world.stage.rolling = True
    tick = world.tick().tick
    assert tick.outcome is outcome
    codes = {str(reason.code) for reason in tick.verdict.reasons}
    assert codes == (set() if change == UP else {"ROLLOUT"})
    world.stage.rolling = False
    world.tick(9)
    assert {UP: (5, 3), DOWN: (2, 3), ROUTE: (3, 3)}[change] == world.floors
    assert world.stage.spec.weights["a"] == pytest.approx(0.45 if change == ROUTE else 0.5)


@pytest.mark.parametrize("fault", ["stage", "sensor", "policy", "hang", "other"])
def test_what_fails_holds_the_tick_and_is_shown(world: World, fault: str) -> None:
    world.want(a=4)
    release = threading.Event()

    def fail() -> None:
        raise ZeroDivisionError("no")

    world.stage.down = fault == "stage"
    world.sensor.error = "Envoy is gone" if fault == "sensor" else ""
    if fault == "policy":
        world.policy.think = fail
    elif fault == "hang":
        world.policy.think = lambda: release.wait(10) and None
    elif fault == "other":
        world.policy.propose = lambda _: []  # an answer to another question
    status = world.tick(2)
    release.set()
    assert world.stage.calls == 0
    assert status.tick.error
    assert status.tick.outcome is Outcome.HELD


def test_nonsense_is_replaced_by_the_baseline(world: World) -> None:
    world.policy.wants = (Want("a", float("nan"), 7.0), Want("c", -1, 0.5))
    assert world.tick().tick.verdict.reasons[0].code == "MISMATCH"
    assert (world.floors, world.stage.spec.weights["a"]) == ((2, 2), 0.5)


def test_a_service_unlike_those_of_the_training_is_left_to_the_baseline(world: World) -> None:
    world.journal.close()
    text = (world.folder / "trimtab.yaml").read_text()
    world.configure(text.replace("concurrency: 4", "concurrency: 256"))
    (config,) = world.config.services
    world.policy = Proposer(load(), [config.profile], [50.0], tick_s=1.0, time_scale=60.0)
    world.boot()
    tick = world.tick(5).tick
    assert [want.replicas for want in tick.proposal.backends] == [1, 1]
    assert "outside of its training: log_concurrency of a is 4, was 0 to 2" in tick.proposal.why
    assert {str(reason.code) for reason in tick.verdict.reasons} == {"ENVELOPE"}


def test_a_policy_that_hung_is_asked_again_once_it_is_back(world: World) -> None:
    release = threading.Event()
    world.policy.think = lambda: release.wait(10) and None
    assert "no answer within" in world.tick().tick.error
    assert "still busy" in world.tick().tick.error
    release.set()
    world.policy.think = lambda: None
    world.want(a=4)
    while "still busy" in (status := world.tick()).tick.error:
        pass
    assert status.tick.outcome is Outcome.APPLIED


def test_blind_for_long_only_the_baseline_adds(world: World) -> None:
    world.sensor.values["rate_rps", "a"] = 400.0
    world.tick()
    world.sensor.error = "Envoy is gone"
    world.want(a=1, b=1)
    held = world.tick(30)
    assert (world.floors, held.tick.error) == ((1, 1), "Envoy is gone")
    world.tick(60)
    assert world.floors[0] == 9  # 400 rps at 60 % of 80 rps per replica, though 1 is proposed
    assert world.floors[1] >= 1


def test_a_stage_that_comes_back_is_steered_again(world: World) -> None:
    world.want(a=4)
    world.stage.down = True
    assert world.tick().tick.state is None
    world.stage.down = False
    assert world.tick(5).tick.outcome is Outcome.UNCHANGED
    assert world.floors == (4, 1)


def test_a_foreign_writer_takes_the_service_to_shadow_until_a_human_answers(world: World) -> None:
    world.want(a=4)
    world.tick()
    world.stage.write("kubectl", Ask("a", 2))
    status = world.tick()
    assert (status.tick.mode, world.floors) == (Mode.SHADOW, (2, 1))
    assert "kubectl changed web" in status.tick.error
    world.restart()
    status = world.tick(3)
    assert (status.tick.mode, world.stage.calls) == (Mode.SHADOW, 1)
    assert "kubectl" in status.tick.error
    world.mandate.set_mode("web", Mode.GUARDED, "tester", world.clock())
    status = world.tick()
    assert (status.tick.mode, status.tick.error) == (Mode.GUARDED, "")


def test_a_writer_that_comes_in_between_wins(world: World) -> None:
    world.stage.before = lambda: world.stage.write("kubectl", Ask("b", 2))
    world.want(a=4)
    assert world.tick().tick.outcome is Outcome.FAILED
    world.stage.before = lambda: None
    assert world.tick().tick.mode is Mode.SHADOW
    assert world.floors == (1, 2)


def test_a_foreign_write_while_the_daemon_was_away_counts(world: World) -> None:
    world.journal.close()
    world.stage.write("kubectl", Ask("a", 2))
    world.restart(after_s=60.0)
    assert world.tick().tick.mode is Mode.SHADOW


def test_a_restarted_stage_is_not_a_foreign_writer(world: World) -> None:
    world.want(a=4)
    world.tick()
    world.stage.spec = type(world.stage.spec).initial(world.stage.profile)
    world.stage.replies.clear()
    status = world.tick(2)
    assert (status.tick.mode, world.floors) == (Mode.GUARDED, (4, 1))


def test_a_slowed_scale_down_never_lifts_the_floor(world: World) -> None:
    world.stage.hpa["a"] = 10  # the autoscaler underneath wants 10, the policy 3
    world.want(a=3)
    status = world.tick(2)
    assert status.tick.verdict.backends[0].replicas == 9
    assert world.floors == (3, 1)


def test_a_floor_keeps_what_the_policy_needs_of_what_is_there(world: World) -> None:
    world.stage.hpa["a"] = 5
    world.want(a=5)
    world.tick()
    world.stage.hpa["a"] = 1
    assert world.stage.wanted["a"] == 5


def test_in_doubt_not_even_what_is_there_is_held_by_a_floor(world: World) -> None:
    world.sensor.error = "Envoy is gone"
    world.stage.hpa["a"] = 5
    world.want(a=5)
    assert world.tick(3).tick.outcome is Outcome.HELD
    assert world.stage.calls == 0


def test_a_journal_that_cannot_be_written_holds_everything(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> int:
        raise JournalError("the disk is full")

    world.want(a=4)
    with monkeypatch.context() as patched:
        patched.setattr(world.journal, "append_text", full)
        status = world.tick()
    assert (status.tick.error, world.stage.calls) == ("the disk is full", 0)
    assert world.tick().tick.outcome is Outcome.APPLIED


def test_a_decision_that_took_too_long_is_not_sent(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slowly(*record: Any) -> int:
        world.clock.now_s += 4.0
        return append(*record)

    append = world.journal.append_text
    monkeypatch.setattr(world.journal, "append_text", slowly)
    world.want(a=4)
    status = world.tick()
    late = "1.0 s after the decision's deadline"
    assert (status.tick.outcome, status.tick.error) == (Outcome.FAILED, late)
    assert world.stage.calls == 0


def test_what_the_stage_refuses_is_shown_and_not_repeated_as_applied(world: World) -> None:
    world.stage.profile = world.stage.profile.__class__(
        "web", tuple(type(b)(b.name, max_replicas=3) for b in world.stage.profile.backends)
    )
    world.want(a=4)
    status = world.tick()
    assert status.tick.outcome is Outcome.FAILED
    assert "floor 4 of 'a' is out of bounds" in status.tick.error
    assert (status.tick.actions, world.memory.intent) == (0, None)


def test_one_service_does_not_wait_for_another(world: World) -> None:
    text = (world.folder / "trimtab.yaml").read_text()
    second = text[text.index("  - name: web") :].replace("name: web", "name: api")
    world.configure(text + second)
    world.restart()
    api = world.stages["api"]
    world.want(a=4)
    api.down = True
    world.loop.tick()
    statuses = {status.tick.service: status.tick for status in world.board.latest()[1]}
    assert statuses["web"].outcome is Outcome.APPLIED
    assert (statuses["api"].outcome, statuses["api"].state) == (Outcome.HELD, None)
    api.down = False
    world.loop.tick()
    assert (api.spec.floors["a"], world.floors) == (4, (4, 1))


def test_trouble_is_logged_once(world: World, caplog: pytest.LogCaptureFixture) -> None:
    world.stage.down = True
    world.tick(5)
    world.stage.down = False
    world.tick(5)
    assert [record.getMessage() for record in caplog.records] == [
        "web: stage at /nowhere: UNAVAILABLE",
        "web: in order again",
    ]
