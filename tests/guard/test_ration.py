"""One budget for all services, and not all of them at once."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab_guard.limits import ClusterLimits
from trimtab_guard.model import Verdict, Want
from trimtab_guard.ration import Change, Plan, Spending, cost, ration

from .world import NOW_S, reasons

PRICES = {"od": 1.0, "spot": 0.1}
NOTHING = Spending()


def plan(
    service: str, od: tuple[int, int], spot: tuple[int, int] = (3, 3), share: float = 0.5
) -> Plan:
    """From the first to the second of each; ``share`` of od, which has half of the route."""
    present = (Want("od", od[0], 0.5), Want("spot", spot[0], 0.5))
    wants = (Want("od", od[1], share), Want("spot", spot[1], 1 - share))
    return Plan(Verdict(service, NOW_S, wants), present, PRICES)


def counts(verdicts: tuple[Verdict, ...]) -> list[tuple[int, ...]]:
    return [tuple(want.replicas for want in verdict.backends) for verdict in verdicts]


def spent(*changes: tuple[float, str, float]) -> Spending:
    return Spending(tuple(Change(NOW_S - age_s, name, paid) for age_s, name, paid in changes))


@pytest.mark.parametrize(
    ("budget", "past", "expected"),
    [
        pytest.param(5.3, NOTHING, [(8, 6), (4, 3)], id="enough for all"),
        pytest.param(5.2, NOTHING, [(8, 6), (3, 3)], id="the last one waits"),
        pytest.param(2.0, NOTHING, [(7, 3), (2, 3)], id="the first listed is served first"),
        pytest.param(0.2, NOTHING, [(5, 5), (2, 3)], id="a cheap one may still fit"),
        pytest.param(0.0, NOTHING, [(5, 3), (2, 3)], id="nothing to spend"),
        pytest.param(5.3, spent((600, "x", 2.3)), [(8, 3), (2, 3)], id="spent within the window"),
        pytest.param(5.3, spent((600.1, "x", 2.3)), [(8, 6), (4, 3)], id="spent before it"),
        pytest.param(5.3, spent((1, "x", 99.0)), [(5, 3), (2, 3)], id="overspent"),
    ],
)
def test_new_replicas_are_paid_from_one_budget(
    budget: float, past: Spending, expected: list[tuple[int, int]]
) -> None:
    limits = ClusterLimits(budget=budget)
    plans = [plan("a", (5, 8), (3, 6)), plan("b", (2, 4))]
    assert counts(ration(plans, limits, past, NOW_S)) == expected


def test_what_the_budget_refuses_is_told_and_shrinking_is_free() -> None:
    limits = ClusterLimits(budget=1.0)
    grown, shrunk = ration([plan("a", (5, 8)), plan("b", (9, 2))], limits, NOTHING, NOW_S)
    assert reasons(grown) == [("BUDGET", "od", 8, 6)]
    assert (shrunk.reasons, shrunk.backends[0].replicas) == ((), 2)


@pytest.mark.parametrize(
    ("past", "changed"),
    [
        pytest.param(NOTHING, "ab", id="two at once"),
        pytest.param(spent((60, "x", 0.0)), "a", id="another one is changing"),
        pytest.param(spent((60.1, "x", 0.0)), "ab", id="it is done"),
        pytest.param(spent((9, "x", 0.0), (5, "b", 0.0)), "b", id="one of them goes on"),
        pytest.param(spent((9, "b", 0.0), (5, "b", 0.0)), "ab", id="the same one twice is one"),
    ],
)
def test_only_so_many_services_change_at_once(past: Spending, changed: str) -> None:
    plans = [plan("z", (5, 5)), plan("a", (5, 6)), plan("b", (5, 5), share=0.6), plan("c", (5, 4))]
    verdicts = ration(plans, ClusterLimits(services_at_once=2), past, NOW_S)
    there = {p.verdict.service: p.present for p in plans}
    assert "".join(v.service for v in verdicts if v.backends != there[v.service]) == changed
    assert [r for v in verdicts for r in reasons(v)] == [("CROWD", "", 3, 2)] * (3 - len(changed))


def test_who_waits_costs_nothing() -> None:
    limits = ClusterLimits(budget=1.0, services_at_once=1)
    past = spent((1, "b", 0.0))
    waits, grows = ration([plan("a", (5, 6)), plan("b", (5, 6))], limits, past, NOW_S)
    assert (waits.backends[0].replicas, grows.backends[0].replicas) == (5, 6)


def test_rounding_of_shares_is_no_change() -> None:
    limits = ClusterLimits(services_at_once=1)
    wished = [plan("a", (5, 5), share=0.5009), plan("b", (5, 5), share=0.501)]
    first, second = ration(wished, limits, NOTHING, NOW_S)
    assert (first.reasons, second.reasons) == ((), ())
    wished[0] = plan("a", (5, 5), share=0.501)
    assert reasons(ration(wished, limits, NOTHING, NOW_S)[1]) == [("CROWD", "", 2, 1)]


def test_a_verdict_that_names_nothing_stays_so() -> None:
    empty = plan("a", (5, 5))._replace(verdict=Verdict("a", NOW_S, ()))
    assert ration([empty], ClusterLimits(budget=0.0), NOTHING, NOW_S) == (empty.verdict,)


plans = st.lists(
    st.builds(
        plan,
        st.sampled_from("abcd"),
        st.tuples(st.integers(0, 9), st.integers(0, 9)),
        st.tuples(st.integers(0, 9), st.integers(0, 9)),
        st.sampled_from([0.5, 0.6]),
    ),
    max_size=4,
    unique_by=lambda each: each.verdict.service,
)


@given(plans, st.floats(0, 20), st.integers(1, 4), st.floats(0, 10))
def test_together_they_never_spend_or_change_more(
    wished: list[Plan], budget: float, at_once: int, paid: float
) -> None:
    limits = ClusterLimits(budget=budget, services_at_once=at_once)
    past = spent((30, "x", paid))
    verdicts = ration(wished, limits, past, NOW_S)
    after = [p._replace(verdict=v) for p, v in zip(wished, verdicts, strict=True)]
    assert sum(map(cost, after)) <= max(0.0, budget - paid) + 1e-6
    assert sum(p.verdict.backends != p.present for p in after) <= max(0, at_once - 1)
    for before, now in zip(wished, after, strict=True):
        triples = zip(before.present, before.verdict.backends, now.verdict.backends, strict=True)
        for there, asked, allowed in triples:
            low, high = sorted((there.replicas, asked.replicas))
            assert low <= allowed.replicas <= high
        untouched = before.verdict.backends == now.verdict.backends
        assert untouched == (before.verdict.reasons == now.verdict.reasons)
    again = [p._replace(present=b.present) for p, b in zip(after, wished, strict=True)]
    twice = ration(again, limits, past, NOW_S)
    assert [v.backends for v in twice] == [v.backends for v in verdicts]


def test_the_memory_is_an_hour_long_and_outlives_a_restart_and_a_clock() -> None:
    past = spent((3601, "a", 1.0), (3600, "b", 2.0), (-500, "c", 4.0)).at(NOW_S)
    past = past.with_change(NOW_S, "d", 8.0)
    assert past == spent((3600, "b", 2.0), (0, "c", 4.0), (0, "d", 8.0))
    assert Spending.from_dict(json.loads(json.dumps(past.to_dict()))) == past
    assert (past.cost(NOW_S), past.services(NOW_S)) == (12.0, {"c", "d"})


@pytest.mark.parametrize(
    "data", [{}, {"changes": 3}, {"changes": [[1, 2]]}, {"changes": [["x", "a", 1]]}]
)
def test_what_is_no_spending_is_refused(data: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"not a spending .*; start with an empty one"):
        Spending.from_dict(data)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"budget": -1.0}, "cluster: budget is -1.0; it must be a number from 0 to 1e+09 price x"),
        ({"budget": math.nan}, "cluster: budget is nan"),
        ({"services_at_once": 0}, "cluster: services_at_once is 0; it must be a whole number"),
        ({"change_window_s": 0}, "cluster: change_window_s is 0; it must be a number from 0.001"),
    ],
)
def test_limits_of_the_cluster_are_refused_by_name(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011  # the message is compared below
        ClusterLimits(**fields)
    assert message in str(caught.value)


def test_speed_shrinks_the_windows_of_the_cluster() -> None:
    fast = ClusterLimits().scaled(6)
    assert fast == ClusterLimits(budget_window_s=100.0, change_window_s=10.0)
