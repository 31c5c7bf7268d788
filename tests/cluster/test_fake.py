"""What every API server does, as far as trimtab depends on it: the fake's, and any real one's."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.cluster.client import Client, Object, Refused
from tests.cluster.fixtures import Cluster
from tests.cluster.objects import (
    autoscaler,
    deployment,
    lease,
    route,
)


def refusal(act: Callable[[], object]) -> tuple[int, str]:
    """The code and the reason with which ``act`` is refused."""
    with pytest.raises(Refused) as refused:
        act()
    return refused.value.code, refused.value.body["reason"]


def version(thing: Object) -> str:
    return str(thing["metadata"]["resourceVersion"])


def owners(thing: Object, field: str) -> set[str]:
    """Who owns ``spec.field``."""
    entries = thing["metadata"]["managedFields"]
    return {
        each["manager"] for each in entries if f"f:{field}" in each["fieldsV1"].get("f:spec", {})
    }


def floored(least: int, **metadata: str) -> Object:
    """What trimtab applies: the floor alone."""
    kind = {"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler"}
    return {**kind, "metadata": {"name": "web", **metadata}, "spec": {"minReplicas": least}}


def fixed(old: Object) -> Object:
    """What a patch or an apply says of ``old`` so that nothing else is written."""
    return {"name": "web", "resourceVersion": version(old)}


WRITES: dict[str, Callable[[Client, Object], Object]] = {
    "put": lambda client, old: client.replace({**old, "spec": {**old["spec"], "replicas": 9}}),
    "put scale": lambda client, old: client.put_scale(old, 9),
    "merge patch": lambda client, old: client.patch(
        "Deployment", "web", {"metadata": fixed(old), "spec": {"replicas": 9}}
    ),
    "json patch": lambda client, old: client.patch(
        "Deployment",
        "web",
        [
            {"op": "replace", "path": "/metadata/resourceVersion", "value": version(old)},
            {"op": "replace", "path": "/spec/replicas", "value": 9},
        ],
    ),
    "apply": lambda client, old: client.apply(
        {**kind_of(old), "metadata": fixed(old), "spec": {"replicas": 9}}, force=True
    ),
}


def kind_of(thing: Object) -> Object:
    return {name: thing[name] for name in ("apiVersion", "kind")}


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
def test_a_write_finds_what_it_is_based_on_or_changes_nothing(
    cluster: Cluster, write: Callable[[Client, Object], Object]
) -> None:
    old = cluster.client.create(deployment("web", 1))
    cluster.client.patch("Deployment", "web", {"metadata": {"labels": {"touched": "yes"}}})
    assert refusal(lambda: write(cluster.client, old)) == (409, "Conflict")
    assert cluster.client.get("Deployment", "web")["spec"]["replicas"] == 1
    # A controller may be faster than the second try.
    cluster.client.until(lambda: write(cluster.client, cluster.client.get("Deployment", "web")))
    assert cluster.client.get("Deployment", "web")["spec"]["replicas"] == 9


def test_a_json_patch_whose_test_fails_is_invalid(cluster: Cluster) -> None:
    cluster.client.create(route("web", {"a": 1}))
    patch = [{"op": "test", "path": "/metadata/resourceVersion", "value": "1"}]
    assert refusal(lambda: cluster.client.patch("HTTPRoute", "web", patch)) == (422, "Invalid")


REFUSED: dict[str, tuple[Callable[[Client], object], tuple[int, str]]] = {
    "no such object": (lambda c: c.get("Deployment", "nobody"), (404, "NotFound")),
    "no such scale": (lambda c: c.get("HTTPRoute", "web", "scale"), (404, "NotFound")),
    "there already": (lambda c: c.create(route("web", {"a": 1})), (409, "AlreadyExists")),
    "floor above the most": (lambda c: c.create(autoscaler("b", 3, 2)), (422, "Invalid")),
    "floor of nothing": (lambda c: c.apply(floored(2)), (422, "Invalid")),
    "weight below zero": (lambda c: c.create(route("b", {"a": -1})), (422, "Invalid")),
    "fewer than none": (lambda c: c.scale("Deployment", "web", -1), (422, "Invalid")),
    "lease of no time": (lambda c: c.create(lease("b", "x", 0)), (422, "Invalid")),
    "applied by nobody": (lambda c: c.apply(floored(2), manager=""), (422, "Invalid")),
    "gone since": (lambda c: c.apply(floored(2, uid="0-0")), (409, "Conflict")),
}


@pytest.mark.parametrize(("act", "answer"), REFUSED.values(), ids=REFUSED)
def test_what_is_wrong_is_refused(
    cluster: Cluster, act: Callable[[Client], object], answer: tuple[int, str]
) -> None:
    cluster.client.create(deployment("web"))
    cluster.client.create(route("web", {"a": 1}))
    assert refusal(lambda: act(cluster.client)) == answer


def test_nothing_is_made_where_there_is_no_namespace(cluster: Cluster) -> None:
    elsewhere = Client(cluster.kubeconfig, "nowhere")
    assert elsewhere.list("Deployment") == []
    assert refusal(lambda: elsewhere.create(deployment("web"))) == (404, "NotFound")
    elsewhere.close()


def test_the_floor_is_taken_by_force_and_leaves_all_else_alone(cluster: Cluster) -> None:
    cluster.client.create(autoscaler("web", 1, 20))
    cluster.client.patch("HorizontalPodAutoscaler", "web", {"spec": {"minReplicas": 2}})
    assert refusal(lambda: cluster.client.apply(floored(5), "trimtab")) == (409, "Conflict")
    made = cluster.client.apply(floored(5), "trimtab", force=True)
    assert (made["spec"]["minReplicas"], made["spec"]["maxReplicas"]) == (5, 20)
    assert owners(made, "minReplicas") == {"trimtab"}
    assert "trimtab" not in owners(made, "maxReplicas")


def test_whoever_changes_a_field_owns_it_then(cluster: Cluster) -> None:
    cluster.client.create(autoscaler("web", 1, 20))
    cluster.client.apply(floored(5), "trimtab", force=True)
    made = cluster.client.patch(
        "HorizontalPodAutoscaler", "web", {"spec": {"minReplicas": 7}}, manager="ann"
    )
    assert owners(made, "minReplicas") == {"ann"}


def test_who_agrees_with_a_value_owns_it_as_well(cluster: Cluster) -> None:
    cluster.client.create(autoscaler("web", 1, 20))
    cluster.client.apply(floored(5), "trimtab", force=True)
    assert owners(cluster.client.apply(floored(5), "gitops"), "minReplicas") == {
        "gitops",
        "trimtab",
    }


def test_what_nobody_applies_any_more_goes_back_to_its_default(cluster: Cluster) -> None:
    cluster.client.create(autoscaler("web", 1, 20))
    cluster.client.apply(floored(5), "trimtab", force=True)
    nothing = {**floored(5), "spec": {}}
    made = cluster.client.apply(nothing, "trimtab")
    assert made["spec"]["minReplicas"] == 1
    assert "trimtab" not in owners(made, "minReplicas")


def test_the_scale_has_an_owner_of_its_own(cluster: Cluster) -> None:
    cluster.client.create(deployment("web", 1))
    cluster.client.scale("Deployment", "web", 4, manager="ann")
    made = cluster.client.get("Deployment", "web")
    entries = {e["manager"]: e.get("subresource") for e in made["metadata"]["managedFields"]}
    assert (made["spec"]["replicas"], entries["ann"]) == (4, "scale")
    assert owners(made, "replicas") == {"ann"}


def test_a_scale_says_where_its_pods_are(cluster: Cluster) -> None:
    cluster.client.create(deployment("web", 3))
    scale = cluster.client.get("Deployment", "web", "scale")
    assert scale["spec"] == {"replicas": 3}
    assert scale["status"]["selector"] == "app=web"


def test_a_write_that_changes_nothing_makes_no_version(cluster: Cluster) -> None:
    cluster.client.create(autoscaler("web", 1, 20))
    first = cluster.client.apply(floored(5), "trimtab", force=True)
    again = cluster.client.apply(floored(5), "trimtab", force=True)
    assert owners(first, "minReplicas") == owners(again, "minReplicas")
    if cluster.fake:  # a real controller writes its status in between
        assert version(first) == version(again)


def test_the_status_is_written_apart(cluster: Cluster) -> None:
    made = cluster.client.create(route("web", {"a": 1}))
    parents = {"parents": []}
    cluster.client.replace({**made, "spec": {}, "status": parents}, "status")
    now = cluster.client.get("HTTPRoute", "web")
    assert (now["spec"], now["status"]) == (made["spec"], parents)
    assert now["metadata"]["generation"] == made["metadata"]["generation"]


def test_a_strategic_patch_goes_into_lists_by_their_keys(cluster: Cluster) -> None:
    cluster.client.create(deployment("web"))
    containers = [
        {"name": "main", "env": [{"name": "A", "value": "1"}]},
        {"name": "side", "image": "x"},
    ]
    patch = {"spec": {"template": {"spec": {"containers": containers}}}}
    path = f"/apis/apps/v1/namespaces/{cluster.namespace}/deployments/web"
    media = "application/strategic-merge-patch+json"
    made = cluster.client.call("PATCH", path, patch, media)
    kept = {each["name"]: each for each in made["spec"]["template"]["spec"]["containers"]}
    assert kept["main"]["image"]
    assert kept["main"]["env"] == containers[0]["env"]
    assert set(kept) == {"main", "side"}
