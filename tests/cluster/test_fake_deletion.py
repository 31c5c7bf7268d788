"""How objects end: who holds them, what goes with them, and what only would have gone."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import pytest
from tests.cluster.client import Client, Refused
from tests.cluster.fixtures import Cluster
from tests.cluster.objects import custom, definition, deployment, lease
from tests.cluster.test_fake import refusal

LEASES = "/apis/coordination.k8s.io/v1/namespaces/{}/leases"


def gone(look: Callable[[], object]) -> bool:
    with suppress(Refused):
        look()
        return False
    return True


def test_a_finalizer_holds_what_is_deleted(cluster: Cluster) -> None:
    held = {**lease("one", "a"), "metadata": {"name": "one", "finalizers": ["example.com/mine"]}}
    cluster.client.create(held)
    cluster.client.delete("Lease", "one")
    marked = cluster.client.get("Lease", "one")["metadata"]
    assert marked["deletionTimestamp"]
    cluster.client.patch("Lease", "one", {"metadata": {"finalizers": None}})
    assert gone(lambda: cluster.client.get("Lease", "one"))


@pytest.mark.parametrize("name", ["uid", "resourceVersion"])
def test_another_object_is_not_deleted_for_it(cluster: Cluster, name: str) -> None:
    cluster.client.create(lease("one", "a"))
    path, options = f"{LEASES.format(cluster.namespace)}/one", {"preconditions": {name: "1"}}
    assert refusal(lambda: cluster.client.call("DELETE", path, options)) == (409, "Conflict")
    real = {"preconditions": {name: cluster.client.get("Lease", "one")["metadata"][name]}}
    cluster.client.call("DELETE", path, real)
    assert cluster.client.list("Lease") == []


def test_a_selection_is_deleted(cluster: Cluster) -> None:
    for name in "ab":
        labels = {"name": name, "labels": {"is": name}}
        cluster.client.create({**lease(name, "x"), "metadata": labels})
    cluster.client.call("DELETE", LEASES.format(cluster.namespace), labelSelector="is=a")
    assert [each["metadata"]["name"] for each in cluster.client.list("Lease")] == ["b"]


def test_a_dry_run_changes_nothing(cluster: Cluster) -> None:
    path, dry = LEASES.format(cluster.namespace), {"dryRun": "All"}
    made = cluster.client.call("POST", path, lease("one", "a"), query=dry)
    assert made["spec"]["holderIdentity"] == "a"
    assert cluster.client.list("Lease") == []
    cluster.client.create(lease("one", "a"))
    patch = {"spec": {"holderIdentity": "b"}}
    media = "application/merge-patch+json"
    changed = cluster.client.call("PATCH", f"{path}/one", patch, media, query=dry)
    assert changed["spec"]["holderIdentity"] == "b"
    cluster.client.call("DELETE", f"{path}/one", query=dry)
    assert cluster.client.get("Lease", "one")["spec"]["holderIdentity"] == "a"


def test_a_kind_comes_and_goes_with_its_definition(cluster: Cluster) -> None:
    group = f"{cluster.namespace}.example.com"
    made = custom(f"{group}/v1", "Rollout", "web", {"replicas": 3})
    path = f"/apis/{group}/v1/namespaces/{cluster.namespace}/rollouts"
    with pytest.raises(Refused, match="404"):
        cluster.client.create(made)
    cluster.client.create(definition(group, "Rollout", scale=True))
    cluster.client.until(lambda: cluster.client.create(made))
    scale = cluster.client.call("GET", f"{path}/web/scale")
    assert (scale["kind"], scale["spec"]["replicas"]) == ("Scale", 3)
    cluster.client.delete("CustomResourceDefinition", f"rollouts.{group}")
    cluster.client.until(lambda: gone(lambda: cluster.client.call("GET", path)))


def test_a_namespace_takes_with_it_what_is_in_it(cluster: Cluster) -> None:
    name = f"{cluster.namespace}-other"
    cluster.client.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    inside = Client(cluster.kubeconfig, name)
    inside.create(deployment("web"))
    cluster.client.delete("Namespace", name)
    cluster.client.until(lambda: gone(lambda: cluster.client.get("Namespace", name)))
    assert inside.list("Deployment") == []
    inside.close()
