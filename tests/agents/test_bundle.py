"""A bundle is code from elsewhere: everything wrong with one is found before it decides."""

from __future__ import annotations

import hashlib
import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from trimtab_agents.bundle import CARD, ENVELOPE, MODEL, BundleError, load, shipped_path
from trimtab_envs.action import CHOICES, ENDS
from trimtab_envs.observation import FEATURES


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return Path(shutil.copytree(shipped_path(), tmp_path / "bundle"))


def edit_card(folder: Path, **changes: object) -> None:
    card = json.loads((folder / CARD).read_text()) | changes
    (folder / CARD).write_text(json.dumps(card))


def drop_envelope(folder: Path) -> None:
    card = json.loads((folder / CARD).read_text())
    del card[ENVELOPE]
    (folder / CARD).write_text(json.dumps(card))


def edit_range(folder: Path, bounds: list[float | None]) -> None:
    ranges = json.loads((folder / CARD).read_text())[ENVELOPE]
    edit_card(folder, envelope=ranges | {"size": bounds})


def replace_model(folder: Path, content: bytes) -> None:
    (folder / MODEL).write_bytes(content)
    edit_card(folder, sha256=hashlib.sha256(content).hexdigest())


def test_the_shipped_bundle_loads_and_decides() -> None:
    choices = load().network.infer(np.zeros((5, 2, len(FEATURES)), dtype=np.float32))
    assert choices.shape == (5, 2, CHOICES)
    for part in np.split(choices, ENDS[:-1], axis=-1):
        np.testing.assert_allclose(part.sum(-1), 1.0)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        pytest.param(lambda f: (f / MODEL).unlink(), "cannot be read", id="no model"),
        pytest.param(lambda f: (f / CARD).unlink(), "cannot be read", id="no card"),
        pytest.param(lambda f: (f / CARD).write_text("{"), "not a policy card", id="broken card"),
        pytest.param(lambda f: (f / CARD).write_text("[]"), "not a policy card", id="list card"),
        pytest.param(lambda f: edit_card(f, sha256="00"), "SHA-256", id="wrong hash"),
        pytest.param(lambda f: edit_card(f, schema_hash="00"), "schema", id="other schema"),
        pytest.param(drop_envelope, "training.envelope .*bundle` adds it", id="no envelope"),
        pytest.param(lambda f: edit_range(f, [1, 0]), "upside down", id="inverted envelope"),
        pytest.param(lambda f: edit_range(f, [0, None]), "envelope is none", id="no number"),
        pytest.param(lambda f: edit_range(f, [0]), "envelope is none", id="half a range"),
        pytest.param(lambda f: edit_card(f, envelope=[]), "envelope is none", id="list envelope"),
        pytest.param(
            lambda f: replace_model(f, pickle.dumps({"a": 1})), "not an ONNX policy", id="pickle"
        ),
        pytest.param(lambda f: replace_model(f, b""), "not an ONNX policy", id="empty model"),
        pytest.param(lambda f: (f / MODEL).write_bytes(bytes(17 * 2**20)), "larger", id="huge"),
    ],
)
def test_a_bad_bundle_is_refused(
    bundle: Path, damage: Callable[[Path], object], message: str
) -> None:
    damage(bundle)
    with pytest.raises(BundleError, match=message) as refused:
        load(bundle)
    assert str(bundle) in str(refused.value)
