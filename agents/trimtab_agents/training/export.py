"""From a trained model to a policy bundle that the daemon can load."""

from __future__ import annotations

import hashlib
import io
import subprocess
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from stable_baselines3 import PPO

from trimtab_agents.bundle import CARD, MODEL
from trimtab_agents.training.config import TRAIN_TRACES, TrainConfig
from trimtab_agents.training.envelope import DECISIONS, add_envelope, card_text
from trimtab_agents.training.pretrain import Actor
from trimtab_envs.action import ACTION_DIMS
from trimtab_envs.observation import FEATURES, schema_hash


def onnx_bytes(model: PPO) -> bytes:
    """The actor as ONNX, with any number of rows."""
    buffer = io.BytesIO()
    torch.onnx.export(
        Actor(model).eval(),
        (torch.zeros(1, len(FEATURES)),),
        buffer,  # type: ignore[arg-type]  # the legacy exporter takes a file object
        input_names=["observation"],
        output_names=["logits"],
        dynamic_axes={"observation": {0: "rows"}, "logits": {0: "rows"}},
        opset_version=17,
        dynamo=False,
    )
    return buffer.getvalue()


def export(
    model: PPO, config: TrainConfig, folder: Path, name: str, decisions: int = DECISIONS
) -> None:
    """Write ``policy.onnx`` and its card into ``folder``.

    The card's training envelope is what so many decisions of each service meet.
    """
    folder.mkdir(parents=True, exist_ok=True)
    content = onnx_bytes(model)
    (folder / MODEL).write_bytes(content)
    card: dict[str, Any] = {
        "name": name,
        "sha256": hashlib.sha256(content).hexdigest(),
        "schema_hash": schema_hash(),
        "features": FEATURES,
        "action_dims": ACTION_DIMS,
        "miss_price_range": [5.0, 500.0],
        "trained_decisions": model.num_timesteps,
        "train_traces": TRAIN_TRACES,
        "config": asdict(config),
        "commit": commit(),
    }
    (folder / CARD).write_text(card_text(card))
    add_envelope(folder, decisions)


def commit() -> str:
    """The commit of the code that runs, or ``unknown``."""
    found = subprocess.run(
        ["git", "rev-parse", "HEAD"],  # noqa: S607 - whichever git the user has
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parent,
    )
    return found.stdout.strip() or "unknown"
