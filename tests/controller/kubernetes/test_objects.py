"""What is kept of raw objects: counts and doubts are told as the API server means them."""

from __future__ import annotations

from typing import Any

import pytest

from trimtab_controller.kubernetes import objects
from trimtab_controller.kubernetes.objects import Phase, Reference, Selector, Weight, Writer
from trimtab_guard.authority import NO_EPOCH, Epoch

Raw = dict[str, Any]


def raw(spec: Raw | None = None, status: Raw | None = None, **metadata: Any) -> Raw:
    return {"metadata": {"name": "x", **metadata}, "spec": spec or {}, "status": status or {}}


def conditions(**status: str) -> Raw:
    found = [{"type": name, "status": value} for name, value in status.items()]
    return {"phase": "Running", "conditions": found}


@pytest.mark.parametrize(
    ("thing", "phase"),
    [
        (raw(), Phase.STARTING),
        (raw(status={"phase": "Pending"}), Phase.STARTING),
        (raw(status=conditions(Ready="False")), Phase.STARTING),
        (raw(status=conditions(Ready="Unknown")), Phase.STARTING),
        (raw(status=conditions(Ready="True")), Phase.READY),
        (raw(status=conditions(Ready="True"), deletionTimestamp="now"), Phase.DRAINING),
        (raw(status={"phase": "Failed"}), Phase.OVER),
        (raw(status={"phase": "Succeeded"}, deletionTimestamp="now"), Phase.OVER),
    ],
)
def test_what_a_pod_is_to_its_backend(thing: Raw, phase: Phase) -> None:
    assert objects.pod(thing).phase is phase


@pytest.mark.parametrize(
    ("condition", "told"),
    [
        ({"status": "True"}, ""),
        ({"status": "False", "reason": "SchedulingGated", "message": "gated"}, ""),
        ({"status": "False", "reason": "Unschedulable", "message": "0/3 nodes"}, "0/3 nodes"),
        ({"status": "False", "reason": "Unschedulable"}, "no node takes it"),
    ],
)
def test_a_pod_that_no_node_takes(condition: Raw, told: str) -> None:
    status = {"conditions": [{"type": "PodScheduled", **condition}]}
    assert objects.pod(raw(status=status)).unschedulable == told


def progressing(reason: str) -> Raw:
    return {"conditions": [{"type": "Progressing", "status": "True", "reason": reason}]}


SEEN = {"observedGeneration": 3}
ROLLING: dict[str, tuple[Raw, bool]] = {
    "new, nothing known": (raw(), False),
    "all of the newest": (raw(status={"replicas": 3, "updatedReplicas": 3}), False),
    "some are old": (raw(status={"replicas": 3, "updatedReplicas": 2}), True),
    "all are old, and 0 is left out": (raw(status={"replicas": 3}), True),
    "scaling up is none": (raw({"replicas": 9}, {"replicas": 3, "updatedReplicas": 3}), False),
    "not seen by its controller": (raw(status=SEEN, generation=4), True),
    "seen": (raw(status=SEEN, generation=3), False),
    "under way": (raw(status=progressing("ReplicaSetUpdated")), True),
    "stuck": (raw(status=progressing("ProgressDeadlineExceeded")), True),
    "complete": (raw(status=progressing("NewReplicaSetAvailable")), False),
    "a kind that does not count": ({**raw(status={"replicas": 3}), "scale": {}}, False),
    "a kind that counts": (
        {**raw(status={"replicas": 3, "updatedReplicas": 1}), "scale": {}},
        True,
    ),
}


@pytest.mark.parametrize(("thing", "expected"), ROLLING.values(), ids=ROLLING)
def test_rollouts(thing: Raw, expected: bool) -> None:
    assert objects.rolling(thing) is expected
    assert objects.workload(thing).rolling is expected


LABELS = {"app": "web", "tier": "spot"}


@pytest.mark.parametrize(
    ("text", "picks"),
    [
        ("", True),
        ("app=web", True),
        ("app==web,tier=spot", True),
        ("app=api", False),
        ("app!=api", True),
        ("tier in (spot,cheap)", True),
        ("tier notin (spot, cheap)", False),
        ("app,!gone", True),
        ("!app", False),
        ("example.org/part-of=shop", False),
    ],
)
def test_written_selectors(text: str, picks: bool) -> None:
    assert objects.written_selector(text).picks(LABELS) is picks


@pytest.mark.parametrize("text", ["app=web,,", "a b", "app in spot", "(x)"])
def test_what_is_no_selector(text: str) -> None:
    with pytest.raises(ValueError, match="is no label selector"):
        objects.written_selector(text)


