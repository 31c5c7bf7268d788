"""The limits of a configuration as CEL reads them: one entry for each object that is steered."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from itertools import islice

from trimtab_controller.config import BackendSpec, Config, ServiceConfig
from trimtab_controller.kubernetes.spec import Acting, KubernetesSpec, TargetSpec
from trimtab_controller.kubernetes.variants import named
from trimtab_guard.limits import BackendLimits, Limits

# What CEL is to look up, and what it finds there.
Table = Mapping[str, list[int] | list[str]]
# An expression may have 100,000 characters; an entry has 100, and up to 300 with long names.
ENTRIES = 300


def floors(config: Config) -> Table:
    """By the target of each autoscaler whose floor is steered."""
    return {
        f"{place.namespace}/{target.kind}.{_group(target)}/{target.name}": numbers
        for place, target, numbers in _scaled(config, Acting.FLOOR)
    }


def scales(config: Config) -> Table:
    """By each target that is scaled itself."""
    return {
        f"{place.namespace}/{plural(target.kind)}.{_group(target)}/{target.name}": numbers
        for place, target, numbers in _scaled(config, Acting.SCALE)
    }


def routes(config: Config) -> Table:
    """By each route: the Services whose weights are steered."""
    return {
        f"{place.namespace}/{place.route}": [
            backend.service or target.name for backend, target in _targets(service)
        ]
        for service, place in _placed(config)
        if place.route
    }


def steps(config: Config) -> Table:
    """By each route: how far a share may move at once, in thousandths."""
    return {
        f"{place.namespace}/{place.route}": [round(service.limits.weight_step * 1000)]
        for service, place in _placed(config)
        if place.route
    }


def stems(config: Config) -> Table:
    """By each route: how the names of variants of its Services begin."""
    return {route: [named(str(each), "") for each in own] for route, own in routes(config).items()}


def groups(config: Config) -> list[str]:
    """The API groups of targets that are scaled themselves."""
    return sorted({_group(target) for _, target, _ in _scaled(config, Acting.SCALE)})


def plural(kind: str) -> str:
    """A kind's resource, as `kubectl` guesses it where nobody can be asked."""
    name = kind.lower()
    if name.endswith("s"):
        return f"{name}es"
    return f"{name[:-1]}ies" if name.endswith("y") else f"{name}s"


def variables(table: Table, name: str = "limit") -> dict[str, str]:
    """The table in CEL, in as many parts as it takes, then ``name``, what it says of ``key``."""
    entries = iter(table.items())
    parts = [dict(islice(entries, ENTRIES)) for _ in range(0, len(table), ENTRIES)]
    # JSON is CEL, as far as it goes.
    written = {f"{name}s{number}": json.dumps(part) for number, part in enumerate(parts)}
    found = [
        f"variables.key in variables.{part} ? variables.{part}[variables.key]" for part in written
    ]
    return {**written, name: " : ".join([*found, "[]"])}


def _placed(config: Config) -> Iterator[tuple[ServiceConfig, KubernetesSpec]]:
    for service in config.services:
        if service.spec.kubernetes:
            yield service, service.spec.kubernetes


def _targets(service: ServiceConfig) -> Iterator[tuple[BackendSpec, TargetSpec]]:
    for backend in service.spec.backends:
        if backend.target:
            yield backend, backend.target


def _scaled(config: Config, act: Acting) -> Iterator[tuple[KubernetesSpec, TargetSpec, list[int]]]:
    for service, place in _placed(config):
        for backend, target in _targets(service):
            if backend.act is act:
                yield place, target, _numbers(service.limits, backend.limits)


def _numbers(limits: Limits, backend: BackendLimits) -> list[int]:
    return [
        backend.min_replicas,
        backend.max_replicas,
        limits.up_percent,
        limits.up_replicas,
        limits.down_percent,
        limits.down_replicas,
    ]


def _group(target: TargetSpec) -> str:
    group, slash, _ = target.api_version.partition("/")
    return group if slash else ""
