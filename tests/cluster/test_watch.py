"""Watches: listed once, resumed from where they were, told when they are dead."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest
from tests.cluster.fake.cluster import FakeCluster
from tests.cluster.fake.faults import Refusal, Silence, Trouble
from tests.cluster.fixtures import Cluster
from tests.cluster.objects import autoscaler, custom, definition, deployment

from trimtab_controller.kubernetes import kinds
from trimtab_controller.kubernetes.api import MERGE_PATCH
from trimtab_controller.kubernetes.cluster import Cluster as Sight
from trimtab_controller.kubernetes.faults import ApiError, Fault
from trimtab_controller.kubernetes.spec import TargetSpec

PATIENCE_S = 30.0


@pytest.fixture
def sight(fake: Cluster, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sight]:
    """Watches that end after a second."""
    monkeypatch.setenv("KUBECONFIG", str(fake.kubeconfig))
    with Sight("", time.time, 1) as sight:
        yield sight


def of(cluster: Cluster) -> FakeCluster:
    assert cluster.fake
    return cluster.fake


def until(wanted: Callable[[], bool]) -> None:
    end_s = time.monotonic() + PATIENCE_S
    while not wanted():
        assert time.monotonic() < end_s
        time.sleep(0.01)


def calls(cluster: Cluster, verb: str) -> int:
    """How often trimtab asked so for autoscalers."""
    return sum(
        seen.call.verb == verb and seen.call.kind.plural == "horizontalpodautoscalers"
        for seen in of(cluster).seen
        if seen.call.agent == "trimtab"
    )


def test_a_watch_goes_on_from_where_it_was(sight: Sight, fake: Cluster) -> None:
    watch = sight.watch(kinds.AUTOSCALERS, fake.namespace)
    assert sight.start(PATIENCE_S)
    fake.client.create(autoscaler("a"))
    until(lambda: set(watch.objects) == {"a"})
    until(lambda: calls(fake, "watch") >= 3)
    of(fake).cut_watches()
    fake.client.create(autoscaler("b"))
    fake.client.delete("HorizontalPodAutoscaler", "a")
    until(lambda: set(watch.objects) == {"b"})
    assert calls(fake, "list") == 1


def test_what_is_too_old_to_go_on_from_is_listed_anew(sight: Sight, fake: Cluster) -> None:
    fake.client.create(autoscaler("a"))
    watch = sight.watch(kinds.AUTOSCALERS, fake.namespace)
    assert sight.start(PATIENCE_S)
    assert set(watch.objects) == {"a"}
    of(fake).stop()
    until(lambda: watch.fault is not None)
    of(fake).start()
    fake.client.delete("HorizontalPodAutoscaler", "a")
    of(fake).compact()
    until(lambda: not watch.objects)
    assert watch.fault is None
    assert calls(fake, "list") == 2


def test_a_watch_that_hangs_is_found_out(sight: Sight, fake: Cluster) -> None:
    watch = sight.watch(kinds.AUTOSCALERS, fake.namespace)
    assert sight.start(PATIENCE_S)
    of(fake).stall_watches()
    fake.client.create(autoscaler("a"))
    until(lambda: bool(watch.fault and watch.fault.fault is Fault.TIMEOUT))
    until(lambda: set(watch.objects) == {"a"})
    assert watch.fault is None


QUIET: dict[str, tuple[Trouble, Fault, str]] = {
    "asked to wait": (
        Refusal(429, retry_after_s=2),
        Fault.THROTTLED,
        "TooManyRequests: GET /api/v1/namespaces: not sent, the server asked to wait: ",
    ),
    "left waiting": (
        Silence.HUNG,
        Fault.TIMEOUT,
        "Timeout: GET /api/v1/namespaces: not sent, the server does not answer: ",
    ),
}


@pytest.mark.parametrize(("trouble", "fault", "words"), QUIET.values(), ids=QUIET)
def test_when_one_must_wait_the_others_do_not_even_ask(
    sight: Sight, fake: Cluster, trouble: Trouble, fault: Fault, words: str
) -> None:
    with of(fake).fault(trouble, plural="nodes"), pytest.raises(ApiError) as first:
        sight.call(sight.api.get("/api/v1/nodes"), PATIENCE_S)
    assert first.value.fault is fault
    sent = len(of(fake).seen)
    with pytest.raises(ApiError, match=words) as second:
        sight.call(sight.api.get("/api/v1/namespaces"), PATIENCE_S)
    assert second.value.certain
    assert len(of(fake).seen) == sent

    def answered() -> bool:
        with suppress(ApiError):
            return bool(sight.call(sight.api.get("/api/v1/namespaces"), PATIENCE_S))
        return False

    until(answered)


def test_a_kind_that_is_not_installed_has_no_objects_until_it_is(
    sight: Sight, fake: Cluster
) -> None:
    watch = sight.watch(kinds.SCALED_OBJECTS, fake.namespace)
    watch.for_s = 1
    assert sight.start(PATIENCE_S)
    assert (watch.objects, watch.fault) == ({}, None)
    fake.client.create(definition("keda.sh", "ScaledObject", "v1alpha1"))
    for name, spec in (("so", {"scaleTargetRef": {"name": "web"}}), ("odd", {"scaleTargetRef": 7})):
        fake.client.create(custom("keda.sh/v1alpha1", "ScaledObject", name, spec))
    until(lambda: set(watch.objects) == {"so"})


def test_only_targets_are_kept(sight: Sight, fake: Cluster) -> None:
    for name in ("web", "api", "batch"):
        fake.client.create(deployment(name))
    targets = [
        sight.target(TargetSpec("Deployment", name), fake.namespace) for name in ("web", "api")
    ]
    assert targets[0] is targets[1]
    assert sight.start(PATIENCE_S)
    assert set(targets[0].objects) == {"web", "api"}


def test_a_kind_that_does_not_scale_is_no_target(sight: Sight, fake: Cluster) -> None:
    target = TargetSpec("ConfigMap", "web", "v1")
    watch = sight.target(target, fake.namespace)
    assert not sight.start(1.0)
    assert "NotFound: v1 has no ConfigMap with a scale subresource" in str(watch.fault)


def test_an_answer_to_a_write_may_be_older_than_what_was_told(sight: Sight, fake: Cluster) -> None:
    fake.client.create(autoscaler("a"))
    watch = sight.watch(kinds.AUTOSCALERS, fake.namespace)
    assert sight.start(PATIENCE_S)
    path = f"{kinds.AUTOSCALERS.resource.path(fake.namespace, 'a')}"
    write = sight.api.write("PATCH", path, {"spec": {"minReplicas": 3}}, MERGE_PATCH)
    old = kinds.AUTOSCALERS.read(sight.call(write, PATIENCE_S))
    fake.client.patch("HorizontalPodAutoscaler", "a", {"spec": {"minReplicas": 4}})
    until(lambda: watch.objects["a"].least == 4)
    watch.put(old)
    assert watch.objects["a"].least == 4
