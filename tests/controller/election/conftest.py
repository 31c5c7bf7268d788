"""Daemons that share a Lease, a journal in a real PostgreSQL, and the live stage."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.cluster.fixtures import Cluster
from tests.controller.conftest import DEMO, Processes
from tests.journal.conftest import postgres_url, server

from trimtab_controller.journal import read

# A real PostgreSQL, as for the journal's own tests.
__all__ = ["postgres_url", "server"]


class Replicas(Processes):
    """Daemons of one configuration, each with an address of its own; ``url`` is their journal."""

    def __init__(self, folder: Path, url: str, lease: str) -> None:
        super().__init__(folder)
        self.url = url
        self.demo = str(folder / "trimtab.yaml")
        Path(self.demo).write_text(Path(DEMO).read_text() + f"\nlease: {lease}\n")

    def start_replica(self, name: str) -> Any:
        return self.start_daemon("--journal", self.url, "--listen", f"unix:{self.folder}/{name}")

    def end(self) -> None:
        """Also those that a test that failed has left frozen."""
        for process in self.running:
            process.send_signal(signal.SIGCONT)
        super().end()

    @property
    def epochs(self) -> list[int]:
        return [entry.body["epoch"] for entry in read(self.url, kinds=("epoch",))]


@pytest.fixture
def replicas(
    cluster: Cluster, postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Replicas]:
    """None runs yet; the Lease is in the test's own namespace, with the times of a real one."""
    monkeypatch.setenv("KUBECONFIG", str(cluster.kubeconfig))
    replicas = Replicas(tmp_path, postgres_url, f"{{namespace: {cluster.namespace}}}")
    yield replicas
    replicas.end()
