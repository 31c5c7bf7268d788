"""A drill's blast radius: each edge by itself, and that none of them is ever crossed."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab_guard.blast import (
    Blast,
    Breach,
    Edge,
    Group,
    Strike,
    breach,
    missed,
    narrower,
    refusal,
)
from trimtab_guard.limits import DrillLimits, bounds

NOW_S = 1_700_000_000.0
STALE_S = 3.0
LIMITS = DrillLimits(replicas_share=0.5, lasts_s=60.0, error_budget_s=10.0, proxy_s=5.0)
GROUPS = (Group("od", 4, 0, 0.5), Group("spot", 4, 0, 0.5))


def blast(**fields: Any) -> Blast:
    """A drill whose first fault is just now, of eight replicas."""
    return Blast(**{"begun_s": NOW_S, "seen_s": NOW_S, "ready": 8, "groups": GROUPS} | fields)


def od(ready: int = 4, hit: int = 0, weight: float = 0.5) -> tuple[Group, ...]:
    return Group("od", ready, hit, weight), GROUPS[1]


def edge(found: Breach | None) -> str:
    return found.edge if found else ""


@pytest.mark.parametrize(
    ("fields", "after_s", "expected"),
    [
        pytest.param({}, 0.0, "", id="it may go on"),
        pytest.param({"barred": "stopped"}, 0.0, "STANDING", id="trimtab may not act"),
        pytest.param({"seen_s": NOW_S + 60.0}, 60.0, "", id="to the last second"),
        pytest.param({"seen_s": NOW_S + 60.1}, 60.1, "TIME", id="over its time"),
        pytest.param({}, -0.1, "TIME", id="a clock that went back"),
        pytest.param({}, math.nan, "TIME", id="no time"),
        pytest.param({"missed_s": 10.0}, 0.0, "", id="to the last miss"),
        pytest.param({"missed_s": 10.1}, 0.0, "BUDGET", id="over its budget"),
        pytest.param({}, 3.0, "", id="not seen for three ticks"),
        pytest.param({}, 3.1, "UNSEEN", id="not seen for longer"),
        pytest.param({"seen_s": -math.inf}, 0.0, "UNSEEN", id="never seen"),
        pytest.param({"groups": od(ready=4, hit=3)}, 0.0, "", id="one is left"),
        pytest.param({"groups": od(ready=3, hit=3)}, 0.0, "TOO_FEW", id="none is left"),
        pytest.param({"groups": od(ready=0)}, 0.0, "TOO_FEW", id="all are gone"),
        pytest.param({"groups": od(ready=0, weight=0.0)}, 0.0, "", id="off the route"),
        pytest.param({"groups": od(ready=0, weight=0.01)}, 0.0, "TOO_FEW", id="still on it"),
    ],
)
def test_what_ends_a_drill(fields: dict[str, Any], after_s: float, expected: str) -> None:
    assert edge(breach(LIMITS, blast(**fields), STALE_S, NOW_S + after_s)) == expected


@pytest.mark.parametrize(
    ("strike", "fields", "after_s", "expected"),
    [
        pytest.param(Strike("od", 1), {}, 0.0, "", id="one replica"),
        pytest.param(Strike("od", 3), {}, 0.0, "", id="all but one"),
        pytest.param(Strike("od", 4), {}, 0.0, "TOO_FEW", id="all of a backend"),
        pytest.param(Strike("od", 1), {"groups": od(hit=3)}, 0.0, "TOO_FEW", id="the last one"),
        pytest.param(Strike("od", 1), {"groups": od(hit=2)}, 0.0, "", id="the last but one"),
        pytest.param(Strike("gone", 1), {}, 0.0, "TOO_FEW", id="a backend that is not there"),
        pytest.param(Strike("od", 2), {"killed": 2}, 0.0, "", id="half, with those killed"),
        pytest.param(Strike("od", 2), {"killed": 3}, 0.0, "RADIUS", id="more than half"),
        pytest.param(
            Strike("od", 2),
            {"groups": (GROUPS[0], Group("spot", 4, 3, 0.5))},
            0.0,
            "RADIUS",
            id="more than half, with those of the other backend",
        ),
        pytest.param(Strike("od", 1), {"ready": 1}, 0.0, "RADIUS", id="half of one is none"),
        pytest.param(Strike("od", 1, 60.0), {}, 0.0, "", id="for all of the time"),
        pytest.param(Strike("od", 1, 60.1), {}, 0.0, "TIME", id="for longer"),
        pytest.param(Strike("od", 1, 50.0), {}, 10.1, "TIME", id="begun too late"),
        pytest.param(Strike("od", 1, math.nan), {}, 0.0, "TIME", id="for no time"),
        pytest.param(Strike(lasts_s=60.0), {"ready": 0}, 0.0, "", id="of no replica"),
        pytest.param(Strike(lasts_s=5.0, proxy=True), {}, 0.0, "", id="the proxy"),
        pytest.param(Strike(lasts_s=5.1, proxy=True), {}, 0.0, "PROXY", id="the proxy, longer"),
        pytest.param(Strike(lasts_s=5.1), {}, 0.0, "", id="no proxy"),
    ],
)
def test_what_may_be_broken(
    strike: Strike, fields: dict[str, Any], after_s: float, expected: str
) -> None:
    assert edge(refusal(LIMITS, strike, blast(**fields), NOW_S + after_s)) == expected


@pytest.mark.parametrize(
    ("fields", "after_s", "says"),
    [
        ({"barred": "trimtab is stopped"}, 0.0, "trimtab is stopped"),
        ({}, 61.4, "faults since 61 s, the most is 60 s"),
        (
            {"missed_s": 12.34},
            0.0,
            "misses worth 12.3 s of a full outage, the most is 10 s",
        ),
        ({}, 4.04, "nobody has seen how requests fare for 4.0 s"),
        ({"groups": od(1, 2)}, 0.0, "0 ready replicas of od left untouched, the least is 1"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_ended_it_is_told_with_what_is_allowed(
    fields: dict[str, Any], after_s: float, says: str
) -> None:
    found = breach(LIMITS, blast(**fields), STALE_S, NOW_S + after_s)
    assert found
    assert found.why == says


@pytest.mark.parametrize(
    ("strike", "after_s", "says"),
    [
        (Strike("od", 3), 0.0, "5 replicas would be hit, the most is 4, 50% of the 8 that were "),
        (Strike("od", 2), 0.0, "1 ready replicas of od left untouched, the least is 2"),
        (Strike("od", 1, 54.6), 10.0, "it would end after 65 s, the most is 60 s"),
        (Strike("", 0, 8.0, True), 0.0, "the proxy would be stopped for 8 s, the most is 5 s"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_was_refused_is_told_with_what_is_allowed(
    strike: Strike, after_s: float, says: str
) -> None:
    limits = replace(LIMITS, replicas_left=2)
    found = refusal(limits, strike, blast(killed=2, groups=od(3)), NOW_S + after_s)
    assert found
    assert found.why.startswith(says)


def test_what_is_not_said_of_a_fault_or_a_drill_is_nothing() -> None:
    assert Strike() == ("", 0, 0.0, False)
    assert blast() == Blast(NOW_S, NOW_S, 8, GROUPS, killed=0, missed_s=0.0, barred="")


def test_by_default_the_proxy_is_never_stopped_and_a_third_of_few_is_none() -> None:
    usual = DrillLimits()
    assert edge(refusal(usual, Strike(lasts_s=0.1, proxy=True), blast(), NOW_S)) == Edge.PROXY
    assert edge(refusal(usual, Strike("od", 1), blast(ready=2), NOW_S)) == Edge.RADIUS
    assert refusal(usual, Strike("od", 1), blast(ready=3), NOW_S) is None


@pytest.mark.parametrize(
    ("share", "ready", "most"), [(0.7, 10, 7), (0.29, 100, 29), (1.0, 3, 3), (0.0, 9, 0)]
)
def test_a_share_of_replicas_is_rounded_down_and_no_further(
    share: float, ready: int, most: int
) -> None:
    limits = replace(LIMITS, replicas_share=share)
    found = blast(ready=ready, groups=(Group("od", 1000, 0, 1.0),))
    assert most == 0 or refusal(limits, Strike("od", most), found, NOW_S) is None
    assert edge(refusal(limits, Strike("od", most + 1), found, NOW_S)) == Edge.RADIUS


@pytest.mark.parametrize(
    ("share", "seconds"),
    [(0.0, 0.0), (0.25, 0.5), (0.75, 1.5), (1.0, 2.0), (math.nan, 2.0), (-0.1, 2.0), (1.1, 2.0)],
)
def test_what_cannot_be_seen_has_missed(share: float, seconds: float) -> None:
    assert missed(share, 2.0) == seconds


RADIUS = st.builds(
    DrillLimits,
    replicas_share=st.floats(0, 1),
    replicas_left=st.integers(1, 5),
    lasts_s=st.floats(1, 3600),
    error_budget_s=st.floats(0, 3600),
    proxy_s=st.floats(0, 60),
)


@given(RADIUS, RADIUS)
def test_of_two_radiuses_the_smaller_holds(asked: DrillLimits, allowed: DrillLimits) -> None:
    both = narrower(asked, allowed)
    for name in bounds(DrillLimits):
        choose = max if name == "replicas_left" else min
        assert getattr(both, name) == choose(getattr(asked, name), getattr(allowed, name))


@given(RADIUS, st.lists(st.tuples(st.sampled_from(["od", "spot"]), st.integers(1, 5))))
def test_no_row_of_faults_gets_past_the_radius(
    limits: DrillLimits, strikes: list[tuple[str, int]]
) -> None:
    found = blast()
    for backend, replicas in strikes:
        if refusal(limits, Strike(backend, replicas), found, NOW_S) is None:
            groups = tuple(
                group._replace(hit=group.hit + replicas) if group.name == backend else group
                for group in found.groups
            )
            found = replace(found, groups=groups)
    assert sum(group.hit for group in found.groups) <= limits.replicas_share * 8 + 1e-6
    left = [group.untouched for group in found.groups if group.hit]
    assert all(each >= limits.replicas_left for each in left)
