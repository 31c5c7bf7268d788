"""The policies and their bindings, as `kubectl apply` takes them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from trimtab_controller.config import Config
from trimtab_controller.kubernetes.admission import rules, tables
from trimtab_controller.kubernetes.admission.rules import Rules
from trimtab_sim.schema import ConfigError

API = "admissionregistration.k8s.io/v1"
AUTOSCALERS = {
    "apiGroups": ["autoscaling"],
    "apiVersions": ["v2"],
    "resources": ["horizontalpodautoscalers"],
}
ROUTES = {
    "apiGroups": ["gateway.networking.k8s.io"],
    "apiVersions": ["v1"],
    "resources": ["httproutes"],
}
# Those that trimtab's account could have rights on by mistake, too.
WORKLOADS = ["deployments", "statefulsets", "replicasets"]

LINE = 80

Document = Mapping[str, Any]


def documents(config: Config, account: str, *, weight_step: bool = False) -> Iterator[Document]:
    """A policy for each kind of write, and its binding; ``account`` is NAMESPACE/NAME.

    With ``weight_step`` shares may not move further than that in one write, for whatever reason.
    """
    custom = [group for group in tables.groups(config) if group != "apps"]
    floors, scales, routes = tables.floors(config), tables.scales(config), tables.routes(config)
    targets = _workloads(custom, "")
    for name, kinds, operations, table, checked in (
        ("floors", [AUTOSCALERS], ["UPDATE"], floors, rules.FLOORS),
        ("scales", _workloads(custom, "/scale"), ["UPDATE"], scales, rules.SCALES),
        ("targets", targets, ["UPDATE"], scales, rules.TARGETS),
        ("routes", [ROUTES], ["UPDATE"], routes, rules.STEPS if weight_step else rules.ROUTES),
        ("nothing-else", [AUTOSCALERS, ROUTES, *targets], ["CREATE", "DELETE"], {}, rules.NOTHING),
    ):
        where = [{**kind, "operations": operations} for kind in kinds]
        looked_up = tables.variables(table)
        if checked is rules.STEPS:
            looked_up |= tables.variables(tables.steps(config), "step")
        yield _policy(f"trimtab-{name}", where, account, looked_up, checked)
        yield _binding(f"trimtab-{name}")


def text(config: Config, account: str, *, weight_step: bool = False) -> str:
    """All `documents` as YAML; `ConfigError` when no service is on Kubernetes."""
    if not any(service.spec.kubernetes for service in config.services):
        raise ConfigError("no service is on Kubernetes: there is nothing to limit there")
    found = documents(config, account, weight_step=weight_step)
    return yaml.dump_all(found, Dumper=_Folded, sort_keys=False, width=100, allow_unicode=True)


class _Folded(yaml.SafeDumper):
    """Long expressions over several lines and without quotes around quotes; no anchors."""

    def ignore_aliases(self, _data: object) -> bool:
        return True


def _written(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = ">" if len(text) > LINE or "'" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Folded.add_representer(str, _written)


def _workloads(groups: list[str], part: str) -> list[dict[str, Any]]:
    known = {"apiGroups": ["apps"], "resources": [name + part for name in WORKLOADS]}
    others = {"apiGroups": groups, "resources": ["*" + part]}
    return [{**kinds, "apiVersions": ["*"]} for kinds in ([known, others] if groups else [known])]


def _policy(
    name: str,
    where: list[dict[str, Any]],
    account: str,
    looked_up: Mapping[str, str],
    checked: Rules,
) -> Document:
    user = f"system:serviceaccount:{account.replace('/', ':')}"
    variables = {"key": checked.key, **looked_up, **checked.variables}
    return {
        "apiVersion": API,
        "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": name, "labels": {"app.kubernetes.io/name": "trimtab"}},
        "spec": {
            "failurePolicy": "Fail",
            "matchConstraints": {"resourceRules": where},
            "matchConditions": [
                {"name": "only-trimtab", "expression": f"request.userInfo.username == '{user}'"}
            ],
            "variables": [{"name": name, "expression": cel} for name, cel in variables.items()],
            "validations": [
                {"expression": rule.expression, "messageExpression": rule.says}
                for rule in checked.rules
            ],
        },
    }


def _binding(name: str) -> Document:
    return {
        "apiVersion": API,
        "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": {"name": name, "labels": {"app.kubernetes.io/name": "trimtab"}},
        "spec": {"policyName": name, "validationActions": ["Deny", "Audit"]},
    }