@pytest.mark.parametrize(
    ("term", "picks"),
    [
        ({"key": "tier", "operator": "In", "values": ["spot"]}, True),
        ({"key": "tier", "operator": "NotIn", "values": ["spot"]}, False),
        ({"key": "gone", "operator": "NotIn", "values": ["spot"]}, True),
        ({"key": "tier", "operator": "Exists"}, True),
        ({"key": "tier", "operator": "DoesNotExist"}, False),
    ],
)
def test_label_selectors(term: Raw, picks: bool) -> None:
    both = {"matchLabels": {"app": "web"}, "matchExpressions": [term]}
    assert objects.selector(both).picks(LABELS) is picks
    assert not objects.selector({**both, "matchLabels": {"app": "api"}}).picks(LABELS)


def test_a_kind_of_ones_own_is_read_through_its_scale() -> None:
    scale = {"spec": {"replicas": 4}, "status": {"selector": "app=web"}}
    found = objects.workload({**raw({"size": 9}), "scale": scale})
    assert (found.replicas, found.selector) == (4, Selector({"app": "web"}))


@pytest.mark.parametrize(
    ("ref", "expected"),
    [
        ({"name": "x"}, Reference("apps", "Deployment", "x")),
        ({"apiVersion": "v1", "kind": "Y", "name": "x"}, Reference("", "Y", "x")),
        ({"apiVersion": "a.b/v1", "kind": "Y", "name": "x"}, Reference("a.b", "Y", "x")),
    ],
)
def test_what_an_autoscaler_scales(ref: Raw, expected: Reference) -> None:
    found = objects.autoscaler(raw({"scaleTargetRef": ref, "maxReplicas": 3}))
    assert (found.target, found.least, found.most) == (expected, 1, 3)
    assert objects.scaled_object(raw({"scaleTargetRef": ref})).target == expected


@pytest.mark.parametrize(
    ("policy", "idle"),
    [({}, False), ({"updateMode": "Off"}, True), ({"updateMode": "Initial"}, False)],
)
def test_a_vertical_autoscaler_that_only_recommends_is_no_owner(policy: Raw, idle: bool) -> None:
    spec = {"targetRef": {"kind": "Deployment", "name": "x"}, "updatePolicy": policy}
    assert objects.vertical_autoscaler(raw(spec)).idle is idle


@pytest.mark.parametrize(
    ("ref", "service"),
    [
        ({"name": "web"}, "web"),
        ({"name": "web", "kind": "Service", "namespace": "shop", "group": ""}, "web"),
        ({"name": "web", "namespace": "other"}, "Service other/web"),
        ({"name": "web", "kind": "Function"}, "Function shop/web"),
    ],
)
def test_only_services_of_its_namespace_are_backends(ref: Raw, service: str) -> None:
    rules = [{"matches": []}, {"backendRefs": [{"name": "a", "weight": 3}, ref]}]
    found = objects.route(raw({"rules": rules}, namespace="shop"))
    assert found.weights == (Weight(1, 0, "a", 3), Weight(1, 1, service, 1))


@pytest.mark.parametrize(("least", "expected"), [(3, 3), ("50%", 0), (None, 0)])
def test_only_a_number_of_a_budget_is_a_floor(least: Any, expected: int) -> None:
    spec = {"minAvailable": least, "selector": {"matchLabels": {"app": "web"}}}
    assert objects.budget(raw(spec)).least == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", NO_EPOCH),
        ("soon", NO_EPOCH),
        ("-1 us", NO_EPOCH),
        ("4", Epoch(4, "")),
        ("4 trimtab on a, process 1", Epoch(4, "trimtab on a, process 1")),
    ],
)
def test_the_epoch_in_an_annotation(text: str, expected: Epoch) -> None:
    found = objects.meta(raw(annotations={objects.EPOCH: text, objects.REQUEST: "r"}))
    assert (found.epoch, found.request_id, found.annotated) == (expected, "r", True)


def test_who_owns_a_field() -> None:
    entries = [
        {"manager": "helm", "time": "t1", "fieldsV1": {"f:spec": {"f:replicas": {}}}},
        {"manager": "kubectl", "time": "t2", "fieldsV1": {"f:spec": {"f:template": {}}}},
        {"manager": "hpa", "time": "t3", "fieldsV1": {"f:spec": {"f:replicas": {}}}},
        {"manager": "odd"},
    ]
    found = objects.writers(raw(managedFields=entries), "f:spec", "f:replicas")
    assert [*found] == [Writer("helm", "t1"), Writer("hpa", "t3")]


@pytest.mark.parametrize(
    ("now", "than", "newer"),
    [
        (("u", "10"), ("u", "9"), True),
        (("u", "9"), ("u", "9"), True),
        (("u", "9"), ("u", "10"), False),
        (("v", "1"), ("u", "10"), True),
        (("u", "odd"), ("u", "odd"), True),
    ],
)
def test_versions_are_compared_as_numbers(
    now: tuple[str, str], than: tuple[str, str], newer: bool
) -> None:
    here, there = (objects.Meta("x", uid, version) for uid, version in (now, than))
    assert here.newer(there) is newer
