"""The harness brings a cluster to life: pods are made, placed, ready and ended, in both worlds."""

from __future__ import annotations

from tests.cluster.client import Object
from tests.cluster.fixtures import Cluster
from tests.cluster.objects import autoscaler, deployment, disruption_budget


def status(cluster: Cluster, kind: str, name: str = "web") -> Object:
    return dict(cluster.client.get(kind, name).get("status", {}))


def ready(cluster: Cluster, wanted: int) -> None:
    """Wait until so many replicas are there, and all of them are ready."""

    def there() -> bool:
        now = status(cluster, "Deployment")
        return (now.get("replicas", 0), now.get("readyReplicas", 0)) == (wanted, wanted)

    cluster.client.until(there)


def test_replicas_become_ready_and_go_again(cluster: Cluster) -> None:
    with cluster.alive(nodes=2):
        cluster.client.create(deployment("web", 3))
        ready(cluster, 3)
        cluster.client.scale("Deployment", "web", 1)
        ready(cluster, 1)
        cluster.client.until(lambda: len(cluster.client.list("Pod")) == 1)


def test_a_raised_floor_raises_the_replicas(cluster: Cluster) -> None:
    with cluster.alive():
        cluster.client.create(deployment("web", 1))
        cluster.client.create(autoscaler("web", 1, 9))
        ready(cluster, 1)
        cluster.client.patch("HorizontalPodAutoscaler", "web", {"spec": {"minReplicas": 4}})
        ready(cluster, 4)


def test_a_pod_without_room_says_so(cluster: Cluster) -> None:
    with cluster.alive(nodes=1, pods=2):
        cluster.client.create(deployment("web", 3))

        def unplaced() -> bool:
            conditions = [
                condition
                for pod in cluster.client.list("Pod")
                for condition in pod["status"].get("conditions", ())
            ]
            return [c for c in conditions if c.get("reason") == "Unschedulable"] != []

        cluster.client.until(unplaced)


def test_a_budget_is_counted(cluster: Cluster) -> None:
    with cluster.alive():
        cluster.client.create(disruption_budget("web", "50%"))
        cluster.client.create(deployment("web", 3))
        cluster.client.until(
            lambda: status(cluster, "PodDisruptionBudget").get("disruptionsAllowed") == 1
        )
        assert status(cluster, "PodDisruptionBudget")["desiredHealthy"] == 2
