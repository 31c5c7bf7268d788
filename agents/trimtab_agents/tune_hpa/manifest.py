"""The dials as Kubernetes reads them."""

from __future__ import annotations

from typing import Any

import yaml

from trimtab_agents.tune_hpa.dials import DOWN_PERIOD_S, UP_PERIOD_S, Dials


def manifest(name: str, dials: Dials) -> dict[str, Any]:
    """A part of the HorizontalPodAutoscaler ``name``: all but what it scales."""
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": name},
        "spec": {
            "minReplicas": dials.min_replicas,
            "maxReplicas": dials.max_replicas,
            "metrics": [
                {
                    "type": "Resource",
                    "resource": {
                        "name": "cpu",
                        "target": {"type": "Utilization", "averageUtilization": dials.target},
                    },
                }
            ],
            "behavior": _behavior(dials),
        },
    }


def _behavior(dials: Dials) -> dict[str, Any]:
    return {
        "scaleUp": {
            "stabilizationWindowSeconds": dials.up_window_s,
            "selectPolicy": "Max",
            "policies": [
                _policy("Percent", dials.up_percent, UP_PERIOD_S),
                _policy("Pods", dials.up_pods, UP_PERIOD_S),
            ],
        },
        "scaleDown": {
            "stabilizationWindowSeconds": dials.down_window_s,
            "selectPolicy": "Max",
            "policies": [_policy("Percent", dials.down_percent, DOWN_PERIOD_S)],
        },
    }


def _policy(kind: str, value: int, period_s: int) -> dict[str, Any]:
    return {"type": kind, "value": value, "periodSeconds": period_s}


def patch_text(name: str, dials: Dials, why: str) -> str:
    """The patch as YAML, with ``why`` and how to apply it above."""
    head = (
        f"# {why}\n"
        f"#   kubectl patch hpa {name} --type merge --patch-file FILE\n"
        "# It replaces spec.metrics as a whole: add what else your HPA looks at.\n"
    )
    return head + yaml.safe_dump(manifest(name, dials), sort_keys=False, allow_unicode=True)
