"""Autoscalers in arrays against slow, obvious models of what they are named after."""

from __future__ import annotations

import math

import numpy as np
import pytest

from trimtab_agents.policy import Policy
from trimtab_agents.rules.hpa import HpaRule, Rate
from trimtab_agents.rules.kpa import KpaRule
from trimtab_agents.rules.predictive import Errors, PredictiveRule
from trimtab_agents.rules.static import StaticRule
from trimtab_agents.rules.windows import Average, Highest, ticks
from trimtab_sim.profile import BackendProfile, Floats, Profile, Profiles
from trimtab_sim.signals import Sensed
from trimtab_sim.simulator import Simulator

TICK_S = 5.0
REPLICA_RPS = 80.0


def profiles(services: int, startup_s: float = 20.0) -> Profiles:
    backend = BackendProfile("pods", startup_mean_s=startup_s)
    return Profiles.stack([Profile("service", (backend,))] * services)


def seen(services: int, **values: float) -> Sensed:
    """Every service alike; what is not given is 0."""
    names = (
        "rate_rps", "in_flight", "error_share", "wanted", "starting", "ready", "draining", "weight",
    )  # fmt: skip
    columns = {name: np.full((services, 1), values.get(name, 0.0)) for name in names}
    zero = np.zeros(services)
    return Sensed(time_s=zero, age_s=zero, miss_share=zero, **columns)


def started(policy: Policy, services: int = 1) -> Policy:
    policy.reset(profiles(services), np.full(services, 10.0), TICK_S)
    return policy


@pytest.mark.parametrize(
    ("seconds", "expected"), [(0.0, 1), (4.0, 1), (5.0, 1), (5.1, 2), (300.0, 60)]
)
def test_ticks(seconds: float, expected: int) -> None:
    assert ticks(np.array([seconds]), TICK_S) == expected


def test_windows_agree_with_looking_back() -> None:
    rng = np.random.default_rng(0)
    window = np.array([1, 3, 8])
    values = rng.normal(0.0, 1.0, (40, 3, 2))
    highest, average = Highest(window, 2), Average(8, (3, 2))
    values_seen = np.where(rng.random(values.shape) < 0.2, np.nan, values)
    for now in range(40):
        found = highest.add(values[now])
        average.add(values_seen[now])
        mean = average.over(window)
        for row, length in enumerate(window):
            last = slice(max(0, now + 1 - length), now + 1)
            assert (found[row] == values[last, row].max(0)).all()
            for backend in range(2):
                past = values_seen[last, row, backend]
                known = past[np.isfinite(past)]
                expected = known.mean() if known.size else np.nan
                assert mean[row, backend] == pytest.approx(expected, nan_ok=True)


@pytest.mark.parametrize(
    ("rate_rps", "wanted", "replicas"),
    [
        pytest.param(400.0, 10.0, 10.0, id="on-target"),
        pytest.param(439.0, 10.0, 10.0, id="within-the-tolerance"),
        pytest.param(441.0, 10.0, 12.0, id="above-it-rounds-up"),
        pytest.param(1e5, 10.0, 20.0, id="doubles-at-most"),
        pytest.param(1e5, 1.0, 5.0, id="or-four-more"),
        pytest.param(40.0, 10.0, 10.0, id="down-only-after-the-window"),
        pytest.param(math.nan, 10.0, 10.0, id="holds-without-a-reading"),
    ],
)
def test_keda_asks_for_the_rate_over_the_target(
    rate_rps: float, wanted: float, replicas: float
) -> None:
    rule = started(HpaRule(0.5, 300.0, Rate()))
    assert rule.act(seen(1, rate_rps=rate_rps, wanted=wanted, ready=wanted)).replicas == replicas


@pytest.mark.parametrize(("down_s", "ticks_until_down"), [(0.0, 3), (60.0, 12), (300.0, 60)])
def test_scale_down_waits_for_each_services_own_window(
    down_s: float, ticks_until_down: int
) -> None:
    rule = started(HpaRule(0.5, [3600.0, down_s], Rate()), 2)
    idle = seen(2, rate_rps=40.0, wanted=10.0, ready=10.0)
    wanted = np.array([rule.act(idle).replicas[:, 0] for _ in range(70)])
    assert (wanted[:, 0] == 10.0).all()
    assert (wanted[:, 1] < 10.0).argmax() == ticks_until_down


