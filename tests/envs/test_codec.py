"""One codec for training and the daemon: equal arrays, whatever the stream came from."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from trimtab_envs.action import ACTION_DIMS, HEADROOMS, NEUTRAL, one_hot
from trimtab_envs.codec import Codec, pack
from trimtab_envs.memory import ESTIMATES
from trimtab_envs.observation import FEATURES
from trimtab_guard.model import BackendState, Reading, State
from trimtab_sim import rows
from trimtab_sim.compiled import compile_rows
from trimtab_sim.profile import BackendProfile, Profile, Profiles
from trimtab_sim.signals import Sensed
from trimtab_sim.simulator import Simulator

SERVICES, TICK_S = 3, 5.0
BACKENDS = (BackendProfile("on-demand"), BackendProfile("spot", startup_mean_s=90.0, price=0.4))


def profiles() -> Profiles:
    return Profiles.stack([Profile(f"s{i}", BACKENDS, metric_lag_s=5.0) for i in range(SERVICES)])


def states(sensed: Sensed) -> list[State]:
    """What the daemon's sensor would have reported of the same world."""
    return [
        State(
            service=f"s{row}",
            time_s=float(sensed.time_s[row]),
            replicas_time_s=float(sensed.time_s[row]),
            backends=tuple(
                BackendState(
                    name=backend.name,
                    wanted=int(sensed.wanted[row, k]),
                    starting=int(sensed.starting[row, k]),
                    ready=int(sensed.ready[row, k]),
                    draining=int(sensed.draining[row, k]),
                    weight=float(sensed.weight[row, k]),
                    rate_rps=Reading(float(sensed.rate_rps[row, k]), measured_s),
                    in_flight=Reading(float(sensed.in_flight[row, k]), measured_s),
                )
                for k, backend in enumerate(BACKENDS)
            ),
            p50_ms=Reading(50.0, measured_s),
            p95_ms=Reading(150.0, measured_s),
            miss_share=Reading(float(sensed.miss_share[row]), measured_s),
        )
        for row, measured_s in enumerate(sensed.time_s - sensed.age_s)
    ]


def test_the_daemon_observes_what_training_observed() -> None:
    rng = np.random.default_rng(7)
    world = Simulator(profiles(), TICK_S, rng)
    price = np.array([10.0, 50.0, 250.0])
    trained, deployed = (Codec(profiles(), price, TICK_S) for _ in range(2))
    sensed = world.reset(np.full((SERVICES, 2), 2.0), np.full((SERVICES, 2), 0.5))
    for tick in range(400):
        packed = pack(states(sensed), 2)
        trained.sense(sensed)
        deployed.sense(packed)
        if tick % 6 == 0:
            action = one_hot(rng.integers(0, ACTION_DIMS, (SERVICES, 2, len(ACTION_DIMS))))
            np.testing.assert_array_equal(trained.observe(), deployed.observe())
            trained.choose(action)
            deployed.choose(action)
        want, other = trained.want(), deployed.want()
        np.testing.assert_array_equal(want.replicas, other.replicas)
        np.testing.assert_array_equal(want.weight, other.weight)
        sensed = world.step(150.0 + 100.0 * rng.random(SERVICES), want.replicas, want.weight).sensed


def lived(stream: list[Sensed], known: Profiles) -> list[np.ndarray]:
    """What a codec of random choices sees and wants on the way."""
    rng = np.random.default_rng(3)
    codec = Codec(known, np.array([10.0, 50.0, 250.0]), TICK_S)
    found = []
    for tick, sensed in enumerate(stream):
        codec.sense(sensed)
        if tick % 6 == 0:
            found.append(codec.observe())
            codec.choose(one_hot(rng.integers(0, ACTION_DIMS, (SERVICES, 2, len(ACTION_DIMS)))))
        want = codec.want()
        found += [want.replicas, want.weight, want.demand_rps]
    return found


def test_compiled_it_does_what_it_does_under_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    known = replace(
        profiles(), dropout_share=np.full(SERVICES, 0.1), sample_s=np.full(SERVICES, 15.0)
    )
    rng = np.random.default_rng(7)
    world = Simulator(known, TICK_S, rng)
    stream = [world.reset(np.full((SERVICES, 2), 2.0), np.full((SERVICES, 2), 0.5))]
    for tick in range(800):
        # One beats by the minute, one wanders, one is idle and at times overloaded.
        rate = np.array([300.0 if tick % 12 < 4 else 100.0, 150.0 + 100.0 * rng.random(), 0.0])
        rate[2] = 900.0 if rng.random() < 0.02 else 0.1
        replicas = rng.integers(1, 6, (SERVICES, 2)).astype(float)
        stream.append(world.step(rate, replicas, rng.random((SERVICES, 2))).sensed)
    compile_rows()
    compiled = lived(stream, known)
    for loop in rows.LOOPS:
        monkeypatch.setattr(loop, "run", loop.plain)
    for mine, other in zip(compiled, lived(stream, known), strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-9, atol=1e-9)


