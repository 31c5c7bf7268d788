"""The fluid twin carries choices out like the real rule, costs about what the simulator says,
and its gradient leads downhill."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from trimtab_agents.training import fluid  # noqa: E402 - torch decides whether this file runs
from trimtab_agents.training import pretrain as pretraining  # noqa: E402
from trimtab_agents.training.config import TrainConfig  # noqa: E402
from trimtab_agents.training.pretrain import Actor, PretrainConfig, Recorder, pretrain  # noqa: E402
from trimtab_agents.training.run import fresh  # noqa: E402
from trimtab_agents.training.vec_env import PairedVecEnv, Shape  # noqa: E402
from trimtab_envs.episodes import EpisodeSource  # noqa: E402
from trimtab_envs.world import World  # noqa: E402

SERVICES, DECISIONS = 96, 80


def world(backends: int = 1) -> World:
    sources, arrivals = map(np.random.default_rng, np.random.SeedSequence(0).spawn(2))
    return World(EpisodeSource(sources, 5.0, pool=64), SERVICES, backends, 5.0, arrivals)


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    config = TrainConfig(batch_size=32, n_steps=8)
    return fresh(config, PairedVecEnv([], 0, [Shape(4, 1, 5.0)], 8), None)


@pytest.fixture(scope="module", params=[1, 3], ids=["one-backend", "three-backends"])
def played(model, request):
    recorder = Recorder(world(request.param))
    seen, scores = recorder.record(Actor(model), DECISIONS)
    with torch.no_grad():
        logits = Actor(model)(seen.observation)
    return recorder, seen, scores, logits


def test_choices_are_carried_out_as_the_real_rule_does(played) -> None:
    recorder, seen, _, logits = played
    choice = fluid._acting(logits, seen)
    wanted = fluid._wanted(choice, seen, seen.facts.per_tick(seen.decision_ticks))
    real = np.stack(recorder._past)
    same = np.isclose(wanted[-len(real) :].numpy(), real)
    # Single precision rounds a few to the other side of a whole replica.
    assert same.mean() > 0.97


def test_load_is_routed_as_the_real_rule_does(played) -> None:
    recorder, seen, *_ = played
    codec = recorder.world.codec
    ready = torch.as_tensor(codec._seen().ready.ravel(), dtype=torch.float32)
    now = recorder._see()
    last = seen._replace(
        **{
            name: torch.as_tensor(now[name].reshape(1, -1), dtype=torch.float32)
            for name in ("present", "slowness", "late")
        },
        rate_rps=seen.rate_rps[:1],
        fresh=seen.fresh[:1],
    )
    facts = fluid.Facts(*(fact[-1:] for fact in seen.facts))
    choice = torch.as_tensor(codec.choice.reshape(1, *seen.choice.shape), dtype=torch.float32)
    found = fluid._routed(choice, ready[None], last, facts)[0].numpy()
    well = np.repeat(~recorder._fresh, seen.backends)
    load_rps = now["present"].max(1, keepdims=True)
    nowhere = np.zeros(now["present"].shape)  # from there every route moves
    stay = codec._seen().ready  # in the twin the others are gone
    real = codec.merit.routed(codec.setting.tilt, stay, stay, load_rps, nowhere)
    assert np.abs(found - real.ravel())[well].max() < 1e-3
    if seen.backends > 1:
        assert len(np.unique(found.round(2))) > 20


def test_it_costs_about_what_the_simulator_says(played) -> None:
    _, seen, scores, logits = played
    cost = fluid.costs(logits, seen).mean(0).numpy()
    real = scores.mean(0)
    assert np.corrcoef(np.log(cost), np.log(real))[0, 1] > 0.9
    assert 0.9 < np.median(cost / real) < 1.25


def test_sliding_minimum_is_the_plain_one() -> None:
    rng = np.random.default_rng(0)
    past, ticks = fluid.LONGEST_STARTUP_TICKS, 200
    values = rng.integers(0, 50, (past + ticks, 3)).astype(np.float32)
    length = rng.integers(1, past + 1, (ticks, 3))
    found = fluid._sliding_minimum(torch.as_tensor(values), torch.as_tensor(length)).numpy()
    for tick in range(ticks):
        for column in range(3):
            end = past + tick + 1
            expected = values[end - length[tick, column] : end, column].min()
            assert found[tick, column] == expected


def test_the_gradient_leads_downhill(model, played) -> None:
    _, seen, _, logits = played
    moving = logits.clone().requires_grad_(True)
    before = fluid.costs(moving, seen).mean()
    before.backward()
    step = 0.5 * moving.grad / moving.grad.abs().max()
    with torch.no_grad():
        after = fluid.costs(moving - step, seen).mean()
    assert after < before


def test_pretraining_makes_the_simulators_score_better(model, monkeypatch) -> None:
    # So few steps must not be averaged with where they began.
    monkeypatch.setattr(pretraining, "AVERAGED_STEPS", 4)

    def score() -> float:
        _, scores = Recorder(world()).record(Actor(model), DECISIONS)
        return float(np.log(0.5 + scores.mean(0)).mean())

    before = score()
    schedule = PretrainConfig(windows=4, decisions=DECISIONS, batch=96, steps=8)
    pretrain(model, [world()], replace(schedule, learning_rate=5e-3), 0, lambda *_: None)
    assert score() < before
