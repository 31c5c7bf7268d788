"""`python -m trimtab_agents.training.envelope BUNDLE`: what a policy met in training, on its card.

The same loads and profiles as in training, under the policy as it is now and with the noise of
its choices: a function of the bundle, whose card has the configuration, and the seed. The
network stays as it is.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

from trimtab_agents.bundle import CARD, ENVELOPE, Network, open_network
from trimtab_agents.envelope import Envelope
from trimtab_agents.training.config import TrainConfig
from trimtab_agents.training.run import train_traces
from trimtab_agents.training.vec_env import SHAPES, PairedVecEnv
from trimtab_envs.action import ENDS
from trimtab_envs.codec import DECISION_S
from trimtab_envs.episodes import LONGEST_S
from trimtab_sim.profile import Floats

# As long as the longest episode, so that every memory gets as old as in training.
DECISIONS = round(LONGEST_S / DECISION_S)


def add_envelope(folder: Path, decisions: int = DECISIONS, seed: int | None = None) -> Envelope:
    """Roll out for so many decisions of each service, and write the card anew.

    ``seed`` is the training's own unless it is given. `BundleError` when it is no bundle.
    """
    network = open_network(folder)
    config = TrainConfig(**network.card["config"])
    rng = np.random.default_rng(config.seed if seed is None else seed)
    envelope = Envelope.of(observed(network, config, decisions, rng))
    card = network.card | {ENVELOPE: envelope.ranges}
    (folder / CARD).write_text(card_text(card))
    return envelope


def observed(
    network: Network, config: TrainConfig, decisions: int, rng: np.random.Generator
) -> NDArray[np.float32]:
    """The observations of ``decisions`` decisions of every service, ``[N, F]``."""
    seed = int(rng.integers(2**31))
    env = PairedVecEnv(train_traces(), seed, SHAPES, config.pool)
    seen = [env.reset()]
    for _ in range(decisions - 1):
        env.step_async(_drawn(network.infer(seen[-1]), rng))
        seen.append(env.step_wait()[0])
    return np.concatenate(seen)


def card_text(card: dict[str, Any]) -> str:
    """A card as it is written."""
    return json.dumps(card, indent=2) + "\n"


def _drawn(choices: Floats, rng: np.random.Generator) -> NDArray[np.int64]:
    """One action per row, as PPO draws them."""
    parts = np.split(choices, ENDS[:-1], axis=1)
    drawn = [(part.cumsum(1) < rng.random((len(part), 1))).sum(1) for part in parts]
    last = [part.shape[1] - 1 for part in parts]
    return np.asarray(np.minimum(np.stack(drawn, axis=1), last))


@click.command()
@click.argument("bundle", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--seed", type=click.IntRange(0), help="Of the rollouts; default: the training's.")
def main(bundle: Path, seed: int | None) -> None:
    """Add the training envelope to BUNDLE's card; its network stays as it is."""
    envelope = add_envelope(bundle, seed=seed)
    for feature, (low, high) in envelope.ranges.items():
        click.echo(f"{feature:24} {low:10.4g} {high:10.4g}")


if __name__ == "__main__":
    main()