class SlowKpa:
    """Knative's autoscaler for one revision, as its source reads."""

    def __init__(self, target: float, stable_s: float, threshold: float, delay_s: float) -> None:
        self._target, self._threshold = target * 4, threshold
        self._stable = round(stable_s / TICK_S)
        self._panic = max(1, math.ceil(stable_s / 10 / TICK_S))
        self._delay = max(1, round(delay_s / TICK_S))
        self._metric: list[float] = []
        self._sizes: list[int] = []
        self._panicked: int | None = None
        self._most = 0

    def scale(self, in_flight: float, ready: int) -> int:
        now = len(self._metric)
        self._metric.append(in_flight)
        if now == 0 and ready > 1:
            self._panicked, self._most = 0, ready
        pods = max(1, ready)
        stable = math.ceil(np.mean(self._metric[-self._stable :]) / self._target)
        panic = math.ceil(np.mean(self._metric[-self._panic :]) / self._target)
        if panic / pods >= self._threshold:
            self._panicked = now
        elif self._panicked is not None and self._panicked + self._stable < now:
            self._panicked, self._most = None, 0
        size = max(stable, pods // 2)
        if self._panicked is not None:
            self._most = max(self._most, size, panic)
            size = self._most
        self._sizes.append(size)
        return max(1, *self._sizes[-self._delay :])


def test_kpa_agrees_with_a_slow_one() -> None:
    rng = np.random.default_rng(1)
    settings = [
        (float(rng.choice([0.3, 0.7, 1.0])), float(rng.choice([30.0, 60.0, 180.0])),
         float(rng.choice([1.3, 2.0])), float(rng.choice([0.0, 60.0, 300.0])))
        for _ in range(12)
    ]  # fmt: skip
    rule = KpaRule(*np.array(settings).T)
    slow = [SlowKpa(*setting) for setting in settings]
    world = profiles(12)
    simulator = Simulator(world, TICK_S, rng)
    rule.reset(world, np.full(12, 10.0), TICK_S)
    sensed = simulator.reset(np.full((12, 1), 5.0), np.ones((12, 1)))
    load_rps = 400.0 * rng.lognormal(0.0, 0.8, (30, 12)).repeat(20, axis=0)
    for _ in range(2):
        sensed = simulator.step(load_rps[0], np.full((12, 1), 5.0), np.ones((12, 1))).sensed
    panics = 0
    for tick, rate_rps in enumerate(load_rps):
        wanted = rule.act(sensed)
        counts = zip(sensed.in_flight[:, 0], sensed.ready[:, 0], strict=True)
        expected = [one.scale(float(i), int(r)) for one, (i, r) in zip(slow, counts, strict=True)]
        assert wanted.replicas[:, 0].tolist() == [min(size, 400) for size in expected], tick
        panics += sum(one._panicked is not None for one in slow)
        sensed = simulator.step(rate_rps, wanted.replicas, wanted.weight).sensed
    assert 0.1 < panics / (12 * len(load_rps)) < 0.9, "both modes must be seen"


def test_kpa_holds_without_any_reading() -> None:
    rule = started(KpaRule(0.7))
    nothing = seen(1, wanted=7.0, ready=7.0)._replace(in_flight=np.full((1, 1), np.nan))
    assert rule.act(nothing).replicas == 7.0


def test_headroom_is_the_quantile_of_the_forecasts_errors() -> None:
    rng = np.random.default_rng(2)
    quantile = np.array([0.5, 0.9, 1.0])
    errors = Errors(quantile, np.full(3, 130.0))
    forecasts, loads = rng.lognormal(3.0, 1.0, (2, 401))
    for forecast, load in zip(forecasts, loads, strict=True):
        errors.compare(np.full(3, load), np.full(3, forecast))
    ratios = (loads[3:] / forecasts[:-3])[-240:]
    expected = [np.quantile(ratios, q, method="inverted_cdf") for q in quantile]
    assert errors.factor == pytest.approx(expected)


def demands(rule: Policy, load_rps: Floats) -> Floats:
    """What one service is sized for, tick by tick, when it is always large enough."""
    started(rule)
    sensed = seen(1, wanted=9.0, ready=400.0, weight=1.0)
    seconds = TICK_S * np.arange(len(load_rps))
    return np.array(
        [
            rule.act(
                sensed._replace(rate_rps=np.full((1, 1), rate), time_s=np.full(1, now_s))
            ).demand_rps[0, 0]
            for now_s, rate in zip(seconds, load_rps, strict=True)
        ]
    )


def test_predictive_rule_sees_a_known_season_coming() -> None:
    hour = np.repeat([100.0] * 25 + [900.0] * 5, 12)
    asked = demands(PredictiveRule(0.5, 1.0, 0.0), np.tile(hour, 8)).reshape(8, 30, 12)
    first, last = asked[0], asked[-1]
    assert first[24].max() < 150.0, "nothing was known in the first round"
    assert last[24, -1] > 800.0, "one start-up before the burst, it is expected"
    assert last[10].max() < 150.0, "and not before"


def test_higher_quantile_asks_for_more() -> None:
    load_rps = np.random.default_rng(3).lognormal(5.0, 0.5, 600).repeat(4)
    asked = [demands(PredictiveRule(q, 1.0, 0.0), load_rps)[600:].mean() for q in (0.5, 0.9, 1.0)]
    assert asked[0] < asked[1] < asked[2]


def test_static_rule_stays() -> None:
    rule = started(StaticRule([7.0, 900.0]), 2)
    assert rule.act(seen(2, wanted=1.0)).replicas.tolist() == [[7.0], [400.0]]
