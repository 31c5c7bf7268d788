"""Ten minutes in slots: what was not measured is a hole, never a zero."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab_controller.console.history import (
    SLOT_S,
    SLOTS,
    SPAN_S,
    History,
    Sample,
    measured,
    sample,
)
from trimtab_proto.v1 import controller_pb2 as pb

START_S = 1_800_000_000.0


def load(now: Sample) -> float | None:
    return now.load_rps


def lines(history: History, now_s: float) -> list[list[float]]:
    return [[y for _, y in line] for line in history.lines(load, now_s)]


@pytest.mark.parametrize(
    ("ticks", "shown"),
    [
        ([], []),
        ([(0, 5.0)], [[5.0]]),
        ([(0, 5.0), (1, 6.0), (2, 7.0)], [[7.0]]),
        ([(0, 5.0), (4, 6.0), (8, 7.0)], [[5.0, 6.0, 7.0]]),
        ([(0, 5.0), (4, None), (8, 7.0)], [[5.0], [7.0]]),
        ([(0, 5.0), (12, 7.0)], [[5.0], [7.0]]),
        ([(8, 5.0), (0, 7.0)], [[5.0]]),
        ([(0, 0.0), (4, 0.0)], [[0.0, 0.0]]),
    ],
    ids=["nothing", "one", "the last of a slot", "a line", "not measured", "no tick", "too late",
         "a real zero"],
)  # fmt: skip
def test_lines(ticks: list[tuple[float, float | None]], shown: list[list[float]]) -> None:
    history = History()
    for after_s, rps in ticks:
        history.add(START_S + after_s, Sample(load_rps=rps))
    assert lines(history, START_S + 12) == shown


def test_a_slot_keeps_its_most_misses() -> None:
    history = History()
    for after_s, misses in ((0, 0.2), (1, None), (2, 0.1)):
        history.add(START_S + after_s, Sample(miss_share=misses))
    assert [y for line in history.lines(lambda s: s.miss_share, START_S) for _, y in line] == [0.2]


@given(st.lists(st.tuples(st.floats(0, 3 * SPAN_S), st.none() | st.floats(0, 1e9)), max_size=200))
def test_it_never_keeps_more_than_the_span_nor_shows_a_point_outside_of_it(
    ticks: list[tuple[float, float | None]],
) -> None:
    history = History()
    for after_s, rps in sorted(ticks, key=lambda tick: tick[0]):
        history.add(START_S + after_s, Sample(load_rps=rps))
    now_s = START_S + max((after_s for after_s, _ in ticks), default=0.0)
    points = [point for line in history.lines(load, now_s) for point in line]
    assert len(points) <= SLOTS == SPAN_S / SLOT_S
    assert all(0.0 <= x <= 1.0 and y is not None for x, y in points)
    assert points == sorted(points, key=lambda point: point[0])


def test_what_the_daemon_could_not_see_is_no_data() -> None:
    assert sample(pb.ServiceStatus(p95_ms=0.0, miss_share=0.0)) == Sample()
    idle = pb.ServiceStatus(
        backends=[pb.BackendStatus(name="a", ready=2, wanted=3, rate_rps=math.nan)],
        miss_share=math.nan,
        p95_ms=80.0,
    )
    assert sample(idle) == Sample(None, 2, 3, None, 80.0)


@pytest.mark.parametrize("value", [math.nan, math.inf, -1.0])
def test_an_impossible_reading_is_none(value: float) -> None:
    assert measured(value) is None
