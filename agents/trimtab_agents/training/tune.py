"""A bundle tuned on one service's own past, and kept only if that helps.

The descent of pretraining goes on for a few minutes: half of it on episodes cut from that past,
half on loads as they were in training, so that what the past does not show is not forgotten.
Then the policy before and after, and the rule that was tuned on the same past, meet the end of
the history, which none of them was shown.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from stable_baselines3 import PPO

from trimtab_agents.bench.cells import TICK_S
from trimtab_agents.bundle import CARD, ENVELOPE, MODEL, load
from trimtab_agents.envelope import Envelope
from trimtab_agents.policy import Policy
from trimtab_agents.training.adopt import adopted
from trimtab_agents.training.envelope import DECISIONS, card_text
from trimtab_agents.training.export import commit, onnx_bytes
from trimtab_agents.training.history import History, PastEpisodes, Service
from trimtab_agents.training.pretrain import Actor, PretrainConfig, Recorder, pretrain
from trimtab_agents.training.run import train_traces
from trimtab_agents.training.trial import Score, held_back
from trimtab_agents.training.tuned_rule import TunedRule, families, rule_stretch, tuned_rule
from trimtab_envs.episodes import EpisodeSource
from trimtab_envs.observation import FEATURES
from trimtab_envs.world import World

# Small steps: the parent has seen a hundred times as much as there is to see here.
DESCENT = PretrainConfig(windows=8, learning_rate=1e-3)


@dataclass(frozen=True, slots=True)
class TuneConfig:
    """How much work goes into it.

    The descent is on so many ``services`` of either kind, the others' loads from a ``pool`` of so
    many; the envelope is what ``observed`` decisions meet; of the rules' settings one in
    ``every`` is tried; all are judged on ``seeds``.
    """

    descent: PretrainConfig = DESCENT
    services: int = 128
    pool: int = 256
    observed: int = DECISIONS
    every: int = 1
    seeds: int = 8
    seed: int = 0


PRESETS = {
    "shipped": TuneConfig(),
    "quick": TuneConfig(replace(DESCENT, windows=2)),
    # Shows that everything works.
    "smoke": TuneConfig(
        PretrainConfig(windows=1, decisions=40, batch=16, steps=8),
        services=8,
        pool=8,
        observed=30,
        every=50,
        seeds=2,
    ),
}


@dataclass(frozen=True, slots=True)
class Origin:
    """All that a tuned policy comes from."""

    parent: Path
    service: Service
    history: History
    config: TuneConfig

    @property
    def backends(self) -> int:
        """How many the service has."""
        return len(self.service.profile.backends)

    @property
    def steps(self) -> int:
        """How often `tune` tells that it has come further."""
        return self.config.descent.windows + len(families(self.backends)) + 2

    def own_world(self, rng: np.random.Generator) -> World:
        """The service many times over, each on another part of its past."""
        source = PastEpisodes(rng, self.service, self.history.past_rps)
        return self._world(source, rng)

    def general_world(self, rng: np.random.Generator) -> World:
        """Services as in training, with as many backends."""
        source = EpisodeSource(rng, TICK_S, train_traces(), self.config.pool)
        return self._world(source, rng)

    def _world(self, source: EpisodeSource, rng: np.random.Generator) -> World:
        services = max(1, self.config.services // self.backends)
        return World(source, services, self.backends, TICK_S, *rng.spawn(1))


@dataclass(frozen=True, slots=True)
class Judgement:
    """How the policies did on what was held back, and the rule that was ``tuned`` like them."""

    before: Score
    after: Score
    rule: Score
    tuned: TunedRule

    @property
    def gain(self) -> tuple[float, float]:
        """J saved by tuning, and its standard error."""
        return self.after.gain_over(self.before)

    @property
    def helps(self) -> bool:
        """Whether the gain is more than chance."""
        return self.after.clearly_beats(self.before)

    @property
    def facts(self) -> dict[str, Any]:
        """For the card."""
        gain, error = self.gain
        return {
            "before": self.before.summary,
            "after": self.after.summary,
            "rule": self.rule.summary | self.tuned.described,
            "gain": round(gain, 5),
            "standard_error": round(error, 5),
        }


def tune(origin: Origin, out: Path, advance: Callable[[], None]) -> Judgement:
    """Tune and judge, and write the bundle to ``out`` if it helps.

    ``advance`` is called `Origin.steps` times. Raises ``BundleError`` as `load` and `adopted` do.
    """
    # Two threads on two busy cores ran many times slower than one.
    torch.set_num_threads(1)
    before = load(origin.parent)
    model, network = adopted(origin.parent)
    out.parent.mkdir(parents=True, exist_ok=True)
    own, general, observed = np.random.default_rng(origin.config.seed).spawn(3)
    # Whoever interrupts it leaves nothing behind, and no bundle is ever half there.
    with TemporaryDirectory(prefix=f".{out.name}-", dir=out.parent) as folder:
        bundle = Path(folder) / "bundle"
        _descend(model, [origin.own_world(own), origin.general_world(general)], origin, advance)
        ranges = _envelope(model, origin.own_world(observed), origin, network.card)
        card = _written(model, origin, network.card | {ENVELOPE: ranges}, bundle)
        advance()
        judgement = _judged(origin, before, load(bundle), advance)
        if judgement.helps:
            card["tuned"] |= {"held_back": judgement.facts}
            (bundle / CARD).write_text(card_text(card))
            bundle.rename(out)
    return judgement


def _descend(
    model: PPO, worlds: Sequence[World], origin: Origin, advance: Callable[[], None]
) -> None:
    config = origin.config
    pretrain(model, worlds, config.descent, config.seed, lambda *_: advance())


def _judged(
    origin: Origin, before: Policy, after: Policy, advance: Callable[[], None]
) -> Judgement:
    service, history, config = origin.service, origin.history, origin.config
    rule = tuned_rule(rule_stretch(service, history), config.every, advance)
    players = before, after, rule.policy(config.seeds)
    end = held_back(service, history)
    old, new, ruled = (end.play(player, config.seeds) for player in players)
    advance()
    return Judgement(old, new, ruled, rule)


def _envelope(
    model: PPO, world: World, origin: Origin, parent: dict[str, Any]
) -> dict[str, tuple[float, float]]:
    """What the parent was trained on, and what the tuned policy meets on the service's past."""
    seen, _ = Recorder(world).record(Actor(model), origin.config.observed)
    met = Envelope.of(seen.observation.reshape(-1, len(FEATURES)).numpy())
    known = Envelope.read(parent[ENVELOPE])
    return Envelope(np.minimum(known.low, met.low), np.maximum(known.high, met.high)).ranges


def _written(model: PPO, origin: Origin, parent: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Write the tuned bundle; its card, which does not say yet how it did."""
    folder.mkdir()
    content = onnx_bytes(model)
    (folder / MODEL).write_bytes(content)
    service, history = origin.service, origin.history
    card = parent | {
        "name": f"{parent['name']}+{service.profile.name}",
        "sha256": hashlib.sha256(content).hexdigest(),
        "commit": commit(),
        "parent": {"name": parent["name"], "sha256": parent["sha256"]},
        "tuned": {
            "profile": asdict(service.profile),
            "miss_price": service.miss_price,
            "history": {
                "name": history.name,
                "sha256": history.sha256,
                "past_h": history.past_h,
                "held_back_h": history.held_back_h,
            },
            "config": asdict(origin.config),
        },
    }
    (folder / CARD).write_text(card_text(card))
    return card
