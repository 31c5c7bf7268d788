"""Which kinds of objects there are, and what of their schema decides how they are merged."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from tests.cluster.fake.errors import Object

# By which fields the items of a list are told apart; a list that is not named is atomic.
Keys = Mapping[str, tuple[str, ...]]
# A list of scalars that are merged one by one.
SET: tuple[str, ...] = ()

METADATA: Keys = {"metadata.finalizers": SET, "metadata.ownerReferences": ("uid",)}
CONDITIONS: Keys = {"status.conditions": ("type",)}
_POD_SPEC: Keys = {
    "containers": ("name",),
    "containers.env": ("name",),
    "containers.ports": ("containerPort", "protocol"),
    "containers.volumeMounts": ("mountPath",),
    "initContainers": ("name",),
    "volumes": ("name",),
    "imagePullSecrets": ("name",),
    "topologySpreadConstraints": ("topologyKey", "whenUnsatisfiable"),
}


def _under(place: str, keys: Keys) -> Keys:
    return {f"{place}.{path}": names for path, names in keys.items()}


@dataclass(frozen=True, slots=True)
class Scale:
    """Where a kind keeps what its ``scale`` shows."""

    spec: str = "spec.replicas"
    status: str = "status.replicas"
    selector: str = "spec.selector"


@dataclass(frozen=True, slots=True)
class Kind:
    """``keys``: its lists that are not atomic; ``atomic``: its maps that are.

    ``custom``: a CRD brought it.
    """

    group: str
    version: str
    name: str
    plural: str
    namespaced: bool = True
    short: tuple[str, ...] = ()
    status: bool = False
    scale: Scale | None = None
    keys: Keys = field(default_factory=dict, hash=False, compare=False)
    atomic: frozenset[str] = frozenset()
    custom: bool = False

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def resource(self) -> str:
        """As error messages name it: ``deployments.apps``."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def subresources(self) -> tuple[str, ...]:
        return ("status",) * self.status + ("scale",) * (self.scale is not None)

    def merged_by(self, path: str) -> tuple[str, ...] | None:
        """The keys of the list at ``path``; ``None`` for one that is replaced as a whole."""
        return METADATA.get(path, self.keys.get(path))


def _kind(where: str, name: str, plural: str, *short: str, **more: object) -> Kind:
    group, _, version = where.rpartition("/")
    return Kind(group, version, name, plural, short=short, **more)  # type: ignore[arg-type]  # as named


_WORKLOAD = {
    "status": True,
    "keys": {**CONDITIONS, **_under("spec.template.spec", _POD_SPEC)},
    "atomic": frozenset({"spec.selector"}),
}
_STATUS = {"status": True, "keys": CONDITIONS}

