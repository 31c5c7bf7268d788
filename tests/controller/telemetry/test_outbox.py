"""Repeats are folded, failures come later, and nothing grows without bound."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from trimtab_controller.telemetry.events import Event
from trimtab_controller.telemetry.outbox import ATTEMPTS, LONGEST_BACKOFF_S, WAITING, Outbox

FOLD_S = 300.0


def event(what: str = "", time_s: float = 0.0, text: str = "") -> Event:
    return Event("demotion", "web", what, time_s, text)


def test_the_first_goes_out_at_once_and_its_repeats_as_one() -> None:
    outbox = Outbox(FOLD_S)
    outbox.add(event(text="first"), 0.0)
    first = outbox.take(0.0)
    assert first is not None
    assert (first.event.text, first.times) == ("first", 1)
    for second in (1, 2, 3):
        outbox.add(event(time_s=second, text=f"at {second}"), second)
    assert outbox.take(299.0) is None
    assert outbox.next_s() == 300.0
    rest = outbox.take(300.0)
    assert rest is not None
    assert (rest.event.text, rest.times, rest.first_s) == ("at 3", 3, 1.0)
    assert outbox.next_s() == math.inf


def test_after_a_quiet_time_it_is_news_again() -> None:
    outbox = Outbox(FOLD_S)
    outbox.add(event(), 0.0)
    outbox.take(0.0)
    outbox.add(event(), 301.0)
    assert outbox.take(301.0) is not None


def test_different_things_are_not_folded() -> None:
    outbox = Outbox(FOLD_S)
    for what in ("a scale-up", "b scale-up"):
        outbox.add(event(what), 0.0)
    assert len(outbox) == 2


def test_failures_come_later_and_later_and_end() -> None:
    outbox, now_s, pauses_s = Outbox(FOLD_S), 0.0, []
    outbox.add(event(), now_s)
    while message := outbox.take(now_s):
        if not outbox.put_back(message, now_s):
            break
        pauses_s.append(outbox.next_s() - now_s)
        now_s = outbox.next_s()
    assert len(pauses_s) == ATTEMPTS - 1
    assert pauses_s[:4] == [1.0, 2.0, 4.0, 8.0]
    assert pauses_s[-1] == LONGEST_BACKOFF_S
    assert len(outbox) == 0


def test_what_happens_while_a_message_fails_is_told_with_it() -> None:
    outbox = Outbox(FOLD_S)
    outbox.add(event(text="old"), 0.0)
    message = outbox.take(0.0)
    assert message is not None
    outbox.add(event(text="new", time_s=5.0), 5.0)
    outbox.put_back(message, 6.0)
    again = outbox.take(7.0)
    assert again is not None
    assert (again.event.text, again.times, again.first_s, again.attempts) == ("new", 2, 0.0, 1)


def test_there_is_only_so_much_room_but_always_for_repeats() -> None:
    outbox = Outbox(FOLD_S)
    taken = [outbox.add(event(str(number)), 0.0) for number in range(WAITING + 1)]
    assert taken == [True] * WAITING + [False]
    assert outbox.add(event("0"), 0.0)
    assert len(outbox) == WAITING


@given(st.lists(st.tuples(st.sampled_from("abc"), st.floats(0.0, 100.0)), max_size=50))
def test_nothing_is_lost_or_told_twice(steps: list[tuple[str, float]]) -> None:
    outbox, now_s, told = Outbox(FOLD_S), 0.0, 0
    for what, pause_s in steps:
        now_s += pause_s
        outbox.add(event(what), now_s)
        if message := outbox.take(now_s):
            told += message.times
    while (now_s := outbox.next_s()) < math.inf:
        message = outbox.take(now_s)
        assert message is not None
        told += message.times
    assert told == len(steps)
