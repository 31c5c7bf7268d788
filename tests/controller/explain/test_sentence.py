"""What is said of a tick follows its numbers: each limit that clipped, and what came of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab_controller.explain.sentence import OUTCOMES, sentence
from trimtab_controller.memory import Outcome, TickRecord
from trimtab_controller.up.words import WORDS
from trimtab_guard.model import (
    UNREAD,
    BackendState,
    Proposal,
    Reading,
    Reason,
    State,
    Verdict,
    Want,
)
from trimtab_guard.modes import Mode
from trimtab_guard.reasons import Code

World = Any  # the class in conftest.py, which cannot be imported from here

TIME_S = 1_800_000_000.0
counts = st.integers(0, 1000)


def tick(
    wanted: int, proposed: int, allowed: int | None, codes: list[Code], outcome: Outcome
) -> TickRecord:
    reading = Reading(100.0, TIME_S)
    backend = BackendState("a", wanted, 0, wanted, 0, 1.0, reading, reading)
    state = State("web", TIME_S, TIME_S, (backend,), UNREAD, UNREAD, UNREAD)
    proposal = Proposal("web", "ppo", TIME_S, (Want("a", proposed, 1.0),), "because")
    wants = () if allowed is None else (Want("a", allowed, 1.0),)
    reasons = tuple(Reason(code, "a", proposed, allowed or 0) for code in codes)
    verdict = Verdict("web", TIME_S, wants, reasons)
    return TickRecord("web", TIME_S, Mode.GUARDED, outcome, "", state, proposal, verdict)


@given(
    counts,
    counts,
    st.none() | counts,
    st.lists(st.sampled_from(Code), min_size=1, max_size=3, unique=True),
    st.sampled_from(Outcome),
)
def test_every_clip_and_the_outcome_are_named(
    wanted: int, proposed: int, allowed: int | None, codes: list[Code], outcome: Outcome
) -> None:
    said = sentence(tick(wanted, proposed, allowed, codes, outcome))
    assert said.startswith("because; ")
    assert said.endswith(OUTCOMES[outcome])
    assert all(WORDS[code] in said for code in codes)
    assert ("lets nothing be touched" in said) == (allowed is None)
    clipped = allowed is not None and allowed != proposed
    assert (f"held to {(allowed or 0) - wanted:+d}:" in said) == clipped


def test_an_untouched_proposal_names_no_limit() -> None:
    assert sentence(tick(2, 3, 3, [], Outcome.APPLIED)) == "because; applied"


@pytest.mark.parametrize(
    ("mode", "wants", "says"),
    [
        pytest.param(Mode.GUARDED, (3, 1), "because; applied", id="up"),
        pytest.param(
            Mode.GUARDED, (12, 1), "because; held to +4: no faster up (a 12→5)", id="rate"
        ),
        pytest.param(Mode.GUARDED, (1, 1), "because; there is nothing to change", id="keep"),
        pytest.param(Mode.SHADOW, (3, 1), "in shadow, so nothing is written", id="shadow"),
        pytest.param(Mode.APPROVE, (3, 1), "a human is asked", id="asked"),
        pytest.param(Mode.GUARDED, (-1, 1), "the proposal holds an impossible number", id="broken"),
    ],
)
def test_what_the_real_guard_does_is_said(
    new_world: Callable[[Mode], World], mode: Mode, wants: tuple[int, int], says: str
) -> None:
    world = new_world(mode)
    world.want(*wants)
    assert says in sentence(world.tick().tick)


def test_a_tick_without_a_proposal_says_why(world: World) -> None:
    world.sensor.error = "Envoy does not answer"
    world.policy.think = lambda: 1 / 0
    assert sentence(world.tick().tick) == "held as it is; Envoy does not answer"
