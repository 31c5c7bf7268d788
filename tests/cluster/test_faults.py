"""What goes wrong with the API server: told by its name, survived, no reason to scale down."""

from __future__ import annotations

import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from functools import partial
from pathlib import Path

import pytest
import trustme
import yaml
from tests.cluster.fake.cluster import FakeCluster
from tests.cluster.fake.faults import WRITES, Refusal, Silence, Trouble
from tests.cluster.fake.server import Seen
from tests.cluster.fixtures import Cluster
from tests.cluster.objects import definition, route
from tests.cluster.test_daemon import Daemon
from tests.cluster.world import PATIENCE_S, SIGHT_S, ClusterWorld

from trimtab_controller.kubernetes.cluster import Cluster as Sight
from trimtab_controller.kubernetes.faults import ApiError, Fault
from trimtab_controller.memory import Outcome
from trimtab_controller.protocols import WRITER
from trimtab_guard.modes import Mode

# Within this, nothing can be seen; and so long it stays so, far beyond the guard's hold.
BLIND_S, STALE_TICKS, HELD_TICKS = 0.01, 5, 60


@pytest.fixture
def make(
    fake: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., ClusterWorld]]:
    """Make a guarded world on a live fake cluster."""
    monkeypatch.setenv("KUBECONFIG", str(fake.kubeconfig))
    worlds: list[ClusterWorld] = []

    def made(watch_s: int = 600) -> ClusterWorld:
        worlds.append(ClusterWorld(tmp_path, Mode.GUARDED, fake, watch_s))
        worlds[0].tick(9)
        return worlds[0]

    with fake.alive():
        yield made
    for world in worlds:
        world.close()
        world.journal.close()


def of(world: ClusterWorld) -> FakeCluster:
    assert world.cluster.fake
    return world.cluster.fake


FAILED_WRITES: dict[str, tuple[Trouble, str]] = {
    "401": (Refusal(401), "Unauthorized"),
    "403": (Refusal(403), "Forbidden"),
    "404": (Refusal(404), "NotFound"),
    "409": (Refusal(409), "Conflict"),
    "410": (Refusal(410), "Expired"),
    "422": (Refusal(422), "Invalid"),
    "429": (Refusal(429, retry_after_s=1), "TooManyRequests"),
    "500": (Refusal(500), "InternalError"),
    "504": (Refusal(504), "Timeout"),
    "hung before": (Silence.HUNG, "Timeout"),
    "hung after": (Silence.LOST, "Timeout"),
    "cut before": (Silence.RESET, "Unreachable"),
    "cut after": (Silence.CUT, "Unreachable"),
}


@pytest.mark.parametrize(("trouble", "code"), FAILED_WRITES.values(), ids=FAILED_WRITES)
def test_a_write_that_fails_is_told_and_in_the_end_done_once(
    make: Callable[..., ClusterWorld], trouble: Trouble, code: str
) -> None:
    world = make()
    before = world.cluster.client.get("HorizontalPodAutoscaler", "a")["metadata"]["generation"]
    world.want(a=4)
    with of(world).fault(trouble, WRITES, "horizontalpodautoscalers", agent=WRITER):
        tick = world.tick().tick
        assert (tick.outcome, tick.error.partition(":")[0]) == (Outcome.FAILED, code)
    world.until(lambda: world.floors == (4, 1))
    world.tick(3)
    after = world.cluster.client.get("HorizontalPodAutoscaler", "a")["metadata"]["generation"]
    assert after == before + 1


@contextmanager
def refused(world: ClusterWorld, trouble: Trouble, plural: str = "") -> Iterator[None]:
    """Every call, or every call for a kind, meets ``trouble``; all watches are cut."""
    fake = of(world)
    with fake.fault(trouble, plural=plural, agent=WRITER):
        fake.cut_watches()
        yield
    # Whoever hangs is let go.
    fake.stop()
    fake.start()


@contextmanager
def revoked(world: ClusterWorld) -> Iterator[None]:
    of(world).revoke()
    of(world).cut_watches()
    yield
    of(world).admit()


@contextmanager
def late(world: ClusterWorld) -> Iterator[None]:
    """What the watches go on from is forgotten, and a list is not to be had."""
    fake = of(world)
    with fake.fault(Refusal(410), frozenset({"list", "watch"}), agent=WRITER):
        fake.compact()
        fake.cut_watches()
        yield


@contextmanager
def half_open(world: ClusterWorld) -> Iterator[None]:
    """The watches that are open say nothing more, and one kind cannot be seen anew, either."""
    with of(world).fault(Silence.HUNG, frozenset({"list", "watch"}), "deployments", agent=WRITER):
        of(world).stall_watches()
        yield
    of(world).stop()
    of(world).start()


@contextmanager
def down(world: ClusterWorld) -> Iterator[None]:
    of(world).stop()
    try:
        yield
    finally:
        of(world).start()


@contextmanager
def deleted(world: ClusterWorld) -> Iterator[None]:
    """The namespace goes with everything in it, and somebody makes it again."""
    client = world.cluster.client
    client.delete("Namespace", client.namespace)
    yield
    client.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": client.namespace}})
    world.settle(least=4)
    trust_again(world)


