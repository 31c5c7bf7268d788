"""A ServiceAccount may do what its roles say, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from tests.cluster.client import Client, Object, Refused
from tests.cluster.fixtures import Cluster
from tests.cluster.objects import deployment

RBAC = "rbac.authorization.k8s.io"
RULES: list[Object] = [
    {"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["get", "list", "watch"]},
    {
        "apiGroups": ["apps"],
        "resources": ["deployments/scale"],
        "verbs": ["get", "update", "patch"],
        "resourceNames": ["web"],
    },
]


@pytest.fixture
def reader(cluster: Cluster) -> Iterator[Client]:
    """Somebody bound to `RULES`, beside two Deployments."""
    cluster.client.create(deployment("web"))
    cluster.client.create(deployment("other"))
    named = {"name": "reader"}
    cluster.client.create({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": named})
    role = {"apiVersion": f"{RBAC}/v1", "kind": "Role", "metadata": named, "rules": RULES}
    cluster.client.create(role)
    subject = {"kind": "ServiceAccount", "name": "reader", "namespace": cluster.namespace}
    binding = {"apiVersion": f"{RBAC}/v1", "kind": "RoleBinding", "metadata": named}
    ref = {"apiGroup": RBAC, "kind": "Role", "name": "reader"}
    cluster.client.create({**binding, "subjects": [subject], "roleRef": ref})
    client = Client(cluster.as_account("reader"), cluster.namespace)
    # An authorizer learns of new roles a moment later.
    client.until(lambda: client.list("Deployment"))
    yield client
    client.close()


DONE: dict[str, Callable[[Client], object]] = {
    "reads one": lambda c: c.get("Deployment", "web"),
    "reads all": lambda c: c.list("Deployment"),
    "scales the one it may": lambda c: c.scale("Deployment", "web", 2),
}
DENIED: dict[str, Callable[[Client], object]] = {
    "writes": lambda c: c.patch("Deployment", "web", {"spec": {"replicas": 3}}),
    "makes": lambda c: c.create(deployment("new")),
    "deletes": lambda c: c.delete("Deployment", "web"),
    "scales another": lambda c: c.scale("Deployment", "other", 2),
    "reads another kind": lambda c: c.list("Pod"),
    "reads what has no namespace": lambda c: c.list("Node"),
}


@pytest.mark.parametrize("act", DONE.values(), ids=DONE)
def test_what_a_role_allows_is_done(reader: Client, act: Callable[[Client], object]) -> None:
    act(reader)


@pytest.mark.parametrize("act", DENIED.values(), ids=DENIED)
def test_what_no_role_allows_is_forbidden(reader: Client, act: Callable[[Client], object]) -> None:
    with pytest.raises(Refused, match="is forbidden: User"):
        act(reader)