BUILT_IN: tuple[Kind, ...] = (
    _kind("v1", "Namespace", "namespaces", "ns", namespaced=False, **_STATUS),
    _kind("v1", "Node", "nodes", "no", namespaced=False, **_STATUS),
    _kind("v1", "Pod", "pods", "po", status=True, keys={**CONDITIONS, **_under("spec", _POD_SPEC)}),
    _kind(
        "v1", "Service", "services", "svc", status=True, keys={"spec.ports": ("port", "protocol")}
    ),
    _kind("v1", "Event", "events", "ev"),
    _kind("v1", "ConfigMap", "configmaps", "cm"),
    _kind("v1", "Secret", "secrets"),
    _kind("v1", "ServiceAccount", "serviceaccounts", "sa"),
    _kind("apps/v1", "Deployment", "deployments", "deploy", scale=Scale(), **_WORKLOAD),
    _kind("apps/v1", "StatefulSet", "statefulsets", "sts", scale=Scale(), **_WORKLOAD),
    _kind("apps/v1", "ReplicaSet", "replicasets", "rs", scale=Scale(), **_WORKLOAD),
    _kind("batch/v1", "Job", "jobs", **_WORKLOAD),
    _kind(
        "autoscaling/v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers", "hpa", **_STATUS
    ),
    _kind("policy/v1", "PodDisruptionBudget", "poddisruptionbudgets", "pdb", **_STATUS),
    _kind("coordination.k8s.io/v1", "Lease", "leases"),
    _kind("discovery.k8s.io/v1", "EndpointSlice", "endpointslices"),
    _kind("networking.k8s.io/v1", "NetworkPolicy", "networkpolicies", "netpol"),
    _kind("rbac.authorization.k8s.io/v1", "Role", "roles"),
    _kind("rbac.authorization.k8s.io/v1", "RoleBinding", "rolebindings"),
    _kind("rbac.authorization.k8s.io/v1", "ClusterRole", "clusterroles", namespaced=False),
    _kind(
        "rbac.authorization.k8s.io/v1",
        "ClusterRoleBinding",
        "clusterrolebindings",
        namespaced=False,
    ),
    _kind(
        "admissionregistration.k8s.io/v1",
        "ValidatingAdmissionPolicy",
        "validatingadmissionpolicies",
        namespaced=False,
        status=True,
        keys={"spec.matchConditions": ("name",), "spec.variables": ("name",)},
    ),
    _kind(
        "admissionregistration.k8s.io/v1",
        "ValidatingAdmissionPolicyBinding",
        "validatingadmissionpolicybindings",
        namespaced=False,
    ),
    _kind(
        "apiextensions.k8s.io/v1",
        "CustomResourceDefinition",
        "customresourcedefinitions",
        "crd",
        namespaced=False,
        **_STATUS,
    ),
)
NAMED = {kind.name: kind for kind in BUILT_IN}


def definition(group: str, name: str, *short: str) -> Object:
    """A CRD whose lists are atomic: as Gateway API's rules and backendRefs are."""
    plural = f"{name.lower()}s"
    names = {"kind": name, "plural": plural, "singular": name.lower(), "listKind": f"{name}List"}
    anything = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {
        "name": "v1",
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": anything},
        "subresources": {"status": {}},
    }
    return {
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {
            "group": group,
            "names": {**names, "shortNames": list(short)},
            "scope": "Namespaced",
            "versions": [version],
        },
    }


GATEWAY_API = (
    definition("gateway.networking.k8s.io", "Gateway", "gtw"),
    definition("gateway.networking.k8s.io", "HTTPRoute"),
)


def defined(crd: Object) -> Iterable[Kind]:
    """The kinds, one a served version, that a CustomResourceDefinition brings."""
    spec = crd["spec"]
    for version in spec["versions"]:
        if not version.get("served", True):
            continue
        parts = version.get("subresources", {})
        schema = version.get("schema", {}).get("openAPIV3Schema", {})
        yield Kind(
            spec["group"],
            version["name"],
            spec["names"]["kind"],
            spec["names"]["plural"],
            namespaced=spec["scope"] == "Namespaced",
            short=tuple(spec["names"].get("shortNames", ())),
            status="status" in parts,
            scale=_scale(parts["scale"]) if "scale" in parts else None,
            keys=dict(_lists(schema, "")),
            custom=True,
        )


def _scale(paths: Mapping[str, str]) -> Scale:
    return Scale(
        paths["specReplicasPath"].removeprefix("."),
        paths["statusReplicasPath"].removeprefix("."),
        paths.get("labelSelectorPath", "").removeprefix("."),
    )


def _lists(schema: Object, path: str) -> Iterable[tuple[str, tuple[str, ...]]]:
    """The lists of a CRD's schema that are merged item by item."""
    if schema.get("x-kubernetes-list-type") == "map":
        yield path, tuple(schema["x-kubernetes-list-map-keys"])
    if schema.get("x-kubernetes-list-type") == "set":
        yield path, SET
    for name, inner in schema.get("properties", {}).items():
        yield from _lists(inner, f"{path}.{name}" if path else name)
    yield from _lists(schema["items"], path) if "items" in schema else ()
