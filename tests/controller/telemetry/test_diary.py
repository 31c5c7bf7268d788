"""What people and trimtab did is logged with fields, once, and ticks are not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from structlog.testing import capture_logs

from trimtab_controller.approvals import Answer
from trimtab_controller.telemetry import diary
from trimtab_guard.modes import Mode

World = Any  # the class in the conftest.py above, which cannot be imported from here


@pytest.fixture
def asking(new_world: Callable[[Mode], World]) -> World:
    world = new_world(Mode.APPROVE)
    world.journal.listeners.append(diary.note)
    return world


def test_a_question_its_answer_and_the_write_are_told_in_order(asking: World) -> None:
    with capture_logs() as logged:
        asking.want(a=3)
        asking.tick(3)
        asking.approvals.answer("1", Answer.GRANTED, "ann", "", asking.clock())
        asking.tick(2)
    told = [(line["event"], line.get("answer") or line.get("applied")) for line in logged]
    assert told == [("envelope", "pending"), ("envelope", "granted"), ("write", True)]
    assert (logged[1]["who"], logged[1]["service"], logged[1]["most"]) == ("ann", "web", 3)


def test_acts_have_their_fields(asking: World) -> None:
    with capture_logs() as logged:
        asking.mandate.set_mode("web", Mode.SHADOW, "ann", asking.clock())
        asking.mandate.stop("ben", "it smells", asking.clock())
    mode, stop = logged
    assert (mode["event"], mode["service"], mode["mode"], mode["who"]) == (
        "mode",
        "web",
        "shadow",
        "ann",
    )
    assert (stop["event"], stop["who"], stop["why"]) == ("stop", "ben", "it smells")
