"""The policy bundle: a network as ONNX with a card that says what it is and where it holds.

The daemon loads nothing else: a training checkpoint is a pickle, and a pickle from a stranger
is code.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from trimtab_agents.envelope import Envelope, Stray
from trimtab_envs.action import CHOICES, ENDS
from trimtab_envs.codec import Codec
from trimtab_envs.observation import FEATURES, schema_hash
from trimtab_sim.profile import Floats, Profiles
from trimtab_sim.signals import Sensed, Wanted

MODEL, CARD = "policy.onnx", "policy.json"
# The card's key.
ENVELOPE = "envelope"
MODEL_BYTES_LIMIT = 16 * 2**20


class BundleError(ValueError):
    """A bundle that must not be used; the message says which file and why."""


def shipped_path() -> Path:
    """Where the bundle that ships with trimtab lies."""
    return Path(str(files("trimtab_agents") / "shipped"))


def load(path: Path | None = None) -> PpoPolicy:
    """Load and check a bundle; ``None`` is the shipped one. Raises ``BundleError``."""
    folder = path or shipped_path()
    network = open_network(folder)
    return PpoPolicy(network, _envelope(folder / CARD, network.card))


def open_network(folder: Path) -> Network:
    """What decides, and its card: checked, but for its training envelope. ``BundleError``."""
    model = _read(folder / MODEL)
    try:
        card = json.loads(_read(folder / CARD))
        recorded, schema, _ = card["sha256"], card["schema_hash"], card["name"]
    except (ValueError, KeyError, TypeError) as error:
        raise BundleError(f"{folder / CARD}: not a policy card ({error!r})") from error
    if recorded != hashlib.sha256(model).hexdigest():
        raise BundleError(
            f"{folder / MODEL}: its SHA-256 is not the one in {CARD}; export it again"
        )
    if schema != schema_hash():
        raise BundleError(
            f"{folder / CARD}: made for another observation or action schema; "
            "train it again with this version, or use the version that made it"
        )
    return Network(_session(folder / MODEL, model), card)


def _envelope(path: Path, card: dict[str, Any]) -> Envelope:
    """Nobody can say what a policy without one was trained on, so it may not decide at all."""
    if ENVELOPE not in card:
        raise BundleError(
            f"{path}: has no training envelope; `python -m trimtab_agents.training.envelope "
            f"{path.parent}` adds it"
        )
    try:
        return Envelope.read(card[ENVELOPE])
    except (ValueError, TypeError, AttributeError) as error:
        raise BundleError(f"{path}: its training envelope is none ({error})") from error


def _read(path: Path) -> bytes:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise BundleError(f"{path}: cannot be read ({error.strerror})") from error
    if len(content) > MODEL_BYTES_LIMIT:
        raise BundleError(f"{path}: larger than {MODEL_BYTES_LIMIT} bytes, not a trimtab policy")
    return content


def _session(path: Path, model: bytes) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    try:
        session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        logits = session.run(None, {"observation": np.zeros((1, len(FEATURES)), np.float32)})[0]
    except Exception as error:  # onnxruntime raises its own unrelated exception types
        raise BundleError(f"{path}: not an ONNX policy ({error})") from error
    if logits.shape != (1, CHOICES):
        raise BundleError(f"{path}: gives {logits.shape[-1]} logits, need {CHOICES}")
    return session


@dataclass(frozen=True, slots=True)
class Network:
    """The trained part, and what its card says."""

    session: ort.InferenceSession
    card: dict[str, Any]

    def infer(self, observation: NDArray[np.float32]) -> Floats:
        """Its own distributions over its choices, ``[.., CHOICES]``.

        Their mean is what it does; ``observation`` is ``[.., F]``.
        """
        rows = observation.reshape(-1, observation.shape[-1])
        logits = self.session.run(None, {"observation": rows})[0]
        # A choice at a time, of all rows: so few columns of so many rows are slow to sum.
        columns = np.ascontiguousarray(logits.T, dtype=np.float64)
        parts = [_softmax(part) for part in np.split(columns, ENDS[:-1])]
        chosen = np.ascontiguousarray(np.concatenate(parts).T)
        return chosen.reshape(*observation.shape[:-1], CHOICES)


class PpoPolicy:
    """A trained network that sets the rule's parameters at every decision.

    ``strays`` has, of every service, what of the last decision's observation was outside of the
    training envelope.
    """

    def __init__(self, network: Network, envelope: Envelope) -> None:
        self.name = str(network.card["name"])
        self.network = network
        self.strays: list[Stray | None] = []
        self.envelope = envelope
        self._ticks = 0

    def fresh(self) -> PpoPolicy:
        """The same network with a memory of its own; `reset` prepares it."""
        return PpoPolicy(self.network, self.envelope)

    def reset(self, profiles: Profiles, miss_price: Floats, tick_s: float) -> None:
        """Forget everything and prepare for B new services."""
        self._codec = Codec(profiles, miss_price, tick_s)
        self._ticks = 0

    def act(self, sensed: Sensed) -> Wanted:
        """Decide for one tick; the network is asked only when a decision is due."""
        self._codec.sense(sensed)
        if self._ticks % self._codec.decision_ticks == 0:
            observation = self._codec.observe()
            self.strays = self.envelope.strays(observation, self._codec.profiles.present)
            self._codec.choose(self.network.infer(self.envelope.nearest(observation)))
        self._ticks += 1
        return self._codec.want()


def _softmax(logits: Floats) -> Floats:
    weights = np.exp(logits - logits.max(axis=0))
    return np.asarray(weights / weights.sum(axis=0))
