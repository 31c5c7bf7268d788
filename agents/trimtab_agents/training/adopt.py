"""A policy bundle's network as a model that can be trained further.

The weights are read out of the ONNX file, number by number: what someone else trained arrives
without a line of their code.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import numpy_helper
from stable_baselines3 import PPO

from trimtab_agents.bundle import MODEL, BundleError, Network, open_network
from trimtab_agents.training.config import TrainConfig
from trimtab_agents.training.pretrain import Actor
from trimtab_agents.training.run import fresh
from trimtab_agents.training.vec_env import PairedVecEnv, Shape
from trimtab_envs.observation import FEATURES

# Rounding may differ between torch and ONNX's runtime, nothing else may.
LOGIT_TOLERANCE = 1e-4
PROBES = 256


def adopted(folder: Path) -> tuple[PPO, Network]:
    """The bundle, and a model whose actor gives the same logits.

    Raises ``BundleError`` when it is no bundle, or its network is not one that trimtab trains.
    """
    network = open_network(folder)
    model = onnx.load(str(folder / MODEL))
    weights = {
        weight.name: torch.tensor(np.array(numpy_helper.to_array(weight)))
        for weight in model.graph.initializer
    }
    try:
        learner = _untrained(len(weights["_hidden.0.bias"]))
        Actor(learner).load_state_dict(weights)
    except (KeyError, RuntimeError) as error:
        raise BundleError(
            f"{folder / MODEL}: not a network that trimtab trains ({error})"
        ) from error
    if not np.allclose(*_logits(learner, network), atol=LOGIT_TOLERANCE):
        raise BundleError(f"{folder / MODEL}: decides otherwise than its weights say")
    return learner, network


def _untrained(width: int) -> PPO:
    """A model on the smallest of batches: only its actor matters here."""
    config = TrainConfig(width=width, n_steps=2, batch_size=2)
    return fresh(config, PairedVecEnv([], 0, (Shape(1, 1, 60.0),), pool=1), None)


def _logits(model: PPO, network: Network) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The actor's and the bundle's own, on observations of all sizes."""
    shape = PROBES, len(FEATURES)
    probes = np.random.default_rng(0).normal(scale=2.0, size=shape).astype(np.float32)
    with torch.no_grad():
        mine = Actor(model)(torch.as_tensor(probes)).numpy()
    return mine, network.session.run(None, {"observation": probes})[0]
