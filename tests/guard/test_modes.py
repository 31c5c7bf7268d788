"""The ladder: each mode, each kind of change, and how a decision is split."""

from __future__ import annotations

from itertools import pairwise

import pytest

from trimtab_guard.model import Verdict, Want
from trimtab_guard.modes import LADDER, Authority, Change, Gate, Mode, authority, split

PRESENT = (Want("od", 5, 0.5), Want("spot", 5, 0.5))


def decided(od: tuple[int, float], spot: tuple[int, float]) -> Verdict:
    return Verdict("web", 0.0, (Want("od", *od), Want("spot", *spot)))


@pytest.mark.parametrize(
    ("mode", "up", "down", "route", "restart"),
    [
        ("shadow", "shadow", "shadow", "shadow", "shadow"),
        ("approve", "ask", "ask", "ask", "ask"),
        ("assist", "act", "ask", "ask", "ask"),
        ("guarded", "act", "act", "act", "ask"),
    ],
)
def test_the_ladder(mode: str, up: str, down: str, route: str, restart: str) -> None:
    got = [authority(Mode(mode), change) for change in Change]
    assert got == [Authority(up), Authority(down), Authority(route), Authority(restart)]


def test_each_rung_grants_at_least_what_the_one_below_grants() -> None:
    order = list(Authority)
    rungs = [[order.index(LADDER[mode][change]) for change in Change] for mode in Mode]
    for lower, higher in pairwise(rungs):
        assert all(a <= b for a, b in zip(lower, higher, strict=True))


BOTH_WAYS = decided((8, 0.6), (3, 0.4))


@pytest.mark.parametrize(
    ("mode", "gate"),
    [
        pytest.param(Mode.SHADOW, Gate((), (), BOTH_WAYS.backends), id="shadow"),
        pytest.param(Mode.APPROVE, Gate((), BOTH_WAYS.backends, ()), id="approve"),
        pytest.param(
            Mode.ASSIST,
            Gate((Want("od", 8, 0.5),), (Want("od", 5, 0.6), Want("spot", 3, 0.4)), ()),
            id="assist",
        ),
        pytest.param(Mode.GUARDED, Gate(BOTH_WAYS.backends, (), ()), id="guarded"),
    ],
)
def test_a_decision_is_split_by_backend_and_direction(mode: Mode, gate: Gate) -> None:
    assert split(PRESENT, BOTH_WAYS, mode) == gate


@pytest.mark.parametrize("mode", Mode)
def test_nothing_to_change_is_nothing_to_do(mode: Mode) -> None:
    assert split(PRESENT, decided((5, 0.5), (5, 0.5)), mode) == Gate((), (), ())
    assert split(PRESENT, Verdict("web", 0.0, ()), mode) == Gate((), (), ())


@pytest.mark.parametrize("mode", Mode)
def test_unknown_backends_are_in_no_part(mode: Mode) -> None:
    assert split((), BOTH_WAYS, mode) == Gate((), (), ())
    assert split(PRESENT[:1], decided((5, 0.5), (9, 0.5)), mode) == Gate((), (), ())


@pytest.mark.parametrize(("share", "moves"), [(0.5009, False), (0.501, True), (0.499, True)])
def test_rounding_is_no_move(share: float, moves: bool) -> None:
    gate = split(PRESENT, decided((5, share), (5, 1 - share)), Mode.GUARDED)
    assert bool(gate.act) == moves
    scaled = split(PRESENT, decided((6, share), (5, 0.5)), Mode.GUARDED).act
    assert scaled == (Want("od", 6, share if moves else 0.5),)


@pytest.mark.parametrize(("share", "moves"), [(0.000999, False), (0.001, True)])
def test_the_smallest_move_is_a_thousandth(share: float, moves: bool) -> None:
    """From a share of zero, where nothing is lost to rounding."""
    now = (Want("od", 5, 0.0),)
    gate = split(now, Verdict("web", 0.0, (Want("od", 5, share),)), Mode.GUARDED)
    assert bool(gate.act) == moves
