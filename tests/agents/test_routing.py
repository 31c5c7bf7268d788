"""Routing rules by hand, and the scenarios in which they are compared."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from trimtab_agents.bench import routing
from trimtab_agents.bench.calibration import Calibrated, RouteKey
from trimtab_agents.bench.contest import Player
from trimtab_agents.bench.routing import Crossing, RouteCalibration, crossings, scenario_scores
from trimtab_agents.bench.scenarios import ALONE, MISS_PRICES, SCENARIOS, TOGETHER, windows
from trimtab_agents.bench.verdict import LEARNER
from trimtab_agents.rules.routing import ROUTES, RoutedRule, View
from trimtab_sim.profile import BackendProfile, Profile, Profiles
from trimtab_sim.simulator import Simulator
from trimtab_sim.traces import Trace

TICK_S = 5.0
DIALS = ("estimate", "headroom", "hold_s", "full")
CHEAP = BackendProfile("cheap", price=0.5, max_replicas=5)
DEAR = BackendProfile("dear", price=1.0, max_replicas=10)
THREE = Profiles.stack([Profile("three", (DEAR, CHEAP, replace(DEAR, price=2.0)))])


def view(demand_rps: float, ready: list[float], latency_s: list[float]) -> View:
    return View(
        THREE,
        demand_rps=np.full((1, 1), demand_rps),
        full=np.full((1, 1), 0.5),
        capacity_rps=np.array([ready]) * 80.0,
        latency_s=np.array([latency_s]),
    )


@pytest.mark.parametrize(
    ("route", "demand_rps", "built", "routed"),
    [
        pytest.param("equal", 100.0, [1, 1, 1], [1, 1, 1], id="equal"),
        pytest.param("capacity", 100.0, [2, 4, 1], [2, 1, 1], id="cheap-built-ready-used"),
        pytest.param("least_latency", 100.0, [2, 1, 4], [2, 1, 4], id="inverse-to-latency"),
        pytest.param("waterfall", 30.0, [0, 1, 0], [0, 1, 0], id="all-to-the-cheapest"),
        pytest.param("waterfall", 100.0, [0, 1, 0], [60, 40, 0], id="spills-when-half-full"),
        pytest.param("waterfall", 300.0, [100, 200, 0], [150, 75, 75], id="all-share-the-rest"),
    ],
)  # fmt: skip
def test_routes(route: str, demand_rps: float, built: list[float], routed: list[float]) -> None:
    """Ready: two, one and one replicas of 80 requests per second; the second is the cheapest."""
    found = ROUTES[route](view(demand_rps, [2.0, 1.0, 1.0], [0.1, 0.2, 0.05]))
    for shares, expected in zip(found, (built, routed), strict=True):
        assert shares[0] / shares.sum() == pytest.approx(np.array(expected) / np.sum(expected))


@pytest.mark.parametrize("route", ROUTES)
def test_weights_sum_to_one_and_never_go_where_nothing_is_ready(route: str) -> None:
    profiles = Profiles.stack([Profile("three", (DEAR, CHEAP, DEAR))] * 4)
    rng = np.random.default_rng(0)
    simulator = Simulator(profiles, TICK_S, rng)
    rule = RoutedRule(route, 0, 1.3, 60.0)
    rule.reset(profiles, np.full(4, 10.0), TICK_S)
    ready = np.array([[2.0, 2.0, 0.0]] * 4)
    sensed = simulator.reset(ready, ready)
    for rate_rps in rng.uniform(100.0, 900.0, (60, 4)):
        wanted = rule.act(sensed)
        assert wanted.weight.sum(1) == pytest.approx(1.0)
        assert (wanted.weight[sensed.ready == 0.0] == 0.0).all()
        sensed = simulator.step(rate_rps, wanted.replicas, wanted.weight).sensed
    assert (sensed.ready.sum(1) > 4.0).all()


def test_least_latency_leaves_a_backend_that_has_become_slow() -> None:
    profiles = Profiles.stack([Profile("two", (DEAR, DEAR))])
    simulator = Simulator(profiles, TICK_S, np.random.default_rng(0))
    rule = RoutedRule("least_latency", 0, 2.0, 60.0)
    rule.reset(profiles, np.full(1, 10.0), TICK_S)
    sensed = simulator.reset(np.full((1, 2), 5.0), np.ones((1, 2)))
    shares = []
    for tick in range(80):
        if tick == 40:
            factor = np.array([[8.0, 1.0]])
            simulator.adopt(replace(profiles, service_time_s=profiles.service_time_s * factor))
        wanted = rule.act(sensed)
        shares.append(float(wanted.weight[0, 0]))
        sensed = simulator.step(np.full(1, 200.0), wanted.replicas, wanted.weight).sensed
    assert shares[39] == pytest.approx(0.5, abs=0.1)
    assert shares[-1] < 0.2


TINY = {"waves": Trace("waves", 60.0, 1.0 + 0.3 * np.sin(np.arange(60) / 9.0))}


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trimtab_agents.bench.scenarios.HOURS", 0.5)


@pytest.mark.usefixtures("short")
def test_scenarios_are_scored_for_everyone() -> None:
    """A crawling backend hurts those who do not look, errors those who look at latency only."""
    jobs = crossings(TINY, Player(LEARNER))
    assert [job.player for job in jobs] == [*ROUTES, LEARNER] * 2
    few = [job for job in jobs if job.player in ("equal", "least_latency", LEARNER)]
    found = scenario_scores(few, [job.run() for job in few])
    assert set(found) == set(SCENARIOS)
    assert found["crawling"]["least_latency"] < found["crawling"]["equal"]
    assert found["bad_version"][LEARNER] < found["bad_version"]["least_latency"]
    assert found["one_dearer"]["equal"] > 1.3
    assert all(1.0 < j < 1000.0 for scores in found.values() for j in scores.values())


@pytest.mark.usefixtures("short")
def test_a_routing_rule_is_calibrated_by_the_score(monkeypatch: pytest.MonkeyPatch) -> None:
    """A slow let-go pays at no lambda when the load is flat; more headroom pays at the highest."""
    monkeypatch.setattr(routing, "SCENARIOS", {"one_dearer": SCENARIOS["one_dearer"]})
    monkeypatch.setattr(routing, "ROUTED_BY", (0.0,))
    monkeypatch.setattr(routing, "HEADROOMS", (0.8, 1.5))
    job = RouteCalibration("capacity", windows(TINY))
    found = job.entries(job.run())
    assert set(found) == {RouteKey("capacity", "one_dearer", price) for price in MISS_PRICES}
    settings = {
        key.miss_price: dict(zip(DIALS, value, strict=True)) for key, value in found.items()
    }
    assert settings[10.0]["headroom"] <= settings[250.0]["headroom"] == 1.5
    assert all(tuple(value) in set(map(tuple, job.settings)) for value in found.values())


def test_every_routing_rule_ships_calibrated() -> None:
    calibrated = Calibrated.read()
    for key in product(ROUTES, SCENARIOS, MISS_PRICES):
        assert len(calibrated.route(RouteKey(*key))) == len(DIALS)
    with pytest.raises(ValueError, match=r"no routing rule is calibrated for .* calibrate --quick"):
        calibrated.route(RouteKey("equal", "one_dearer", 7.0))


def test_short_traces_have_no_routing() -> None:
    assert crossings({"short": Trace("short", 60.0, np.ones(5))}, None) == []
    assert scenario_scores([], []) == {}


def test_windows_are_of_mean_one_and_do_not_overlap() -> None:
    day = Trace("day", 300.0, np.arange(1.0, 289.0))
    loads = windows({"day": day, "short": Trace("short", 60.0, np.ones(5))})
    assert loads.shape == (1440, 3)
    assert loads.mean(0) == pytest.approx(1.0)
    assert len(np.unique(loads[0])) == 3


def test_identity_names_player_load_and_scenarios() -> None:
    one, two = np.ones((3, 1)), np.full((3, 1), 2.0)
    drawn = [("equal", ALONE, one), ("waterfall", ALONE, one), ("equal", ALONE, two)]
    drawn += [(LEARNER, ALONE, one), (LEARNER, TOGETHER, one)]
    assert len({Crossing(*each, Player(LEARNER)).identity for each in drawn}) == 5
