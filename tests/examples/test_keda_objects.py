"""The ScaledObjects are what KEDA takes, and name what trimtab.yaml has.

The rules are KEDA 2.20's: the fields of apis/keda/v1alpha1/scaledobject_types.go and its checks
(CheckReplicaCountBoundsAreValid, CheckFallbackValid), the triggers' metadata as strings, and names
that a trigger may refer to.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from trimtab_controller.config import load
from trimtab_controller.keda.trigger import read

EXAMPLES = Path(__file__).parents[2] / "examples"
FILES = ["scaledobject.yaml", "scaledobject-push.yaml"]
SPEC = {
    "scaleTargetRef", "pollingInterval", "initialCooldownPeriod", "cooldownPeriod",
    "idleReplicaCount", "minReplicaCount", "maxReplicaCount", "advanced", "triggers", "fallback",
}  # fmt: skip
TRIGGER = {"type", "name", "useCachedMetrics", "metadata", "authenticationRef", "metricType"}
BEHAVIORS = {
    "static", "currentReplicas", "currentReplicasIfHigher", "currentReplicasIfLower",
    "scalingModifiers",
}  # fmt: skip


def document(file: str) -> dict[str, Any]:
    read: dict[str, Any] = yaml.safe_load((EXAMPLES / "keda" / file).read_text())
    return read


@pytest.fixture(params=FILES)
def scaled(request: pytest.FixtureRequest) -> dict[str, Any]:
    return document(request.param)


def test_it_is_a_scaled_object(scaled: dict[str, Any]) -> None:
    assert (scaled["apiVersion"], scaled["kind"]) == ("keda.sh/v1alpha1", "ScaledObject")
    spec = scaled["spec"]
    assert spec.keys() <= SPEC
    assert spec["scaleTargetRef"].keys() <= {"apiVersion", "kind", "name"}
    assert 0 <= spec["minReplicaCount"] <= spec["maxReplicaCount"]


def test_its_fallback_can_fire(scaled: dict[str, Any]) -> None:
    fallback = scaled["spec"]["fallback"]
    assert fallback.keys() == {"failureThreshold", "replicas", "behavior"}
    assert fallback["failureThreshold"] >= 0
    assert fallback["behavior"] in BEHAVIORS
    bounds = scaled["spec"]["minReplicaCount"], scaled["spec"]["maxReplicaCount"]
    assert bounds[0] <= fallback["replicas"] <= bounds[1]
    types = [t["metricType"] for t in scaled["spec"]["triggers"] if t["type"] != "cpu"]
    assert types == ["AverageValue"]


def test_its_triggers_are_kedas_and_trimtabs(scaled: dict[str, Any]) -> None:
    triggers = scaled["spec"]["triggers"]
    assert all(trigger.keys() <= TRIGGER for trigger in triggers)
    assert all(isinstance(v, str) for trigger in triggers for v in trigger["metadata"].values())
    (external,) = (trigger for trigger in triggers if trigger["type"].startswith("external"))
    assert external["type"] in ("external", "external-push")
    assert re.fullmatch(r"[a-z0-9.-]+:\d+", external["metadata"]["scalerAddress"])
    services = load(EXAMPLES / "trimtab.yaml").by_name
    assert read(external["metadata"], services).backends == ("web",)
    limits = services["shop"].limits.backends[0]
    assert limits.max_replicas == scaled["spec"]["maxReplicaCount"]
    auth = document("triggerauthentication.yaml")
    assert (auth["kind"], auth["metadata"]) == (
        "TriggerAuthentication",
        external["authenticationRef"],
    )
    parameters = [ref["parameter"] for ref in auth["spec"]["secretTargetRef"]]
    assert parameters == ["caCert", "tlsClientCert", "tlsClientKey"]


def test_the_hpa_is_told_in_its_own_words(scaled: dict[str, Any]) -> None:
    advanced = scaled["spec"].get("advanced", {})
    behavior = advanced.get("horizontalPodAutoscalerConfig", {}).get("behavior", {})
    assert behavior.keys() <= {"scaleUp", "scaleDown"}
    for rules in behavior.values():
        allowed = {"stabilizationWindowSeconds", "selectPolicy", "policies", "tolerance"}
        assert rules.keys() <= allowed
    exact = any(t["metadata"].get("metric") == "exact-replicas" for t in scaled["spec"]["triggers"])
    assert (behavior.get("scaleUp", {}).get("tolerance") == "0") == exact
