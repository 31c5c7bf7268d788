"""An envelope's life: asked once, widened while it waits, answered, used within its bounds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from trimtab_controller.approvals import Answer
from trimtab_controller.mandate import Refusal, UnknownError
from trimtab_controller.memory import Outcome
from trimtab_guard.modes import Change, Mode

World = Any  # the class in conftest.py, which cannot be imported from here


@pytest.fixture
def asking(new_world: Callable[..., World]) -> World:
    """A world in approve whose policy wants 3 replicas of a."""
    world = new_world(Mode.APPROVE)
    world.want(a=3)
    world.tick()
    return world


def answer(world: World, envelope_id: str, given: Answer) -> None:
    world.approvals.answer(envelope_id, given, "ann", "", world.clock())


def test_repeats_are_folded_and_bounds_widen(asking: World) -> None:
    for wanted in (4, 2, 5, 3):
        asking.want(a=wanted)
        assert asking.tick().pending == 1
    (envelope,) = asking.approvals.pending(asking.clock())
    assert (envelope.backend, envelope.change) == ("a", Change.SCALE_UP)
    assert (envelope.least, envelope.most) == (1, 5)
    assert asking.stage.calls == 0
    assert len(list(asking.journal.entries(kinds=("envelope",)))) == 3  # asked, to 4, to 5


def test_a_grant_lets_pass_what_is_inside_until_it_expires(asking: World) -> None:
    answer(asking, "1", Answer.GRANTED)
    assert asking.tick().tick.outcome is Outcome.APPLIED
    asking.want(a=5)  # more than was granted
    assert asking.tick().tick.outcome is Outcome.ASKED
    assert asking.floors == (3, 1)
    asking.clock.now_s += 3600.0
    asking.restart()
    asking.want(a=3, b=2)
    assert asking.tick(2).tick.outcome is Outcome.ASKED
    assert asking.floors == (3, 1)


def test_the_guard_comes_before_a_grant(asking: World) -> None:
    asking.want(a=9)
    asking.tick()
    answer(asking, "1", Answer.GRANTED)
    asking.tick()
    assert asking.floors == (5, 1)  # the rate limit: 4 more in one window


def test_a_rejected_wish_is_not_asked_again(asking: World) -> None:
    answer(asking, "1", Answer.REJECTED)
    status = asking.tick(5)
    assert (status.pending, asking.stage.calls) == (0, 0)
    asking.want(a=4)
    assert asking.tick().pending == 1


@pytest.mark.parametrize("last", [Answer.GRANTED, Answer.REJECTED])
def test_the_latest_answer_counts(asking: World, last: Answer) -> None:
    asking.want(a=4)
    first = Answer.REJECTED if last is Answer.GRANTED else Answer.GRANTED
    answer(asking, "1", first)  # up to 3
    asking.tick()
    asking.clock.now_s += 1.0
    answer(asking, "2", last)  # up to 4
    asking.want(a=3)
    asking.tick()
    assert asking.floors == ((3, 1) if last is Answer.GRANTED else (1, 1))


def test_shares_move_only_together(asking: World) -> None:
    asking.want(a=1, share_a=0.45)
    asking.tick()
    routes = [e for e in asking.approvals.pending(asking.clock()) if e.change is Change.ROUTE]
    assert [e.backend for e in routes] == ["a", "b"]
    answer(asking, routes[0].id, Answer.GRANTED)
    assert asking.tick().tick.outcome is Outcome.ASKED
    answer(asking, routes[1].id, Answer.GRANTED)
    assert asking.tick().tick.outcome is Outcome.APPLIED
    assert asking.stage.spec.weights == pytest.approx({"a": 0.45, "b": 0.55})


def test_what_is_revoked_ends_at_once_and_is_not_asked_again(asking: World) -> None:
    answer(asking, "1", Answer.GRANTED)
    assert [e.id for e in asking.approvals.standing(asking.clock())] == ["1"]
    asking.approvals.revoke("1", "bob", "too dear", asking.clock())
    asking.restart()
    status = asking.tick(3)
    assert (status.pending, asking.stage.calls) == (0, 0)
    assert asking.approvals.standing(asking.clock()) == []
    asking.clock.now_s += 3600.0
    assert asking.tick().pending == 1


@pytest.mark.parametrize(
    ("before", "message"),
    [
        (None, "is pending, not granted"),
        (Answer.REJECTED, "is rejected, not granted"),
        (Answer.EXPIRED, "has expired"),
    ],
)
def test_only_a_grant_can_be_revoked(asking: World, before: Answer | None, message: str) -> None:
    if before is Answer.EXPIRED:
        asking.clock.now_s += 901.0
    elif before:
        answer(asking, "1", before)
    with pytest.raises(Refusal, match=message):
        asking.approvals.revoke("1", "bob", "", asking.clock())


@pytest.mark.parametrize("given", [Answer.GRANTED, Answer.REJECTED])
def test_answers_survive_a_restart(asking: World, given: Answer) -> None:
    answer(asking, "1", given)
    asking.restart()
    status = asking.tick()
    assert status.pending == 0
    assert asking.stage.calls == (given is Answer.GRANTED)


@pytest.mark.parametrize("terms", ["policy", "limits"])
def test_a_grant_under_other_terms_does_not_count(asking: World, terms: str) -> None:
    answer(asking, "1", Answer.GRANTED)
    if terms == "policy":
        asking.policy.name = "another"
    else:
        text = (asking.folder / "trimtab.yaml").read_text()
        asking.configure(text + "    limits: {up_replicas: 3}\n")
    asking.restart()
    assert asking.tick().tick.outcome is Outcome.ASKED
    assert asking.stage.calls == 0


@pytest.mark.parametrize(
    ("envelope_id", "before", "error", "message"),
    [
        ("7", None, UnknownError, "there is no envelope '7'"),
        ("x", None, UnknownError, "there is no envelope 'x'"),
        ("1", Answer.GRANTED, Refusal, "was granted by ann already"),
        ("1", Answer.REJECTED, Refusal, "was rejected by ann already"),
        ("1", Answer.EXPIRED, Refusal, "has expired"),
    ],
)
def test_what_cannot_be_answered(
    asking: World,
    envelope_id: str,
    before: Answer | None,
    error: type[Exception],
    message: str,
) -> None:
    if before is Answer.EXPIRED:
        asking.clock.now_s += 901.0
    elif before:
        answer(asking, "1", before)
    with pytest.raises(error, match=message):
        answer(asking, envelope_id, Answer.GRANTED)


def test_expiry_is_on_record_and_asks_anew(asking: World) -> None:
    asking.clock.now_s += 901.0
    asking.tick(3)
    answers = [entry.body["envelope"] for entry in asking.journal.entries(kinds=("envelope",))]
    assert [(body[0], body[-2]) for body in answers][:3] == [
        ("1", "PENDING"),
        ("1", "EXPIRED"),
        ("2", "PENDING"),
    ]
