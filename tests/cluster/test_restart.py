"""A daemon that ends in the middle of a write: the next one finds out what became of it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.cluster.fake.faults import WRITES, Silence
from tests.cluster.fixtures import Cluster
from tests.cluster.world import ClusterWorld

from trimtab_controller.memory import Outcome
from trimtab_guard.modes import Mode


@pytest.fixture
def world(fake: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ClusterWorld]:
    """A guarded world on the fake cluster."""
    monkeypatch.setenv("KUBECONFIG", str(fake.kubeconfig))
    with fake.alive():
        world = ClusterWorld(tmp_path, Mode.GUARDED, fake)
        # The times of writers have seconds only: who made the objects would be in doubt.
        time.sleep(1.1)
        world.tick(9)
        yield world
    world.close()
    world.journal.close()


@pytest.mark.parametrize(
    ("silence", "plural"),
    [
        (Silence.CUT, "horizontalpodautoscalers"),
        (Silence.RESET, "horizontalpodautoscalers"),
        (Silence.CUT, "httproutes"),
        (Silence.RESET, "httproutes"),
    ],
    ids=[
        "the floor was written",
        "nothing was written",
        "the floor and the route were written",
        "the floor alone was written",
    ],
)
def test_no_write_is_lost_or_done_twice(world: ClusterWorld, silence: Silence, plural: str) -> None:
    client = world.cluster.client
    before = client.get("HorizontalPodAutoscaler", "b")["metadata"]["generation"]
    assert world.cluster.fake
    world.want(b=4, share_a=0.4)
    with world.cluster.fake.fault(silence, WRITES, plural=plural):
        assert Outcome.FAILED in (world.tick().tick.outcome for _ in range(20))
    world.restart()
    assert world.memory.intent
    world.tick(12)
    assert world.floors == (1, 4)
    weights = [
        ref["weight"] for ref in client.get("HTTPRoute", "web")["spec"]["rules"][0]["backendRefs"]
    ]
    assert weights == [4000, 6000]
    assert client.get("HorizontalPodAutoscaler", "b")["metadata"]["generation"] == before + 1
    tick = world.tick().tick
    assert (tick.outcome, tick.error, tick.mode) == (Outcome.UNCHANGED, "", Mode.GUARDED)