@contextmanager
def undefined(world: ClusterWorld) -> Iterator[None]:
    """The Gateway API goes with all routes, and somebody installs it again."""
    client, name = world.cluster.client, "httproutes.gateway.networking.k8s.io"
    client.delete("CustomResourceDefinition", name)
    yield
    client.create(definition("gateway.networking.k8s.io", "HTTPRoute"))
    client.create(route("web", {"a": 50, "b": 50}))
    trust_again(world)


def trust_again(world: ClusterWorld) -> None:
    """Objects that somebody else made anew are a foreign write: a human has to say go on."""
    world.until(lambda: world.mandate.mode("web", world.clock()) is Mode.SHADOW)
    world.mandate.set_mode("web", Mode.GUARDED, "ann", world.clock())


Trial = Callable[[ClusterWorld], AbstractContextManager[None]]
BLIND: dict[str, tuple[Trial, str]] = {
    "401": (revoked, "Unauthorized"),
    "403": (partial(refused, trouble=Refusal(403)), "Forbidden"),
    "404": (partial(refused, trouble=Refusal(404)), "NotFound"),
    "410": (late, "Expired"),
    "429": (partial(refused, trouble=Refusal(429, retry_after_s=1)), "TooManyRequests"),
    "500": (partial(refused, trouble=Refusal(500)), "InternalError"),
    "504": (partial(refused, trouble=Refusal(504)), "Timeout"),
    "hung": (partial(refused, trouble=Silence.HUNG, plural="deployments"), "Timeout"),
    "reset": (partial(refused, trouble=Silence.RESET), "Unreachable"),
    "half-open": (half_open, "Timeout"),
    "down": (down, "Unreachable"),
    "namespace deleted": (deleted, "NotFound"),
    "CRD missing": (undefined, "NotFound"),
}


@pytest.mark.parametrize(("trouble", "code"), BLIND.values(), ids=BLIND)
def test_nothing_goes_down_that_is_not_seen(
    make: Callable[..., ClusterWorld], trouble: Trial, code: str
) -> None:
    world = make(watch_s=1 if code == "Timeout" else 600)
    world.want(a=4)
    world.until(lambda: world.stage.status().backends[0].ready == 4)
    with trouble(world):
        world.sight_s = BLIND_S
        world.want(a=1)
        world.until(lambda: world.tick().tick.error.startswith(code))
        world.tick(STALE_TICKS)
        seen = len(of(world).seen)
        assert world.tick(HELD_TICKS).tick.outcome is Outcome.HELD
        assert not [s for s in of(world).seen[seen:] if s.call.verb in WRITES and ours(s)]
    world.sight_s = SIGHT_S
    assert world.floors == (4, 1)
    world.until(lambda: world.floors[0] < 4)


def ours(seen: Seen) -> bool:
    return seen.call.agent.startswith(WRITER)


TROUBLES: tuple[Trouble, ...] = (
    *(Refusal(code) for code in (401, 403, 404, 409, 410, 422, 500, 504)),
    Refusal(429, retry_after_s=1),
    *Silence,
)


def test_the_daemon_outlives_them_all(fake: Cluster, tmp_path: Path) -> None:
    daemon = Daemon(tmp_path, fake, rate_rps=300.0)
    assert fake.fake
    with fake.alive(), daemon.running("guarded"):
        fake.client.until(lambda: sum(daemon.floors()) > 5)
        before = daemon.floors()
        for trouble in TROUBLES:
            with fake.fake.fault(trouble, agent=WRITER):
                fake.fake.compact()
                fake.fake.cut_watches()
                daemon.ticks(2)
        fake.fake.stop()
        daemon.ticks(2)
        fake.fake.start()
        assert all(now >= then for now, then in zip(daemon.floors(), before, strict=True))
        daemon.rate_rps = 600.0
        fake.client.until(lambda: sum(daemon.floors()) > sum(before) + 2)
        assert daemon.process
        assert daemon.process.poll() is None


def test_a_server_that_is_not_the_one_is_told_nothing(
    fake: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(fake.kubeconfig))
    content = yaml.safe_load(fake.kubeconfig.read_text())
    other = b64encode(trustme.CA().cert_pem.bytes()).decode()
    content["clusters"][0]["cluster"]["certificate-authority-data"] = other
    fake.kubeconfig.write_text(yaml.safe_dump(content))
    sight = Sight("", time.time, watch_s=1)
    with closing(sight), pytest.raises(ApiError, match=r"Unreachable.*[Cc]ertificate") as failed:
        sight.call(sight.api.get("/version"), PATIENCE_S)
    assert failed.value.certain


def test_the_docs_say_what_each_code_means() -> None:
    page = (Path(__file__).parents[2] / "docs" / "KUBERNETES.md").read_text()
    table = page.partition("## When the API server fails")[2].partition("\n## ")[0]
    assert {fault for fault in Fault if f"`{fault}`" in table} == set(Fault)
