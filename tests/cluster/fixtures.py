"""Where a test finds its cluster: the fake, or the real one that KUBECONFIG names.

A test that asks for ``cluster`` runs against the fake, and once more, marked ``cluster``, against
the real one. That only happens when the mark is asked for (``pytest -m cluster``), so that nobody's
cluster is written to because their shell happens to have a KUBECONFIG. A test of what only a fake
can be told to do (faults, restarts) asks for ``fake``.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
import yaml

if TYPE_CHECKING:
    from tests.cluster.client import Client
    from tests.cluster.fake.cluster import FakeCluster
    from tests.cluster.kubelet import Kubelet


@dataclass(frozen=True, slots=True)
class Cluster:
    """A cluster with an empty ``namespace``. ``fake`` is ``None`` when it is a real one."""

    kubeconfig: Path
    namespace: str
    client: Client
    folder: Path
    fake: FakeCluster | None = None

    def as_account(self, account: str, namespace: str = "") -> Path:
        """A kubeconfig of a ServiceAccount, which may do what its roles say."""
        from tests.cluster.client import Client

        client = Client(self.kubeconfig, namespace or self.namespace)
        user = {"token": client.token(account)}
        client.close()
        content = yaml.safe_load(self.kubeconfig.read_text())
        content["users"] = [{**each, "user": user} for each in content["users"]]
        path = self.folder / f"{account}.kubeconfig"
        path.write_text(yaml.safe_dump(content))
        return path

    @contextmanager
    def alive(self, nodes: int = 1, pods: int = 100, start_s: float = 0.0) -> Iterator[Kubelet]:
        """Inside the ``with`` pods are made, placed on ``nodes`` and become ready."""
        from tests.cluster.beat import Beat
        from tests.cluster.controllers import Controllers
        from tests.cluster.kubelet import Kubelet

        kubelet = Kubelet(self.client, nodes, pods, start_s)
        with ExitStack() as beats:
            beats.callback(kubelet.end)
            beats.enter_context(Beat("kubelet", kubelet.step))
            if self.fake:
                beats.enter_context(Beat("controllers", Controllers(self.client).step))
            yield kubelet


def _in_namespace(
    kubeconfig: Path, namespace: str, folder: Path, fake: FakeCluster | None
) -> Iterator[Cluster]:
    from tests.cluster.client import Client

    client = Client(kubeconfig, namespace)
    client.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
    yield Cluster(kubeconfig, namespace, client, folder, fake)
    if fake is None:
        client.delete("Namespace", namespace)
    client.close()


def _fake(folder: Path) -> Iterator[Cluster]:
    from tests.cluster.fake.cluster import FakeCluster

    fake = FakeCluster()
    yield from _in_namespace(fake.kubeconfig(folder / "kubeconfig"), "shop", folder, fake)
    fake.close()


def _real(folder: Path) -> Iterator[Cluster]:
    path = os.environ.get("KUBECONFIG")
    if not path:
        pytest.skip("KUBECONFIG names no cluster")
    yield from _in_namespace(Path(path), f"trimtab-test-{uuid4().hex[:8]}", folder, None)


@pytest.fixture(params=["fake", pytest.param("real", marks=pytest.mark.cluster)])
def cluster(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Cluster]:
    """A cluster with a namespace of the test's own."""
    if request.param == "fake":
        yield from _fake(tmp_path)
    elif "cluster" in request.config.option.markexpr:
        yield from _real(tmp_path)
    else:
        pytest.skip("writes to the cluster of KUBECONFIG: ask for it with -m cluster")


@pytest.fixture
def fake(tmp_path: Path) -> Iterator[Cluster]:
    """The fake cluster, which can be told to go wrong."""
    yield from _fake(tmp_path)
