"""The writes, as values: which object, what of it, in which order.

Every one has the version that was just seen as its precondition, and leaves on the object under
which epoch and for which request it was made. Several objects cannot be written at once: what
adds capacity goes first, then the route, then what permits the autoscaler to take some away.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Protocol

from trimtab_controller.kubernetes.api import APPLY_PATCH, JSON, JSON_PATCH, MERGE_PATCH, Api
from trimtab_controller.kubernetes.faults import Fault
from trimtab_controller.kubernetes.kinds import AUTOSCALERS, ROUTES, Resource
from trimtab_controller.kubernetes.objects import (
    EPOCH,
    REQUEST,
    WRITTEN,
    Kept,
    Meta,
    Workload,
    Writer,
    autoscaler,
    route,
)
from trimtab_controller.kubernetes.scene import Group, Scene
from trimtab_controller.kubernetes.spec import Acting
from trimtab_controller.protocols import WRITER, Intent

# The weights of a route are whole numbers; these many make the share of one.
WHOLE = 10_000


@dataclass(frozen=True, slots=True)
class Thing:
    """The object that is written to, as an event refers to it."""

    resource: Resource
    kind: str
    namespace: str
    meta: Meta

    def path(self, part: str = "") -> str:
        """Where it is, or one of its subresources."""
        return self.resource.path(self.namespace, self.meta.name, part)


class Write(Protocol):
    """One write to one object. ``reason`` and ``words`` are for an event."""

    @property
    def thing(self) -> Thing: ...  # noqa: D102  # said above

    @property
    def reason(self) -> str: ...  # noqa: D102  # said above

    @property
    def words(self) -> str: ...  # noqa: D102  # said above

    async def send(self, api: Api, intent: Intent) -> Kept:
        """Write it, and return what the object is then; raises `ApiError`."""


@dataclass(frozen=True, slots=True)
class FloorWrite:
    """The floor of an autoscaler, by server-side apply: trimtab owns that one field of it."""

    thing: Thing
    before: int
    floor: int

    @property
    def reason(self) -> str:
        """What happens."""
        return "FloorRaised" if self.floor > self.before else "FloorLowered"

    @property
    def words(self) -> str:
        """What is written."""
        return f"minReplicas {self.before} to {self.floor}"

    async def send(self, api: Api, intent: Intent) -> Kept:
        """Write it, and return what the object is then; raises `ApiError`."""
        body = {
            "apiVersion": self.thing.resource.api_version,
            "kind": self.thing.kind,
            "metadata": {
                "name": self.thing.meta.name,
                "namespace": self.thing.namespace,
                # What is applied to nothing is created, unless it was to be that very object.
                "uid": self.thing.meta.uid,
                "resourceVersion": self.thing.meta.version,
                "annotations": notes(intent, self.words),
            },
            "spec": {"minReplicas": self.floor},
        }
        path = self.thing.path()
        return autoscaler(await api.write("PATCH", path, body, APPLY_PATCH, force="true"))


@dataclass(frozen=True, slots=True)
class ScaleWrite:
    """The replicas of a target. Its ``scale`` takes no annotations: so these go first."""

    thing: Thing
    workload: Workload
    replicas: int

    @property
    def reason(self) -> str:
        """What happens."""
        return "ScaledUp" if self.replicas > self.workload.replicas else "ScaledDown"

    @property
    def words(self) -> str:
        """What is written."""
        return f"replicas {self.workload.replicas} to {self.replicas}"

    async def send(self, api: Api, intent: Intent) -> Kept:
        """Write it, and return what the object is then; raises `ApiError`."""
        thing = self.thing
        mark = {
            "resourceVersion": thing.meta.version,
            "annotations": notes(intent, self.words),
        }
        marked = await api.write("PATCH", thing.path(), {"metadata": mark}, MERGE_PATCH)
        scale = {
            "apiVersion": "autoscaling/v1",
            "kind": "Scale",
            "metadata": {
                "name": thing.meta.name,
                "namespace": thing.namespace,
                "resourceVersion": marked["metadata"]["resourceVersion"],
            },
            "spec": {"replicas": self.replicas},
        }
        scaled = await api.write("PUT", thing.path("scale"), scale, JSON)
        meta = replace(
            thing.meta,
            version=scaled["metadata"]["resourceVersion"],
            epoch=intent.epoch,
            request_id=intent.request_id,
            annotated=True,
        )
        ours = (Writer(WRITER, written_at(intent)),)
        return replace(self.workload, meta=meta, replicas=self.replicas, writers=ours)


@dataclass(frozen=True, slots=True)
class RouteWrite:
    """The weights of a route, ``(rule, place, weight)``, and nothing else of its rules."""

    thing: Thing
    words: str
    weights: tuple[tuple[int, int, int], ...]
    reason: str = "Rerouted"

    async def send(self, api: Api, intent: Intent) -> Kept:
        """Write it, and return what the object is then; raises `ApiError`."""
        patch = [*self._patch(intent)]
        return route(await api.write("PATCH", self.thing.path(), patch, JSON_PATCH))

    def _patch(self, intent: Intent) -> Iterator[Mapping[str, Any]]:
        meta = self.thing.meta
        # Written, not tested: a version that has gone by is then answered with a conflict.
        yield _put("/metadata/resourceVersion", meta.version)
        written = notes(intent, self.words)
        if not meta.annotated:
            yield _put("/metadata/annotations", written)
        else:
            for key, value in written.items():
                yield _put(f"/metadata/annotations/{key.replace('/', '~1')}", value)
        for rule, place, weight in self.weights:
            yield _put(f"/spec/rules/{rule}/backendRefs/{place}/weight", weight)


def notes(intent: Intent, words: str) -> dict[str, str]:
    """The annotations of a write: its fence, its name, and what `kubectl describe` shows of it."""
    return {
        EPOCH: f"{intent.epoch.number} {intent.epoch.leader}",
        REQUEST: intent.request_id,
        WRITTEN: f"{written_at(intent)} {explained(words, intent)}",
    }


def written_at(intent: Intent) -> str:
    """When it was decided, as the API writes times."""
    return datetime.fromtimestamp(intent.time_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def explained(words: str, intent: Intent) -> str:
    """What is written and why."""
    return f"{words}: {intent.why}" if intent.why else words


def steps(scene: Scene, intent: Intent) -> list[Write]:
    """What of ``intent`` is not so yet, in the order in which it is to be written."""
    floors = {ask.backend: ask.floor for ask in intent.asks}
    wanted = [
        (group, floor)
        for group in scene.groups
        if (floor := floors.get(group.spec.name)) is not None and floor != group.floor
    ]
    raised = [_scaled(scene, group, floor) for group, floor in wanted if floor > group.floor]
    lowered = [_scaled(scene, group, floor) for group, floor in wanted if floor < group.floor]
    return [*raised, *_routed(scene, intent), *lowered]


def beyond(scene: Scene, intent: Intent) -> str:
    """Which autoscaler could not have the floor that was decided, in words; empty when all can."""
    floors = {ask.backend: ask.floor or 0 for ask in intent.asks}
    for group in scene.groups:
        own, floor = group.autoscaler, floors.get(group.spec.name, 0)
        if own and floor > own.most:
            return (
                f"{Fault.INVALID}: HorizontalPodAutoscaler {own.meta.name} has maxReplicas "
                f"{own.most}, and {floor} are needed: raise it, or lower max_replicas of "
                f"backend {group.spec.name}"
            )
    return ""


def _scaled(scene: Scene, group: Group, floor: int) -> Write:
    if group.spec.act is Acting.FLOOR and group.autoscaler:
        meta, kind = group.autoscaler.meta, "HorizontalPodAutoscaler"
        thing = Thing(AUTOSCALERS.resource, kind, scene.namespace, meta)
        return FloorWrite(thing, group.floor, floor)
    thing = Thing(group.resource, group.target.kind, scene.namespace, group.workload.meta)
    return ScaleWrite(thing, group.workload, floor)


def _routed(scene: Scene, intent: Intent) -> Sequence[Write]:
    shares = {ask.backend: ask.weight for ask in intent.asks if ask.weight is not None}
    if not (shares and scene.route):
        return ()
    names = {group.service: group.spec.name for group in scene.groups}
    asked = {
        service: round(shares[name] * WHOLE) for service, name in names.items() if name in shares
    }
    weights = [(each, asked.get(each.service, each.weight)) for each in scene.weights]
    if all(weight == each.weight for each, weight in weights):
        return ()
    thing = Thing(ROUTES.resource, "HTTPRoute", scene.namespace, scene.route.meta)
    words = ", ".join(f"{service} {weight / WHOLE:.1%}" for service, weight in asked.items())
    places = tuple((each.rule, each.place, weight) for each, weight in weights)
    return (RouteWrite(thing, f"weights {words}", places),)


def _put(path: str, value: object) -> Mapping[str, Any]:
    """Set a member, whether it is there or not."""
    return {"op": "add", "path": path, "value": value}
