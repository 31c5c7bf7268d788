"""What replicas hold: a leak takes it, the limit ends it, a restart frees it."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from trimtab_controller.cli import main
from trimtab_proto.v1 import stage_pb2
from trimtab_proto.v1.stage_pb2 import BackendAsk

from .client import Stage, eventually

pytestmark = pytest.mark.stage
LIMIT_BYTES = 64 << 20


def leak(stage: Stage, *arguments: str) -> str:
    socket = f"--socket={stage.directory}/stage.sock"
    done = CliRunner().invoke(main, ["stage", "leak", *arguments, socket])
    assert done.exit_code == 0, done.output
    return done.output


def spot(stage: Stage) -> stage_pb2.StageBackend:
    return stage.status().backends[1]


def test_a_leak_is_real_and_a_restart_frees_it(stage: Stage) -> None:
    eventually(lambda: spot(stage).ready >= 1 and not spot(stage).outdated)
    idle = spot(stage)
    assert 5e6 < idle.memory_bytes < 30e6
    assert idle.memory_limit_bytes == LIMIT_BYTES
    assert "leak 600 MB a minute" in leak(stage, "spot", "--mb-per-minute=600")
    eventually(lambda: spot(stage).memory_bytes > idle.memory_bytes + 10e6)
    leak(stage, "spot", "--mb-per-minute=0")
    stage.apply(BackendAsk(name="spot", restart=True))
    eventually(lambda: not spot(stage).outdated and spot(stage).memory_bytes < 30e6, within_s=40)


def test_what_holds_too_much_is_killed_and_comes_back_leaking(stage: Stage) -> None:
    crashed = spot(stage).crashed
    leak(stage, "spot", "--mb-per-minute=3000")
    eventually(lambda: spot(stage).crashed >= crashed + 4, within_s=40)
    leak(stage, "spot", "--mb-per-minute=0")
    stage.apply(BackendAsk(name="spot", restart=True))
    eventually(lambda: spot(stage).ready >= 1 and not spot(stage).outdated, within_s=40)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("spat", "--mb-per-minute=1"), "unknown backend 'spat'"),
        (("spot", "--mb-per-minute=1e5"), "give 0 to 10000"),
    ],
)
def test_what_cannot_leak_is_named(stage: Stage, arguments: tuple[str, ...], message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        leak(stage, *arguments)
