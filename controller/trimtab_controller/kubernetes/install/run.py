"""Looks at what is there, and makes one plan for all services of a configuration."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from trimtab_controller.config import ServiceSpec
from trimtab_controller.kubernetes.api import Api
from trimtab_controller.kubernetes.install.begin import begun
from trimtab_controller.kubernetes.install.end import ended
from trimtab_controller.kubernetes.install.plan import Plan
from trimtab_controller.kubernetes.install.scan import Space, find, space


async def installation(api: Api, services: Sequence[ServiceSpec], utilization: int) -> Plan:
    """What `trimtab install` has to do; raises `ApiError`."""
    spaces, plan = await _spaces(api, services), Plan()
    for service in services:
        found = [await find(api, backend, _home(service)) for backend in service.backends]
        plan += begun(service, found, spaces[_home(service)], utilization)
    return plan


async def removal(api: Api, services: Sequence[ServiceSpec]) -> Plan:
    """What `trimtab uninstall` has to do; raises `ApiError`."""
    spaces = await _spaces(api, services)
    found = [
        await find(api, backend, _home(service))
        for service in services
        for backend in service.backends
    ]
    return ended(spaces.values(), found)


async def _spaces(api: Api, services: Iterable[ServiceSpec]) -> dict[str, Space]:
    return {name: await space(api, name) for name in sorted({*map(_home, services)})}


def _home(service: ServiceSpec) -> str:
    """The namespace of a service that lives on Kubernetes."""
    assert service.kubernetes  # noqa: S101  # for mypy: only such services come here
    return service.kubernetes.namespace
