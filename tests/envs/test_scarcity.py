"""When replicas count as scarce, and what a service does about it."""

from __future__ import annotations

import numpy as np
import pytest

from trimtab_envs.action import NEUTRAL, decode, one_hot
from trimtab_envs.scarcity import HEADROOM, HOLD_S, MEMORY_S, REFUSED_S, Scarcity
from trimtab_sim.profile import BackendProfile, Profile, Profiles
from trimtab_sim.signals import Sensed

TICK_S = 5.0
LONG = int(REFUSED_S / TICK_S) + 3
TWO = Profiles.stack([Profile("s", (BackendProfile("spot", max_replicas=5), BackendProfile("b")))])
Pair = tuple[float, float]


def sensed(wanted: Pair, ready: Pair) -> Sensed:
    nothing, one = np.zeros((1, 2)), np.zeros(1)
    return Sensed(
        time_s=one,
        age_s=one,
        miss_share=one,
        rate_rps=nothing,
        in_flight=nothing,
        error_share=nothing,
        wanted=np.array([wanted], float),
        starting=nothing,
        ready=np.array([ready], float),
        draining=nothing,
        weight=np.full((1, 2), 0.5),
    )


def lived(*past: tuple[Pair, Pair, Pair, int]) -> Scarcity:
    """After phases of (asked, wanted, ready, ticks)."""
    scarcity = Scarcity(TWO, TICK_S)
    for asked, wanted, ready, ticks in past:
        for _ in range(ticks):
            scarcity.update(sensed(wanted, ready))
            scarcity.ask(np.array([asked], float))
    return scarcity


CALM = ((3.0, 3.0), (3.0, 3.0), (3.0, 3.0))
FOLLOWED = (((3.0, 3.0), (1.0, 1.0), (1.0, 1.0), 1), (*CALM, 2))
REFUSED = ((5.0, 9.0), (5.0, 3.0), (5.0, 3.0), LONG)


@pytest.mark.parametrize(
    ("past", "felt"),
    [
        pytest.param([*FOLLOWED], False, id="all is granted"),
        pytest.param([*FOLLOWED, REFUSED], True, id="one is at its most, the other is refused"),
        pytest.param([REFUSED], False, id="in shadow nobody follows"),
        pytest.param([*FOLLOWED, (*REFUSED[:3], 3)], False, id="a rate limit is soon over"),
        pytest.param(
            [*FOLLOWED, ((3, 9), (3, 9), (3, 3), LONG)], False, id="the other backend could grow"
        ),
        pytest.param(
            [*FOLLOWED, ((5, 9), (5, 9), (5, 3), LONG)], True, id="granted, but no node has room"
        ),
        pytest.param(
            [*FOLLOWED, REFUSED, (*CALM, int(MEMORY_S / TICK_S) - 1)], True, id="for an hour"
        ),
        pytest.param(
            [*FOLLOWED, REFUSED, (*CALM, int(MEMORY_S / TICK_S) + 1)], False, id="then over"
        ),
    ],
)
def test_felt(past: list[tuple[Pair, Pair, Pair, int]], felt: bool) -> None:
    assert lived(*past).felt.tolist() == [felt]


def test_a_new_service_knows_nothing_of_the_one_before() -> None:
    scarcity = lived(*FOLLOWED, REFUSED)
    scarcity.reset(np.array([True]), TWO)
    assert scarcity.felt.tolist() == [False]


def test_scarce_is_sober() -> None:
    price = np.array([250.0])
    bold = decode(one_hot(np.tile((2, 9, 0, 2, 2, 2), (1, 2, 1))), price, TWO.startup_mean_s)
    calm = lived(*FOLLOWED).tempered(bold, price)
    assert calm is bold
    sober = lived(*FOLLOWED, REFUSED).tempered(bold, price)
    assert (sober.headroom == HEADROOM).all()
    assert (sober.hold_s > HOLD_S).all()
    assert (sober.wait == 0.0).all()


def test_scarce_asks_for_no_more_than_was_chosen() -> None:
    price = np.array([10.0])
    thrifty = decode(one_hot(np.tile(NEUTRAL, (1, 2, 1))), price, TWO.startup_mean_s)
    sober = lived(*FOLLOWED, REFUSED).tempered(thrifty, price)
    assert (sober.headroom == np.minimum(thrifty.headroom, HEADROOM)).all()
