"""The past lived again is the past that was, and says so where it is not."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from math import sin
from typing import Any

import numpy as np
import pytest

from trimtab_agents.bundle import PpoPolicy, load
from trimtab_agents.occlusion import GROUPS, occluded
from trimtab_agents.proposer import Proposer
from trimtab_controller.explain import past as past_module
from trimtab_controller.explain.decisions import latest
from trimtab_controller.explain.explanation import Explainer
from trimtab_controller.explain.past import past
from trimtab_controller.explain.relive import Relived, relive
from trimtab_controller.memory import Recollection, recall
from trimtab_controller.recommend.subject import configured
from trimtab_controller.refusals import FullError
from trimtab_envs.observation import FEATURES
from trimtab_guard.modes import Mode
from trimtab_proto.v1 import controller_pb2 as pb

World = Any  # the class in conftest.py, which cannot be imported from here


@cache
def bundle() -> PpoPolicy:
    return load()


def think(world: World, past: Recollection | None = None) -> None:
    """Have the shipped policy decide, as a daemon does; it remembers a ``past``."""
    subject = configured(world.config)["web"]
    world.policy = Proposer(
        bundle().fresh(), [subject.profile], [subject.miss_price], 1.0, subject.speed
    )
    for tick in past.ticks if past else ():
        world.policy.propose([tick["web"]])
    world.loop._policy = world.policy  # as the daemon would have been started with it


def live(world: World, ticks: int) -> None:
    for _ in range(ticks):
        load_rps = 200.0 + 150.0 * sin(world.clock() / 20.0)
        world.sensor.values |= {("rate_rps", name): load_rps / 2.0 for name in "ab"}
        world.sensor.values |= {("in_flight", name): load_rps / 40.0 for name in "ab"}
        world.tick()


@pytest.fixture
def world_of_ppo(new_world: Callable[..., World]) -> World:
    world = new_world(Mode.GUARDED, warm=False)
    think(world)
    live(world, 60)
    return world


def relived(world: World) -> Relived:
    decision = latest(world.journal, "web")
    return relive(decision, world.journal, bundle(), configured(world.config)["web"])


def test_it_proposes_what_it_proposed(world_of_ppo: World) -> None:
    found = relived(world_of_ppo)
    assert found.doubt == ""
    assert {other.name for other in found.inputs} == set(GROUPS)
    proposed = sum(want.replicas for want in world_of_ppo.board.tick("web").proposal.backends)
    effects = [abs(other.replicas - proposed) for other in found.inputs]
    assert effects == sorted(effects, reverse=True)
    assert effects[0] > 0


def test_what_a_policy_was_shown_is_in_the_journal(world: World) -> None:
    """Also while the stage was away; a daemon that starts has it watch what was seen before."""
    world.stage.down = True
    world.tick(4)
    world.stage.down = False
    world.tick(5)
    decision = latest(world.journal, "web")
    subject = configured(world.config)["web"]
    assert repr(past(decision, world.journal, subject)) == repr(world.policy.seen)

    before = world.policy.seen[:9] + world.policy.seen[13:]  # the four were not seen
    world.policy.seen = []
    world.restart()
    world.tick(3)
    shown = past(latest(world.journal, "web"), world.journal, subject)
    assert repr(shown) == repr([*before, *world.policy.seen])


def test_a_restart_changes_nothing(world_of_ppo: World) -> None:
    recollection = recall(world_of_ppo.journal, ["web"])
    world_of_ppo.restart()
    think(world_of_ppo, recollection)
    live(world_of_ppo, 30)
    assert relived(world_of_ppo).doubt == ""


def test_the_guards_own_rule_is_told_as_it_was(world_of_ppo: World) -> None:
    *_, own = relived(world_of_ppo).rules
    assert own.wants == world_of_ppo.board.tick("web").baseline


def test_another_profile_is_noticed(world_of_ppo: World) -> None:
    world_of_ppo.reload("service_time_s: 0.05", "service_time_s: 0.2")
    assert "wants something else than it did then" in relived(world_of_ppo).doubt


def test_another_policy_is_noticed(world: World) -> None:
    assert relived(world).doubt == "policy fixed is not loaded any more"


def test_of_a_long_life_the_end_is_lived_from_a_decision_on(
    world_of_ppo: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Five ticks to a decision, which the policy made in the first one and every fifth after it."""
    subject = replace(configured(world_of_ppo.config)["web"], speed=6.0)
    decision = latest(world_of_ppo.journal, "web")
    whole = past(decision, world_of_ppo.journal, subject)
    monkeypatch.setattr(past_module, "MOST_TICKS", 13)
    end = past(decision, world_of_ppo.journal, subject)
    assert 8 < len(end) <= 14
    assert end == whole[-len(end) :]
    assert (len(whole) - len(end)) % 5 == 0


def test_one_at_a_time(world: World) -> None:
    explainer = Explainer(world.journal, configured(world.config), bundle())
    request = pb.ExplainRequest(service="web", thorough=True)
    explainer._reliving.acquire()
    refused: list[Exception] = []

    def ask() -> None:
        try:
            explainer.explain(request)
        except FullError as error:
            refused.append(error)

    asking = threading.Thread(target=ask)
    asking.start()
    asking.join()
    assert len(refused) == 1
    explainer._reliving.release()
    assert explainer.explain(request).doubt == "policy fixed is not loaded any more"


def test_every_feature_belongs_to_one_group() -> None:
    grouped = [name for group in GROUPS.values() for name in group]
    assert sorted(grouped) == sorted(set(FEATURES))


def test_a_blind_copy_lacks_its_group_and_nothing_else() -> None:
    network = occluded(bundle()).network
    seeing = bundle().network
    observation = np.random.default_rng(1).normal(size=(1 + len(GROUPS), 2, len(FEATURES)))
    observation = observation.astype(np.float32)
    answers = network.infer(observation)
    assert np.allclose(answers[0], seeing.infer(observation[:1])[0])
    neutral = bundle().envelope.nearest(np.zeros(len(FEATURES), np.float32))
    for row, group in enumerate(GROUPS.values(), 1):
        hidden = np.array([name in group for name in FEATURES])
        without = np.where(hidden, neutral, observation[row])
        assert np.allclose(answers[row], seeing.infer(without), atol=1e-6)
