"""A tuned bundle is its parent, moved; it is kept if it is better, and says where it is from."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")

from trimtab_agents.bundle import CARD, ENVELOPE, MODEL, BundleError, load, shipped_path  # noqa: E402 - torch decides whether this file runs
from trimtab_agents.rules.static import StaticRule  # noqa: E402
from trimtab_agents.train_command import train  # noqa: E402
from trimtab_agents.training.adopt import adopted  # noqa: E402
from trimtab_agents.training.config import PRESETS as TRAIN_PRESETS  # noqa: E402
from trimtab_agents.training.export import onnx_bytes  # noqa: E402
from trimtab_agents.training.history import PastEpisodes, Service, read_history  # noqa: E402
from trimtab_agents.training.pretrain import Actor  # noqa: E402
from trimtab_agents.training.trial import Stretch  # noqa: E402
from trimtab_agents.training.tune import PRESETS, Origin, tune  # noqa: E402
from trimtab_agents.training.tuned_rule import families, tuned_rule  # noqa: E402
from trimtab_envs.action import HEADROOMS, STARTS  # noqa: E402
from trimtab_envs.observation import FEATURES  # noqa: E402
from trimtab_sim.profile import BackendProfile, Profile  # noqa: E402
from trimtab_sim.profile_file import service_text  # noqa: E402
from trimtab_sim.traces import TraceError  # noqa: E402

WEB = Service(Profile("web", (BackendProfile("a", startup_mean_s=30.0),)), 50.0)
HOUR_S = 3600.0
WAVE = 400.0 + 200.0 * np.sin(np.arange(4 * 60) / 10.0)


def save(path: Path, rate_rps: np.ndarray, step_s: float = 60.0) -> Path:
    rows = [f"{row * step_s:g},{rate:g}" for row, rate in enumerate(rate_rps)]
    path.write_text("\n".join(["seconds,requests_per_second", *rows]) + "\n")
    return path


@pytest.fixture
def history(tmp_path: Path) -> Path:
    return save(tmp_path / "web_60s.csv", WAVE)


@pytest.fixture
def profile(tmp_path: Path) -> Path:
    path = tmp_path / "web.yaml"
    path.write_text(service_text(WEB.profile))
    return path


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return Path(shutil.copytree(shipped_path(), tmp_path / "parent"))


def replace_model(folder: Path, content: bytes) -> None:
    (folder / MODEL).write_bytes(content)
    card = json.loads((folder / CARD).read_text())
    card["sha256"] = hashlib.sha256(content).hexdigest()
    (folder / CARD).write_text(json.dumps(card))


@pytest.fixture
def wasteful(bundle: Path) -> Path:
    """The shipped policy, but for a liking for far too much headroom."""
    model, _ = adopted(bundle)
    with torch.no_grad():
        model.policy.action_net.bias[STARTS[1] + len(HEADROOMS) - 1] += 4.0
    replace_model(bundle, onnx_bytes(model))
    return bundle


def test_the_weights_read_from_onnx_give_the_bundles_logits() -> None:
    model, network = adopted(shipped_path())
    seen = np.random.default_rng(7).normal(size=(512, len(FEATURES))).astype(np.float32)
    with torch.no_grad():
        mine = Actor(model)(torch.as_tensor(seen)).numpy()
    np.testing.assert_allclose(mine, network.session.run(None, {"observation": seen})[0], atol=2e-5)


def rename_weight(graph: onnx.GraphProto) -> None:
    old = graph.initializer[0].name
    graph.initializer[0].name = "other"
    for node in graph.node:
        node.input[:] = ["other" if name == old else name for name in node.input]


def bend(graph: onnx.GraphProto) -> None:
    next(node for node in graph.node if node.op_type == "Tanh").op_type = "Relu"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param(rename_weight, "not a network that trimtab trains", id="unknown weight"),
        pytest.param(bend, "decides otherwise than its weights say", id="another activation"),
    ],
)
def test_a_network_of_another_kind_is_not_tuned(
    bundle: Path, change: Callable[[onnx.GraphProto], None], message: str
) -> None:
    model = onnx.load(str(bundle / MODEL))
    change(model.graph)
    replace_model(bundle, model.SerializeToString())
    with pytest.raises(BundleError, match=message) as refused:
        adopted(bundle)
    assert str(bundle) in str(refused.value)


@pytest.mark.parametrize(
    ("rate_rps", "message"),
    [
        pytest.param(WAVE[:-1], "lasts 4.0 h: give 4 h", id="short"),
        pytest.param(np.repeat([0.0, 5.0], [180, 60]), "no request in its first 3.0 h", id="idle"),
        pytest.param(np.repeat([5.0, 0.0], [180, 60]), "no request in its last 1.0 h", id="over"),
    ],
)
def test_a_history_that_cannot_serve_is_refused(
    tmp_path: Path, rate_rps: np.ndarray, message: str
) -> None:
    path = save(tmp_path / "web_60s.csv", rate_rps)
    with pytest.raises(TraceError, match=message) as refused:
        read_history(path)
    assert str(path) in str(refused.value)


def test_the_last_quarter_is_held_back_but_no_more_than_a_day(tmp_path: Path) -> None:
    for hours, held_back_h in ((4, 1.0), (40, 10.0), (200, 24.0)):
        found = read_history(save(tmp_path / "h.csv", np.arange(1.0, hours + 1), HOUR_S))
        assert found.held_back_h == held_back_h
        assert found.past_h == hours - held_back_h
        assert found.held_back_rps[-1] == hours


def test_episodes_are_of_the_service_and_lie_in_its_past(history: Path) -> None:
    past_rps = read_history(history).past_rps
    source = PastEpisodes(np.random.default_rng(0), WEB, past_rps)
    drawn = source.draw(100, 1)
    assert (drawn.profiles.startup_mean_s == 30.0).all()
    assert (drawn.start + drawn.ticks <= len(past_rps)).all()
    for row in range(100):
        load = past_rps[drawn.start[row] :][: drawn.ticks[row]] * drawn.gain[row]
        assert drawn.mean_rps[row] == pytest.approx(load.mean(), rel=1e-5)


def test_only_what_follows_the_lived_part_counts() -> None:
    rates = np.concatenate([np.full((500, 1), 4000.0), np.full((720, 2), 400.0).mean(1)[:, None]])
    score = Stretch(WEB, rates, 500).play(StaticRule(10.0), 3)
    # Ten replicas of 80 rps under 400 rps; what was left waiting at first is late, once.
    np.testing.assert_allclose(score.fleet, 2.0)
    assert score.miss[0].max() > 0.0
    np.testing.assert_allclose(score.miss[1:], 0.0023, atol=0.002)


def test_nobody_gains_over_himself() -> None:
    stretch = Stretch(WEB, np.full((360, 1), 400.0), 0)
    same, bigger = (stretch.play(StaticRule(size), 4) for size in (10.0, 14.0))
    assert same.gain_over(same) == (0.0, 0.0)
    gain, error = same.gain_over(bigger)
    assert gain > 2.0 * error > 0.0
    assert bigger.gain_over(same)[0] == pytest.approx(-gain)


@pytest.mark.parametrize("backends", [1, 2])
def test_the_tuned_rule_scores_what_it_was_chosen_for(backends: int) -> None:
    groups = tuple(BackendProfile(name, startup_mean_s=30.0) for name in "ab"[:backends])
    rates = np.tile([400.0, 300.0], (120, 8))
    stretch = Stretch(Service(Profile("web", groups), 50.0), rates, 24)
    told: list[None] = []
    # Rows draw their arrivals together, so a rule meets others when it is alone.
    rule = tuned_rule(stretch, 80, lambda: told.append(None))
    assert len(told) == len(families(backends))
    assert stretch.play(rule.policy(16), 1).j.mean() == pytest.approx(rule.j, rel=0.1)
    assert rule.j < stretch.play(StaticRule(20.0), 1).j.mean()


def run(*arguments: object) -> tuple[int, str]:
    found = CliRunner().invoke(train, [*map(str, arguments), "--no-progress"])
    return found.exit_code, found.output


@pytest.mark.timeout(600)
def test_the_command_tunes_a_wasteful_policy(
    wasteful: Path, profile: Path, history: Path, tmp_path: Path
) -> None:
    out = tmp_path / "runs" / "web"
    command = ("--preset", "smoke", "--from", wasteful, "--service", profile, "--history", history)
    code, output = run(*command, "--out", out)
    assert code == 0, output
    card, parent = load(out).network.card, load(wasteful).network.card
    assert card["parent"] == {"name": parent["name"], "sha256": parent["sha256"]}
    assert card["name"] == f"{parent['name']}+web"
    tuned = card["tuned"]
    assert tuned["history"]["sha256"] == hashlib.sha256(history.read_bytes()).hexdigest()
    assert tuned["held_back"]["after"]["J"] < tuned["held_back"]["before"]["J"]
    for feature, (low, high) in parent[ENVELOPE].items():
        assert card[ENVELOPE][feature][0] <= low <= high <= card[ENVELOPE][feature][1]
    assert {path.name for path in out.parent.iterdir()} == {"web"}
    assert run(*command, "--out", out)[0] == 1
    assert load(out).network.card == card


@pytest.mark.timeout(600)
def test_what_is_not_better_is_not_written(history: Path, tmp_path: Path) -> None:
    still = replace(PRESETS["smoke"].descent, learning_rate=0.0)
    config = replace(PRESETS["smoke"], descent=still)
    origin = Origin(shipped_path(), WEB, read_history(history), config)
    steps: list[None] = []
    judgement = tune(origin, tmp_path / "runs" / "web", lambda: steps.append(None))
    assert judgement.gain == (0.0, 0.0)
    assert not judgement.helps
    assert len(steps) == origin.steps
    assert not list((tmp_path / "runs").iterdir())


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        pytest.param(("--service", "PROFILE"), 2, "both --service and --history", id="no history"),
        pytest.param(("--from", "."), 2, "both --service and --history", id="nothing to tune for"),
        pytest.param(
            ("--service", "PROFILE", "--history", "HISTORY", "--decisions", "9"),
            2, "leave out --decisions", id="a length",
        ),
        pytest.param(
            ("--service", "PROFILE", "--history", "PROFILE"), 1, "web.yaml:1: header", id="no CSV"
        ),
        pytest.param(
            ("--service", "HISTORY", "--history", "HISTORY"), 1, "web_60s.csv:", id="no profile"
        ),
        pytest.param(
            ("--service", "PROFILE", "--history", "HISTORY", "--from", "."),
            1, "policy.onnx: cannot be read", id="no bundle",
        ),
        pytest.param(
            ("--service", "PROFILE", "--history", "HISTORY", "--out", "."),
            1, "is there already", id="folder in use",
        ),
    ],
)  # fmt: skip
def test_bad_input_is_said_at_once(
    profile: Path, history: Path, arguments: tuple[str, ...], code: int, message: str
) -> None:
    paths = {"PROFILE": str(profile), "HISTORY": str(history)}
    found, output = run(*(paths.get(argument, argument) for argument in arguments))
    assert (found, message in output) == (code, True), output


def test_every_preset_of_training_is_one_of_tuning() -> None:
    assert set(PRESETS) == set(TRAIN_PRESETS)
