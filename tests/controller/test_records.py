"""Records of ticks are written by orjson: it must say what `pack` says, whatever is in them."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab_controller.memory import Outcome, TickRecord
from trimtab_controller.protocols import Ask, Intent
from trimtab_controller.records import pack, packed_text, unpack
from trimtab_guard.model import UNREAD, BackendState, Proposal, Reason, State, Verdict, Want
from trimtab_guard.modes import Mode
from trimtab_guard.reasons import Code

NUMBERS = st.floats() | st.integers() | st.floats(min_value=1e-9, max_value=1e-3)
# Also halves of characters: a name may come from a file that was torn.
WORDS = st.text(st.characters(exclude_categories=())) | st.just("zone-1")
WANTS = st.lists(st.builds(Want, WORDS, NUMBERS, NUMBERS), max_size=3).map(tuple)
STATES = st.builds(
    State,
    WORDS,
    NUMBERS,
    NUMBERS,
    st.tuples(st.builds(BackendState, WORDS, *[NUMBERS] * 5, st.just(UNREAD), st.just(UNREAD))),
    *[st.just(UNREAD)] * 3,
)
INTENTS = st.builds(
    Intent,
    WORDS,
    WORDS,
    NUMBERS,
    WORDS,
    st.tuples(st.builds(Ask, WORDS, NUMBERS, st.none() | NUMBERS, st.none() | NUMBERS)),
)
REASONS = st.tuples(st.builds(Reason, st.sampled_from(Code), WORDS, NUMBERS, NUMBERS))
TICKS = st.builds(
    TickRecord,
    WORDS,
    NUMBERS,
    st.sampled_from(Mode),
    st.sampled_from(Outcome),
    WORDS,
    st.none() | STATES,
    st.none() | st.builds(Proposal, WORDS, WORDS, NUMBERS, WANTS, WORDS),
    st.none() | st.builds(Verdict, WORDS, NUMBERS, WANTS, REASONS),
    st.none() | INTENTS,
    baseline=WANTS,
)


@given(st.lists(TICKS, max_size=3))
def test_the_text_of_ticks_is_what_pack_makes_of_them(ticks: list[TickRecord]) -> None:
    """Every number to its last digit, and nothing that is no ASCII."""
    text = packed_text(ticks)
    assert json.loads(text) == json.loads(json.dumps([pack(tick) for tick in ticks]))
    assert text.isascii()


@pytest.mark.parametrize("odd", [10**30, np.float64(1e-7), math.inf, -0.0])
def test_a_number_that_a_policy_may_answer_is_written(odd: float) -> None:
    """The tick is recorded, whatever the guard makes of it."""
    tick = TickRecord("web", 1.0, Mode.GUARDED, Outcome.HELD, baseline=(Want("zone", 1, odd),))
    (again,) = (unpack(TickRecord, packed) for packed in json.loads(packed_text([tick])))
    assert again == tick or (math.isinf(odd) and math.isnan(again.baseline[0].weight))
