"""The kinds that are watched: where each lives in the API, and what is kept of its objects."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from trimtab_controller.kubernetes import objects
from trimtab_controller.kubernetes.api import Api, Json
from trimtab_controller.kubernetes.faults import ApiError, Fault
from trimtab_controller.kubernetes.objects import (
    Autoscaler,
    Budget,
    Kept,
    Owner,
    Pod,
    Route,
    Workload,
)

K = TypeVar("K", bound=Kept)


@dataclass(frozen=True, slots=True)
class Resource:
    """An API version and a plural, as paths have them."""

    api_version: str
    plural: str

    def path(self, namespace: str, name: str = "", part: str = "") -> str:
        """The path of all objects of a namespace, of one, or of a subresource of one."""
        steps = (root(self.api_version), "namespaces", namespace, self.plural, name, part)
        return "/".join(step for step in steps if step)


@dataclass(frozen=True, slots=True)
class Kind(Generic[K]):
    """A kind that is known beforehand. An ``optional`` one may not be installed.

    What is ``vital`` must be recent, or nothing is done; the rest must only be known. ``keys`` are
    what an object is looked for by.
    """

    resource: Resource
    read: Callable[[Json], K]
    keys: Callable[[K], Iterable[object]]
    optional: bool = False
    vital: bool = True

    def __str__(self) -> str:
        return self.resource.plural

    async def locate(self, api: Api) -> Resource:  # noqa: ARG002  # as `Scaled`
        """Where its objects are."""
        return self.resource

    async def keep(self, api: Api, raw: Json) -> K | None:  # noqa: ARG002  # as `Scaled`
        """What is kept of one."""
        return self.read(raw)


@dataclass(frozen=True, slots=True)
class Scaled:
    """A kind of targets, of which only ``names`` are kept."""

    api_version: str
    kind: str
    names: set[str] = field(default_factory=set, compare=False)
    optional: bool = False
    vital: bool = True

    def __str__(self) -> str:
        return self.kind

    def keys(self, kept: Workload) -> Iterable[object]:
        """What one is looked for by."""
        return (kept.meta.name,)

    async def locate(self, api: Api) -> Resource:
        """Where its objects are; `ApiError` when the server has no such kind that scales."""
        if known := PLAIN.get((self.api_version, self.kind)):
            return known
        found: list[Json] = (await api.get(root(self.api_version)))["resources"]
        scaled = {
            name.removesuffix("/scale") for each in found if "/scale" in (name := each["name"])
        }
        for each in found:
            if each["kind"] == self.kind and each["name"] in scaled:
                return Resource(self.api_version, each["name"])
        message = f"{self.api_version} has no {self.kind} with a scale subresource"
        raise ApiError(Fault.NOT_FOUND, message)

    async def keep(self, api: Api, raw: Json) -> Workload | None:
        """One of ``names``; where a kind of one's own has its fields, its ``scale`` knows."""
        own = raw["metadata"]
        if own["name"] not in self.names:
            return None
        if (self.api_version, self.kind) in PLAIN:
            return objects.workload(raw)
        resource = await self.locate(api)
        scale = await api.get(resource.path(own["namespace"], own["name"], "scale"))
        return objects.workload({**raw, "scale": scale})


def root(api_version: str) -> str:
    """The path of an API version."""
    return f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"


# Kinds whose own fields say what their `scale` would.
PLAIN = {
    ("apps/v1", "Deployment"): Resource("apps/v1", "deployments"),
    ("apps/v1", "StatefulSet"): Resource("apps/v1", "statefulsets"),
}
AUTOSCALERS: Kind[Autoscaler] = Kind(
    Resource("autoscaling/v2", "horizontalpodautoscalers"),
    objects.autoscaler,
    lambda scaler: (scaler.target,),
)
PODS: Kind[Pod] = Kind(Resource("v1", "pods"), objects.pod, lambda pod: pod.labels.items())
ROUTES: Kind[Route] = Kind(
    Resource("gateway.networking.k8s.io/v1", "httproutes"),
    objects.route,
    lambda route: (route.meta.name,),
)
BUDGETS: Kind[Budget] = Kind(
    Resource("policy/v1", "poddisruptionbudgets"),
    objects.budget,
    lambda budget: (budget.selector.key,) if budget.least and budget.selector else (),
    vital=False,
)
SCALED_OBJECTS: Kind[Owner] = Kind(
    Resource("keda.sh/v1alpha1", "scaledobjects"),
    objects.scaled_object,
    lambda owner: (owner.target,),
    optional=True,
    vital=False,
)
VERTICAL_AUTOSCALERS: Kind[Owner] = Kind(
    Resource("autoscaling.k8s.io/v1", "verticalpodautoscalers"),
    objects.vertical_autoscaler,
    lambda owner: (owner.target,),
    optional=True,
    vital=False,
)
EVENTS = Resource("v1", "events")
