"""Limits that make no sense are refused, by name, value and what is allowed."""

from __future__ import annotations

import math
from typing import Any

import pytest

from trimtab_guard.limits import BackendLimits, ClusterLimits, DrillLimits, Limits, bounds

from .world import limits


@pytest.mark.parametrize("kind", [BackendLimits, Limits])
def test_every_numeric_field_has_a_range_that_holds_its_default(kind: type) -> None:
    numeric = bounds(kind)
    plain = {"name", "service", "backends"}
    assert set(numeric) == set(kind.__slots__) - plain
    owner = BackendLimits("od") if kind is BackendLimits else limits()
    assert all(b.least <= getattr(owner, name) <= b.most for name, (_, b) in numeric.items())


EDGES = [
    (kind, name, number, bound)
    for kind in (BackendLimits, Limits)
    for name, (number, bound) in bounds(kind).items()
]


@pytest.mark.parametrize(
    ("kind", "name", "number", "bound"), EDGES, ids=[f"{e[0].__name__}.{e[1]}" for e in EDGES]
)
def test_each_field_is_refused_just_outside_its_range(
    kind: type, name: str, number: type, bound: Any
) -> None:
    just = 1 if number is int else 1e-9 * max(1.0, bound.most)
    wrong = [bound.least - just, bound.most + just, "7", None, True]
    wrong += [] if number is int else [math.nan, math.inf]
    wrong += [2.5] if number is int else []
    for value in wrong:
        with pytest.raises(ValueError, match=f"{name} is {value!r}; it must be a "):
            BackendLimits("od", **{name: value}) if kind is BackendLimits else limits(
                **{name: value}
            )


@pytest.mark.parametrize(
    ("build", "message"),
    [
        pytest.param(
            lambda: BackendLimits("od", 5, 4),
            "backend 'od': min_replicas is 5; it must be at most max_replicas, 4",
            id="min over max",
        ),
        pytest.param(
            lambda: BackendLimits("od", -1),
            "backend 'od': min_replicas is -1; it must be a whole number from 0 to 100000 replicas",
            id="a whole number",
        ),
        pytest.param(
            lambda: limits(flap_budget=1),
            "service 'web': flap_budget is 1; it must be a number from 2 to 1000 x max_replicas",
            id="a number",
        ),
        pytest.param(
            lambda: DrillLimits(proxy_s=61),
            "drills: proxy_s is 61; it must be a number from 0 to 60 s",
            id="of drills",
        ),
        pytest.param(
            lambda: ClusterLimits(budget=-1),
            "cluster: budget is -1; it must be a number from 0 to 1e+09 price x replicas",
            id="cluster",
        ),
        pytest.param(
            lambda: BackendLimits(""),
            "a backend has no name; every backend needs one",
            id="nameless backend",
        ),
        pytest.param(
            lambda: limits(service=""),
            "a service has no name; every service needs one",
            id="nameless service",
        ),
        pytest.param(
            lambda: limits(backends=()),
            "service 'web': backends is empty; it must list at least one",
            id="no backend",
        ),
        pytest.param(
            lambda: limits(backends=(BackendLimits("od"), BackendLimits("od"))),
            "service 'web': backends lists ['od', 'od']; each name may appear once",
            id="backend twice",
        ),
        pytest.param(
            lambda: limits(blind_s=3.0),
            "service 'web': blind_s is 3.0; "
            "it must be more than stale_intervals x interval_s, 3.0 s",
            id="blind before stale",
        ),
        pytest.param(
            lambda: limits().scaled(0), "speed is 0; it must be more than 0", id="speed 0"
        ),
        pytest.param(
            lambda: limits().scaled(-1), "speed is -1; it must be more than 0", id="speed negative"
        ),
        pytest.param(
            lambda: limits().scaled(math.nan), "speed is nan; it must be more than 0", id="no speed"
        ),
        pytest.param(
            lambda: limits().scaled(math.inf),
            "speed is inf; it must be more than 0",
            id="speed infinite",
        ),
        pytest.param(
            lambda: limits().scaled(0.01),
            "service 'web': rate_window_s is 6000.0; it must be a number from 0.001 to 3600 s",
            id="speed tiny",
        ),
    ],
)
def test_contradictions_are_named(build: Any, message: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011  # the message is compared below
        build()
    assert str(caught.value) == message


def test_bounds_may_touch() -> None:
    assert BackendLimits("od", 4, 4).max_replicas == 4
    assert limits(blind_s=3.001).stale_s == 3.0
    assert limits(weight_step=0, headroom=10, interval_s=0.5).stale_s == 1.5


@pytest.mark.parametrize("owner", [limits(), ClusterLimits()], ids=["service", "cluster"])
def test_at_the_speed_of_life_all_stays(owner: Limits | ClusterLimits) -> None:
    assert owner.scaled(1) == owner


def test_speed_shrinks_the_policys_windows_and_leaves_the_sensors() -> None:
    slow, fast = limits(), limits().scaled(30)
    shrunk = {name for name in bounds(Limits) if getattr(fast, name) != getattr(slow, name)}
    assert shrunk == {
        "rate_window_s", "flap_window_s", "hold_s", "gap_s", "weight_interval_s", "verify_s",
        "cool_s",
        "drop_s", "envelope_s",
    }  # fmt: skip
    assert (fast.rate_window_s, fast.hold_s) == (2.0, 10.0)
    assert fast.backends == slow.backends


@pytest.mark.parametrize(("gap_s", "expected_s"), [(60.0, 60.0), (2.0, 3.0)])
def test_a_gap_in_memory_is_never_shorter_than_ticks_may_be_apart(
    gap_s: float, expected_s: float
) -> None:
    assert limits(gap_s=gap_s).memory_gap_s == expected_s
