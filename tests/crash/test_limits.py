"""The recomputed limits, at their edges."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from trimtab_controller.memory import Outcome, TickRecord
from trimtab_controller.protocols import Ask, Intent
from trimtab_guard.limits import BackendLimits, Limits
from trimtab_guard.model import BackendState, Proposal, Reading, State, Want
from trimtab_guard.modes import Mode

from .limits import Bill, Past, cost, fall, overspent, rise, route, unremembered

NOW_S = 1000.0
LIMITS = Limits(
    service="web",
    backends=(BackendLimits("a", 1, 20),),
    rate_window_s=60.0,
    up_replicas=2,
    up_percent=50,
    hold_s=100.0,
    gap_s=30.0,
    weight_interval_s=40.0,
    weight_step=0.1,
)


def watched(*ticks: tuple[float, int]) -> tuple[TickRecord, ...]:
    """Ticks so many seconds ago, with what was proposed then."""
    return tuple(
        TickRecord(
            service="web",
            time_s=NOW_S - ago_s,
            mode=Mode.GUARDED,
            outcome=Outcome.UNCHANGED,
            proposal=Proposal("web", "test", NOW_S - ago_s, (Want("a", replicas, 1.0),)),
        )
        for ago_s, replicas in ticks
    )


def past(*levels: tuple[float, float], ticks: tuple[TickRecord, ...] = ()) -> Past:
    """Levels from so many seconds ago on. A replica serves 12 rps, 10 with headroom."""
    known = [(NOW_S - ago_s, level) for ago_s, level in levels]
    return Past(LIMITS, {"a": 12.0, "b": 12.0}, {"a": known}, {"a": known}, ticks)


def seen(share: float, ready: tuple[int, int], load_rps: float = 100.0) -> State:
    """Now: the share of a, the ready replicas of a and b, and the load of both together."""
    backends = tuple(
        BackendState(name, n, 0, n, 0, weight, Reading(load_rps / 2, NOW_S), Reading(0.0, NOW_S))
        for name, n, weight in zip("ab", ready, (share, 1 - share), strict=True)
    )
    return State("web", NOW_S, NOW_S, backends, *[Reading(0.0, NOW_S)] * 3)


def floor(replicas: int) -> Ask:
    return Ask("a", 0, replicas, None)


def share(weight: float) -> Ask:
    return Ask("a", 0, None, weight)


def always(_past: Past, _ask: Ask, now_s: float) -> Iterator[str]:
    return unremembered(_past, now_s)


WHOLE = watched(*((ago_s, 2) for ago_s in range(120, -1, -30)))

EDGES: list[tuple[str, Callable[..., Iterator[str]], Past, Ask, bool]] = [
    ("grows as allowed", rise, past((90, 2), (50, 4)), floor(4), False),
    ("grows too far from the start of the window", rise, past((90, 2), (50, 4)), floor(5), True),
    ("grows from what is long gone", rise, past((90, 2), (61, 4)), floor(6), False),
    ("grows by the larger of share and number", rise, past((90, 10)), floor(15), False),
    ("grows by more than both", rise, past((90, 10)), floor(16), True),
    ("shrinks by one", fall, past((90, 8), ticks=WHOLE), floor(7), False),
    ("shrinks by one more", fall, past((90, 8), (5, 7), ticks=WHOLE), floor(6), True),
    ("shrinks below a proposal", fall, past((90, 8), ticks=watched((99, 8))), floor(7), True),
    ("an old proposal", fall, past((90, 8), ticks=watched((101, 8), (0, 1))), floor(7), False),
    ("watched all along", always, past(ticks=WHOLE), floor(1), False),
    ("just started", always, past(ticks=watched((99, 1), (70, 1), (0, 1))), floor(1), True),
    ("a hole", always, past(ticks=watched((150, 1), (99, 1), (70, 1), (0, 1))), floor(1), True),
]


@pytest.mark.parametrize(
    ("check", "known", "ask", "broken"),
    [edge[1:] for edge in EDGES],
    ids=[edge[0] for edge in EDGES],
)
def test_a_broken_limit_is_seen(
    check: Callable[..., Iterator[str]], known: Past, ask: Ask, broken: bool
) -> None:
    assert bool(list(check(known, ask, NOW_S))) == broken


STEPPED, JUMPED = past((90, 0.5), (10, 0.45)), past((90, 0.9), (10, 0.4))
NAN = float("nan")


@pytest.mark.parametrize(
    ("known", "state", "least", "most"),
    [
        pytest.param(STEPPED, seen(0.45, (9, 9)), 0.4, 0.55, id="steps over the interval"),
        pytest.param(past((90, 0.5), (41, 0.45)), seen(0.45, (9, 9)), 0.35, 0.55, id="a new one"),
        pytest.param(STEPPED, seen(0.45, (2, 9)), 0.2, 0.55, id="as low as 2 of 10 can carry"),
        pytest.param(STEPPED, seen(0.45, (9, 3)), 0.4, 0.7, id="what 3 of 10 cannot carry"),
        pytest.param(STEPPED, seen(0.45, (3, 3)), 0.3, 0.7, id="all are too small"),
        pytest.param(STEPPED, seen(0.45, (0, 9)), 0.0, 0.55, id="away from the dead"),
        pytest.param(STEPPED, seen(0.45, (9, 0)), 0.4, 1.0, id="to the only one that lives"),
        pytest.param(STEPPED, seen(0.45, (0, 0)), 0.4, 0.55, id="nobody is ready"),
        pytest.param(STEPPED, seen(0.45, (1, 1), 0.0), 0.4, 0.55, id="no load"),
        pytest.param(STEPPED, seen(0.45, (1, 1), NAN), 0.4, 0.55, id="who knows the load"),
        pytest.param(JUMPED, seen(0.4, (9, 9)), 0.4, 0.5, id="not back again at once"),
    ],
)
def test_a_share_moves_by_steps_or_away_from_what_cannot_carry_it(
    known: Past, state: State, least: float, most: float
) -> None:
    for weight, broken in ((least, 0), (most, 0), (least - 0.001, 1), (most + 0.001, 1)):
        assert len(list(route(known, share(weight), state, NOW_S))) == broken, weight


@pytest.mark.parametrize(
    ("bills", "broken"),
    [
        pytest.param([Bill(0.0, 3.0), Bill(9.0, 1.0)], 0, id="all of it"),
        pytest.param([Bill(0.0, 3.0), Bill(9.0, 1.4)], 1, id="more than there is"),
        pytest.param([Bill(0.0, 3.0), Bill(10.1, 4.0)], 0, id="a new window"),
        pytest.param([Bill(0.0, 3.0), Bill(9.0, 2.0, True)], 0, id="a rollback"),
        pytest.param([Bill(0.0, 5.0, True), Bill(9.0, 0.0)], 0, id="for nothing"),
        pytest.param([Bill(0.0, 5.0, True), Bill(9.0, 0.4)], 1, id="after a rollback"),
    ],
)
def test_who_spends_more_than_there_is_is_seen(bills: list[Bill], broken: int) -> None:
    assert len(list(overspent(bills, budget=4.0, window_s=10.0))) == broken


def test_only_new_replicas_cost() -> None:
    asks = (Ask("a", 3, 5, None), Ask("b", 3, 3, None), Ask("c", 3, None, 0.4))
    assert cost(Intent("id", "web", 0.0, "1", asks), {"a": 0.4, "b": 1.0, "c": 1.0}) == 0.8
