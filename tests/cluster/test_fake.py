"""What every API server does, as far as trimtab depends on it: the fake's, and any real one's."""

from __future__ import annotations

import pytest
from tests.cluster.client import Object, Refused
from tests.cluster.fixtures import Cluster
from tests.cluster.objects import lease


def _version(thing: Object) -> str:
    return str(thing["metadata"]["resourceVersion"])


def _owner(thing: Object, field: str) -> set[str]:
    """Who owns ``spec.field``."""
    entries = thing["metadata"]["managedFields"]
    return {
        each["manager"] for each in entries if f"f:{field}" in each["fieldsV1"].get("f:spec", {})
    }


def test_a_write_based_on_an_old_version_is_refused(cluster: Cluster) -> None:
    made = cluster.client.create(lease("leader", "a"))
    made["spec"]["holderIdentity"] = "b"
    cluster.client.replace(made)
    with pytest.raises(Refused) as refused:
        cluster.client.replace(made)
    assert (refused.value.code, refused.value.body["reason"]) == (409, "Conflict")
    assert cluster.client.get("Lease", "leader")["spec"]["holderIdentity"] == "b"
