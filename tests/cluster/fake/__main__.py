"""``python -m tests.cluster.fake KUBECONFIG``: a fake cluster to look at by hand with kubectl."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

from tests.cluster.fake.cluster import FakeCluster


def main() -> None:
    cluster = FakeCluster()
    path = cluster.kubeconfig(Path(sys.argv[1]))
    print(f"{cluster.url}: KUBECONFIG={path} kubectl get namespaces", flush=True)  # noqa: T201  # says where
    signal.sigwait({signal.SIGINT, signal.SIGTERM})
    cluster.close()


if __name__ == "__main__":
    main()
