"""Variants and their copies are let through where that is wanted, and nothing beside them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from trimtab_controller.kubernetes.variants import Origin, mirrored
from trimtab_controller.variants.plan import Setting, Variant
from trimtab_guard.authority import Epoch

from .evaluator import Review
from .writes import US, Object, Server, edited, moved, route

SHOP = {"namespace": "shop", "name": "web"}
POD = {
    "metadata": {"labels": {"app": "web"}, "annotations": {"a": "b"}},
    "spec": {"containers": [{"name": "web", "env": []}]},
}


def copied(before: list[Object], *names: str, share: float = 0.1) -> Review:
    """A write that has rule 0 copy for variants, beside the filters that it had."""
    old, new = route(50, 50), route(60, 40)
    old["spec"]["rules"][0]["filters"] = before
    new["spec"]["rules"][0]["filters"] = mirrored(before, 80, names, share)
    return moved(new, old)


def made(kind: str, service: str = "web-spot", known_as: str = "r3-0", **more: Any) -> Review:
    """A variant's Job or Service as it is made, with what the API server adds to it."""
    target = {"metadata": SHOP, "kind": "Deployment", "spec": {"template": POD}}
    entrance = {"metadata": {"name": service}, "spec": {"ports": [{"port": 80}]}}
    origin, epoch = Origin("web", target, entrance), Epoch(3, "ann")
    if kind == "jobs":
        new = origin.job(known_as, Variant((Setting("env.A", 2.0),), 1), epoch)
        new["spec"]["template"]["metadata"]["labels"]["batch.kubernetes.io/job-name"] = "x"
    else:
        new = origin.entrance(known_as, epoch)
        new["spec"] |= {"type": "ClusterIP", "clusterIP": "10.0.0.1"}
    group = "batch" if kind == "jobs" else ""
    name = new["metadata"]["name"]
    fields = {"operation": "CREATE", "name": name, **more}
    return Review(US, kind, group, new, **fields)


def gone(review: Review) -> Review:
    return replace(review, new=None, old=review.new, operation="DELETE")


FOREIGN = {"type": "RequestHeaderModifier", "requestHeaderModifier": {"remove": ["x"]}}
THEIRS = {"type": "RequestMirror", "requestMirror": {"backendRef": {"name": "audit", "port": 80}}}
FIRST, SECOND = "web-spot-trimtab-r3-0", "web-spot-trimtab-r3-1"
OF_VARIANTS = {
    "copies": copied([], FIRST, SECOND),
    "copies behind others": copied([FOREIGN, THEIRS], FIRST),
    "no copies any more": copied(mirrored([FOREIGN], 80, [FIRST], 0.1)),
    "a variant ends early": copied(mirrored([], 80, [FIRST, SECOND], 0.1), FIRST),
    "a Job": made("jobs"),
    "a Service": made("services"),
    "a Job goes": gone(made("jobs")),
    "a Service goes": gone(made("services")),
}
BEYOND = {
    "copies elsewhere": (copied([], "audit-trimtab-r3-0"), "only those that copy for variants"),
    "copies of all": (
        edited(copied([], FIRST), "spec", "rules", 0, "filters", 0, "requestMirror", "fraction",
               value=None),
        "only those that copy for variants",
    ),
    "copies to another namespace": (
        edited(copied([], FIRST), "spec", "rules", 0, "filters", 0, "requestMirror", "backendRef",
               "namespace", value="bank"),
        "only those that copy for variants",
    ),
    "another's filter changed": (
        edited(copied([FOREIGN], FIRST), "spec", "rules", 0, "filters", 0, value=THEIRS),
        "only those that copy for variants",
    ),
    "another's filter gone": (
        edited(copied([FOREIGN], FIRST), "spec", "rules", 0, "filters", 0, value=None),
        "only those that copy for variants",
    ),
    "a Job of another route": (
        edited(made("jobs"), "metadata", "labels", "trimtab.dev/copies-of", value="api"),
        "shop/api is not in trimtab.yaml",
    ),
    "a Job in another namespace": (made("jobs", namespace="bank"), "bank/web is not in trimtab"),
    "a Job of another name": (made("jobs", name="web-backup"), "nothing but variants: web-backup"),
    "a Job for ever": (
        edited(made("jobs"), "spec", "activeDeadlineSeconds", value=None), "end within 3600 s",
    ),
    "a Job for too long": (
        edited(made("jobs"), "spec", "activeDeadlineSeconds", value=9999), "end within 3600 s",
    ),
    "pods behind the live Service": (
        edited(made("jobs"), "spec", "template", "metadata", "labels", "app", value="web"),
        "have its labels and no others",
    ),
    "a Service of live pods": (
        edited(made("services"), "spec", "selector", value={"app": "web"}), "has its pods",
    ),
    "a Service for the world": (
        edited(made("services"), "spec", "type", value="LoadBalancer"), "has its pods",
    ),
    "another's Job goes": (
        gone(edited(made("jobs"), "metadata", "labels", value={"app": "web"})),
        "shop/ is not in trimtab.yaml",
    ),
    "another's Service goes": (
        gone(made("services", name="web-spot")), "nothing but variants: web-spot",
    ),
    "a Job is changed": (
        replace(made("jobs"), operation="UPDATE", old=made("jobs").new), "a variant never changes",
    ),
}  # fmt: skip


@pytest.mark.parametrize("review", OF_VARIANTS.values(), ids=OF_VARIANTS)
def test_variants_are_let_through_where_that_is_wanted(
    server: Server, lenient: Server, review: Review
) -> None:
    assert lenient.denials(review) == []
    assert server.denials(review) or review.resource != "httproutes"


@pytest.mark.parametrize(("review", "says"), BEYOND.values(), ids=BEYOND)
def test_nothing_else_is_a_variant(lenient: Server, review: Review, says: str) -> None:
    assert any(says in denial for denial in lenient.denials(review))
