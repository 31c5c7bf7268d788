"""The policies and their bindings, as `kubectl apply` takes them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from trimtab_controller.config import Config
from trimtab_controller.kubernetes.admission import rules, tables
from trimtab_controller.kubernetes.admission.rules import Rules
from trimtab_controller.kubernetes.admission.tables import Table
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
MADE = [
    {"apiGroups": ["batch"], "apiVersions": ["v1"], "resources": ["jobs"]},
    {"apiGroups": [""], "apiVersions": ["v1"], "resources": ["services"]},
]
# Those that trimtab's account could have rights on by mistake, too.
WORKLOADS = ["deployments", "statefulsets", "replicasets"]

LINE = 80

Document = Mapping[str, Any]
# A policy's name, what it is about, which operations, what it looks up by key, and what must hold.
Kind = tuple[str, list[dict[str, Any]], list[str], Mapping[str, Table], Rules]


def documents(
    config: Config, account: str, *, weight_step: bool = False, variants: bool = False
) -> Iterator[Document]:
    """A policy for each kind of write, and its binding; ``account`` is NAMESPACE/NAME.

    With ``weight_step`` shares may not move further than that in one write, for whatever reason.
    With ``variants`` there may be some, and copies for them.
    """
    custom = [group for group in tables.groups(config) if group != "apps"]
    targets, scaled = _workloads(custom, ""), _workloads(custom, "/scale")
    floors, scales = {"limit": tables.floors(config)}, {"limit": tables.scales(config)}
    routes = {"limit": tables.routes(config)}
    copies = {"stem": tables.stems(config)} if variants else {}
    steps = {"step": tables.steps(config)} if weight_step else {}
    of_routes = rules.routes(weight_step=weight_step, variants=variants)
    nothing = [AUTOSCALERS, ROUTES, *targets]
    kinds: list[Kind] = [
        ("floors", [AUTOSCALERS], ["UPDATE"], floors, rules.FLOORS),
        ("scales", scaled, ["UPDATE"], scales, rules.SCALES),
        ("targets", targets, ["UPDATE"], scales, rules.TARGETS),
        ("routes", [ROUTES], ["UPDATE"], routes | steps | copies, of_routes),
        ("nothing-else", nothing, ["CREATE", "DELETE"], {}, rules.NOTHING),
    ]
    if variants:
        changes = ["CREATE", "UPDATE", "DELETE"]
        kinds.append(("variants", MADE, changes, routes | copies, rules.VARIANTS))
    for name, resources, operations, found, checked in kinds:
        where = [{**kind, "operations": operations} for kind in resources]
        yield _policy(f"trimtab-{name}", where, account, found, checked)
        yield _binding(f"trimtab-{name}")


def text(config: Config, account: str, *, weight_step: bool = False, variants: bool = False) -> str:
    """All `documents` as YAML; `ConfigError` when no service is on Kubernetes."""
    if not any(service.spec.kubernetes for service in config.services):
        raise ConfigError("no service is on Kubernetes: there is nothing to limit there")
    found = documents(config, account, weight_step=weight_step, variants=variants)
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
    looked_up: Mapping[str, Table],
    checked: Rules,
) -> Document:
    user = f"system:serviceaccount:{account.replace('/', ':')}"
    variables = {"key": checked.key}
    for known_as, table in looked_up.items():
        variables |= tables.variables(table, known_as)
    variables |= checked.variables
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
