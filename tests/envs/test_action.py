"""The rule that actions parametrise: what it asks for, in tables and properties."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trimtab_envs.action import ACTION_DIMS, NEUTRAL, Rule, Setting, decode, one_hot
from trimtab_envs.memory import ESTIMATES
from trimtab_sim.profile import BackendProfile, Profile, Profiles

# Replicas carry 80 rps each; spot costs 0.5.
TWO = Profiles.stack(
    [
        Profile(
            "s",
            (BackendProfile("a", max_replicas=10), BackendProfile("b", price=0.5, max_replicas=10)),
        )
    ]
)
NOW = np.tile(np.eye(len(ESTIMATES))[0], (1, 2, 1))


def setting(
    headroom: float = 1.0,
    hold_s: float = 0.0,
    wait: float = 0.0,
) -> Setting:
    def wide(value: float) -> np.ndarray:
        return np.full((1, 2), value)

    return Setting(NOW, wide(headroom), wide(hold_s), wide(1.0), wide(1.0), wide(wait))


def size(
    rule: Rule,
    load_rps: float,
    chosen: Setting,
    wanted: tuple[int, int] = (0, 0),
    ahead: float = 1.0,
    soon: tuple[float, float] = (np.inf, np.inf),
    ready: tuple[float, float] = (0.0, 0.0),
) -> list[float]:
    estimates = np.full((len(ESTIMATES), 1, 2), load_rps)
    replicas, _ = rule.replicas(
        chosen,
        np.array([[1 / 3, 2 / 3]]),
        np.array([soon]),
        estimates,
        estimates[0],
        np.full((1, 2), ahead),
        np.zeros((1, 2)),
        np.array([wanted], float),
        np.array([ready]),
        np.ones((1, 1), bool),
    )
    return replicas[0].tolist()


@pytest.mark.parametrize(
    ("load_rps", "headroom", "expected"),
    [
        pytest.param(240, 1.0, [1, 2], id="each for its share"),
        pytest.param(240, 1.5, [2, 3], id="headroom multiplies"),
        pytest.param(0, 1.0, [1, 1], id="never below min"),
        pytest.param(1500, 1.0, [9, 10], id="beyond one maximum the rest spills"),
        pytest.param(9999, 1.0, [10, 10], id="never above max"),
    ],
)
def test_sizes(load_rps: float, headroom: float, expected: list[float]) -> None:
    assert size(Rule(TWO, 5.0), load_rps, setting(headroom)) == expected


@pytest.mark.parametrize(
    ("soon", "expected"),
    [
        pytest.param((np.inf, 0.0), [3, 2], id="the other carries all, and it is asked again"),
        pytest.param((np.inf, 1.0), [2, 2], id="what it has counts"),
        pytest.param((0.0, 0.0), [1, 2], id="nobody can help"),
    ],
)
def test_what_a_backend_cannot_have_others_build(
    soon: tuple[float, float], expected: list[float]
) -> None:
    assert size(Rule(TWO, 5.0), 240, setting(), soon=soon) == expected


def test_waiting_for_a_jump_does_not_forget_what_a_backend_cannot_have() -> None:
    chosen = setting(headroom=3.0, wait=1.0)
    calm = size(Rule(TWO, 5.0), 240, chosen, ahead=0.0, soon=(np.inf, 0.0))
    assert calm[0] == 4  # all of 240 rps at BARE, for the other has none


@pytest.mark.parametrize(
    ("ready", "soon", "expected"),
    [
        pytest.param((6, 0), (np.inf, np.inf), [3, 2], id="two have to start: two stay for them"),
        pytest.param((6, 1), (np.inf, np.inf), [2, 2], id="one serves: one may go"),
        pytest.param((6, 2), (np.inf, np.inf), [1, 2], id="all serve: all may go"),
        pytest.param((6, 0), (np.inf, 0.0), [3, 2], id="none will come: the other carries all"),
        pytest.param((1, 0), (np.inf, np.inf), [1, 2], id="nothing is there that could stay"),
    ],
)
def test_replicas_stay_until_others_serve_instead(
    ready: tuple[float, float], soon: tuple[float, float], expected: list[float]
) -> None:
    wanted = (int(ready[0]), int(ready[1]))
    assert size(Rule(TWO, 5.0), 180, setting(), wanted, soon=soon, ready=ready) == expected


def test_capacity_is_let_go_over_the_hold_time() -> None:
    rule = Rule(TWO, 5.0)
    before = size(rule, 960, setting(hold_s=60.0))
    counts = [size(rule, 80, setting(hold_s=60.0), wanted=(10, 10))[1] for _ in range(60)]
    assert counts[0] >= before[1] - 1
    assert counts == sorted(counts, reverse=True)
    assert counts[-1] == 1


def test_a_fraction_of_a_replica_is_not_worth_a_scale_down() -> None:
    rule = Rule(TWO, 5.0)
    assert size(rule, 235, setting(), wanted=(1, 2)) == [1, 2]
    assert size(rule, 130, setting(), wanted=(1, 3)) == [1, 2]


@settings(max_examples=200)
@given(
    action=st.tuples(*(st.integers(0, size - 1) for size in ACTION_DIMS)),
    loads=st.lists(st.floats(0.0, 1e6), min_size=1, max_size=20),
    miss_price=st.floats(0.1, 1e4),
)
def test_every_action_stays_within_the_backends_limits(
    action: tuple[int, ...], loads: list[float], miss_price: float
) -> None:
    rule = Rule(TWO, 5.0)
    chosen = decode(one_hot(np.tile(action, (1, 2, 1))), np.array([miss_price]), TWO.startup_mean_s)
    wanted = (1, 1)
    for load in loads:
        replicas = size(rule, load, chosen, wanted)
        assert all(1 <= count <= 10 and count == int(count) for count in replicas)
        wanted = (int(replicas[0]), int(replicas[1]))


def test_neutral_is_inside_the_action_space() -> None:
    assert all(0 <= index < size for index, size in zip(NEUTRAL, ACTION_DIMS, strict=True))
