"""How an API server is read: lists, pages, selections, watches, and what there is to read."""

from __future__ import annotations

from itertools import islice

import pytest
from tests.cluster.fixtures import Cluster
from tests.cluster.objects import lease
from tests.cluster.test_fake import version


def test_a_watch_tells_what_was_since_and_what_comes(cluster: Cluster) -> None:
    made = cluster.client.create(lease("one", "a"))
    cluster.client.patch("Lease", "one", {"spec": {"holderIdentity": "b"}})
    events = cluster.client.watch("Lease", version(made))
    seen = [next(events)]
    cluster.client.create(lease("two", "a"))
    cluster.client.delete("Lease", "one")
    seen += islice(events, 2)
    assert [(e["type"], e["object"]["metadata"]["name"]) for e in seen] == [
        ("MODIFIED", "one"),
        ("ADDED", "two"),
        ("DELETED", "one"),
    ]
    versions = [int(version(event["object"])) for event in seen]
    assert versions == sorted(set(versions))


def test_a_selection_is_entered_and_left(cluster: Cluster) -> None:
    made = cluster.client.create(lease("one", "a"))
    events = cluster.client.watch("Lease", version(made), labelSelector="in=yes")
    for label in ("no", "yes", "no"):
        cluster.client.patch("Lease", "one", {"metadata": {"labels": {"in": label}}})
    assert [event["type"] for event in islice(events, 2)] == ["ADDED", "DELETED"]


def test_a_watch_ends_when_its_time_is_over(cluster: Cluster) -> None:
    made = cluster.client.create(lease("one", "a"))
    assert list(cluster.client.watch("Lease", version(made), for_s=1)) == []


def test_a_list_is_read_in_pages_as_it_was(cluster: Cluster) -> None:
    for name in "abc":
        cluster.client.create(lease(name, "x"))
    path = f"/apis/coordination.k8s.io/v1/namespaces/{cluster.namespace}/leases"
    first = cluster.client.call("GET", path, limit="2")
    cluster.client.delete("Lease", "c")
    cluster.client.call("GET", path, limit="1")
    rest = cluster.client.call("GET", path, query={"continue": first["metadata"]["continue"]})
    names = [each["metadata"]["name"] for each in first["items"] + rest["items"]]
    assert names == ["a", "b", "c"]


SELECTED = {
    "all": ({}, "abc"),
    "equal": ({"labelSelector": "tier=front"}, "a"),
    "not equal": ({"labelSelector": "tier!=front"}, "bc"),
    "one of": ({"labelSelector": "tier in (front, back)"}, "ab"),
    "none of": ({"labelSelector": "tier notin (front)"}, "bc"),
    "there": ({"labelSelector": "tier"}, "ab"),
    "not there": ({"labelSelector": "!tier"}, "c"),
    "both": ({"labelSelector": "tier,tier!=front"}, "b"),
    "named": ({"fieldSelector": "metadata.name=c"}, "c"),
}


@pytest.mark.parametrize(("query", "names"), SELECTED.values(), ids=SELECTED)
def test_a_list_is_what_is_selected(cluster: Cluster, query: dict[str, str], names: str) -> None:
    for name, labels in {"a": {"tier": "front"}, "b": {"tier": "back"}, "c": {}}.items():
        made = lease(name, "x")
        cluster.client.create({**made, "metadata": {"name": name, "labels": labels}})
    found = cluster.client.list("Lease", **query)
    assert "".join(each["metadata"]["name"] for each in found) == names


@pytest.mark.parametrize(
    ("path", "resource"),
    [
        ("/api/v1", "pods"),
        ("/apis/apps/v1", "deployments/scale"),
        ("/apis/autoscaling/v2", "horizontalpodautoscalers"),
        ("/apis/gateway.networking.k8s.io/v1", "httproutes"),
    ],
)
def test_what_is_served_is_told(cluster: Cluster, path: str, resource: str) -> None:
    served = cluster.client.call("GET", path)["resources"]
    assert resource in {each["name"] for each in served}
    if path != "/api/v1":
        _, _, group, version = path.split("/")
        groups = cluster.client.call("GET", "/apis")["groups"]
        found = next(each for each in groups if each["name"] == group)
        assert f"{group}/{version}" in {each["groupVersion"] for each in found["versions"]}
