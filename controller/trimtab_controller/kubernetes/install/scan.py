"""What is there of a configuration's services, in raw JSON: their plans are made from it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from trimtab_controller.config import BackendSpec
from trimtab_controller.kubernetes import kinds, objects
from trimtab_controller.kubernetes.api import Api, Json
from trimtab_controller.kubernetes.faults import ApiError, Fault
from trimtab_controller.kubernetes.kinds import Kind, Resource, Scaled
from trimtab_controller.kubernetes.objects import Owner
from trimtab_controller.kubernetes.owners import pointed
from trimtab_controller.kubernetes.spec import TargetSpec


@dataclass(frozen=True, slots=True)
class Space:
    """A namespace: its autoscalers and routes, and who else owns targets in it."""

    name: str
    autoscalers: tuple[Json, ...]
    routes: tuple[Json, ...]
    owners: tuple[Owner, ...]

    def autoscalers_of(self, target: TargetSpec) -> list[Json]:
        """The autoscalers of a target."""
        return [
            raw for raw in self.autoscalers if objects.autoscaler(raw).target == pointed(target)
        ]

    def owners_of(self, target: TargetSpec) -> list[Owner]:
        """Whatever else is for a target."""
        return [owner for owner in self.owners if owner.target == pointed(target)]


@dataclass(frozen=True, slots=True)
class Found:
    """One backend's target. ``raw`` is ``None`` where it is not there.

    ``replicas`` is how many are wanted of it now.
    """

    spec: BackendSpec
    target: TargetSpec
    namespace: str
    path: str = ""
    raw: Json | None = None
    replicas: int = 0

    def __str__(self) -> str:
        return f"{self.target.kind} {self.namespace}/{self.target.name}"


async def space(api: Api, name: str) -> Space:
    """Look at a namespace; raises `ApiError`."""
    scaled, vertical = kinds.SCALED_OBJECTS, kinds.VERTICAL_AUTOSCALERS
    return Space(
        name,
        autoscalers=await _all(api, kinds.AUTOSCALERS.resource, name),
        routes=await _all(api, kinds.ROUTES.resource, name, optional=True),
        owners=(*await _owners(api, scaled, name), *await _owners(api, vertical, name)),
    )


async def find(api: Api, backend: BackendSpec, namespace: str) -> Found:
    """Look for a backend's target; raises `ApiError`."""
    target = backend.target
    assert target  # noqa: S101  # for mypy: the configuration has checked it
    try:
        resource = await Scaled(target.api_version, target.kind).locate(api)
        path = resource.path(namespace, target.name)
        raw, scale = await api.get(path), await api.get(f"{path}/scale")
    except ApiError as error:
        if error.fault is Fault.NOT_FOUND:
            return Found(backend, target, namespace)
        raise
    replicas = (scale.get("spec") or {}).get("replicas", 0)
    return Found(backend, target, namespace, path, raw, replicas)


async def _owners(api: Api, kind: Kind[Owner], namespace: str) -> Iterable[Owner]:
    return map(kind.read, await _all(api, kind.resource, namespace, optional=True))


async def _all(
    api: Api, resource: Resource, namespace: str, *, optional: bool = False
) -> tuple[Json, ...]:
    """All of a namespace; none where the kind is ``optional`` and not installed."""
    try:
        return tuple((await api.get(resource.path(namespace)))["items"])
    except ApiError as error:
        if optional and error.fault is Fault.NOT_FOUND:
            return ()
        raise