def one(rate: float, service_time_s: float = 0.05) -> Sensed:
    def wide(value: float) -> np.ndarray:
        return np.full((1, 1), value)

    return Sensed(
        time_s=np.zeros(1), age_s=np.zeros(1), miss_share=np.zeros(1), rate_rps=wide(rate),
        in_flight=wide(rate * service_time_s), error_share=wide(0.0), wanted=wide(3.0),
        starting=wide(0.0), ready=wide(3.0), draining=wide(0.0), weight=wide(1.0),
    )  # fmt: skip


def codec(miss_price: float = 50.0, **profile: float) -> Codec:
    backend = BackendProfile("b", **profile)  # type: ignore[arg-type]  # numbers by field name
    stacked = Profiles.stack([Profile("s", (backend,))])
    return Codec(stacked, np.array([miss_price]), TICK_S)


def test_observation_does_not_know_the_load_scale() -> None:
    """Ten times the load on replicas that carry ten times as much looks the same."""
    small, large = codec(), codec(service_time_s=0.005)
    for rate in np.random.default_rng(0).uniform(100.0, 200.0, 300):
        small.sense(one(float(rate)))
        large.sense(one(float(10 * rate), service_time_s=0.005))
    same = np.array([name not in ("log_slo_ratio", "log_late") for name in FEATURES])
    np.testing.assert_allclose(
        small.observe()[0, 0, same], large.observe()[0, 0, same], rtol=1e-5, atol=1e-5
    )


def test_a_missing_reading_is_not_zero_load() -> None:
    seen = codec()
    for rate in [200.0] * 50 + [float("nan")] * 20:
        seen.sense(one(rate))
    assert seen.memory.estimates()[0, 0] == pytest.approx(200.0)
    assert np.isfinite(seen.observe()).all()
    assert seen.want().replicas[0, 0] >= 3


def test_before_the_first_reading_nothing_moves() -> None:
    unseen = codec()
    for _ in range(10):
        unseen.sense(one(float("nan")))
        want = unseen.want()
        assert want.replicas[0, 0] == 3
    unseen.sense(one(20.0))
    # What was there is let go of over the hold time, not at once.
    assert unseen.want().replicas[0, 0] >= 2


def test_choosing_leaves_the_callers_array_alone() -> None:
    """Regression: a reset wrote the neutral action into PPO's rollout buffer through a view."""
    subject = codec()
    subject.sense(one(100.0))
    choice = one_hot(np.zeros((1, 1, len(ACTION_DIMS)), dtype=np.int64))
    before = choice.copy()
    subject.choose(choice)
    subject.reset(np.ones(1, dtype=np.bool_), subject.profiles, subject.miss_price)
    np.testing.assert_array_equal(choice, before)


def test_settings_glide_towards_what_is_chosen() -> None:
    subject = codec()
    neutral = subject.setting.headroom[0, 0]
    most = one_hot(np.array([[[*NEUTRAL[:1], len(HEADROOMS) - 1, *NEUTRAL[2:]]]]))
    headrooms = []
    for _ in range(30):
        subject.choose(most)
        headrooms.append(subject.setting.headroom[0, 0])
    assert neutral < headrooms[0] < 1.5 * neutral
    assert headrooms[-1] == pytest.approx(HEADROOMS[-1] * neutral, rel=0.01)


def test_reset_forgets_everything() -> None:
    used, fresh = codec(), codec()
    for rate in np.random.default_rng(1).uniform(0.0, 400.0, 500):
        used.sense(one(float(rate)))
        used.want()
    used.reset(np.ones(1, dtype=np.bool_), used.profiles, used.miss_price)
    for subject in (used, fresh):
        subject.sense(one(120.0))
    np.testing.assert_array_equal(used.observe(), fresh.observe())


@pytest.mark.parametrize("period_min", [6, 20, 45, 120])
def test_memory_finds_the_period_and_forecasts_the_next_burst(period_min: int) -> None:
    subject = codec(startup_mean_s=60.0)
    ticks_per_period = period_min * 60 / TICK_S
    periods = max(4, 40 // period_min)
    for tick in range(int(periods * ticks_per_period) - 15):
        burst = tick % ticks_per_period < ticks_per_period / 4
        subject.sense(one(400.0 if burst else 40.0))
    # 75 s before the next burst begins: the load is low, the forecast must not be.
    season = subject.memory.season
    assert season.period_bins[0] % period_min == 0
    assert season.strength[0] > 0.8
    now, _, _, ahead = subject.memory.estimates()[:4, 0]
    assert now < 60.0
    assert ahead > 200.0


def test_memory_knows_how_high_a_noisy_load_goes() -> None:
    subject = codec()
    minutes = np.random.default_rng(2).exponential(100.0, 400)
    for rate in np.repeat(minutes, int(60 / TICK_S)):
        subject.sense(one(float(rate)))
    estimates = dict(zip(ESTIMATES, subject.memory.estimates()[:, 0], strict=True))
    for rank in (80, 95, 99):
        expected = max(float(np.quantile(minutes, rank / 100)), estimates["now"])
        assert estimates[f"load{rank}"] == pytest.approx(expected, rel=0.05)
    # Independent minutes know nothing of their level: its surges spread as wide as they do.
    assert estimates["surge80"] < estimates["surge95"] < estimates["surge99"]
