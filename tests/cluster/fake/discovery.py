"""What clients ask before anything else: which groups, versions and resources there are."""

from __future__ import annotations

from tests.cluster.fake.errors import Object, unknown_path
from tests.cluster.fake.kinds import Kind
from tests.cluster.fake.registry import Registry

VERSION: Object = {"major": "1", "minor": "36", "gitVersion": "v1.36.0-fake", "platform": "fake"}
_VERBS = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]


def discover(registry: Registry, parts: list[str]) -> Object:
    """The answer at ``/version``, ``/api…`` and ``/apis…``; raises `ApiError` 404."""
    match parts:
        case ["version"]:
            return VERSION
        case ["api"]:
            return {"kind": "APIVersions", "versions": ["v1"]}
        case ["apis"]:
            groups = sorted({kind.group for kind in registry if kind.group})
            found = [_group(registry, group) for group in groups]
            return {"kind": "APIGroupList", "apiVersion": "v1", "groups": found}
        case ["api", version]:
            return _resources(registry, "", version)
        case ["apis", group]:
            return {"kind": "APIGroup", "apiVersion": "v1", **_group(registry, group)}
        case ["apis", group, version]:
            return _resources(registry, group, version)
    raise unknown_path()


def _group(registry: Registry, group: str) -> Object:
    versions = sorted({kind.version for kind in registry if kind.group == group}, reverse=True)
    if not versions:
        raise unknown_path()
    found = [{"groupVersion": f"{group}/{version}", "version": version} for version in versions]
    return {"name": group, "versions": found, "preferredVersion": found[0]}


def _resources(registry: Registry, group: str, version: str) -> Object:
    kinds = [kind for kind in registry if (kind.group, kind.version) == (group, version)]
    if not kinds:
        raise unknown_path()
    resources = [entry for kind in kinds for entry in _entries(kind)]
    return {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": kinds[0].api_version,
        "resources": resources,
    }


def _entries(kind: Kind) -> list[Object]:
    base = {"namespaced": kind.namespaced, "kind": kind.name, "singularName": kind.name.lower()}
    entries: list[Object] = [
        {**base, "name": kind.plural, "verbs": _VERBS, "shortNames": list(kind.short)}
    ]
    for subresource in kind.subresources:
        shape = {"kind": "Scale", "group": "autoscaling", "version": "v1"}
        entry = {
            **base,
            "name": f"{kind.plural}/{subresource}",
            "verbs": ["get", "patch", "update"],
        }
        entries.append({**entry, **shape} if subresource == "scale" else entry)
    return entries
