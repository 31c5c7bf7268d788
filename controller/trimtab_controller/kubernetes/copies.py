"""Has variants run beside a service, on copies that an HTTPRoute makes, and takes them away.

Nothing is remembered here: what is there says what is left to be done, whoever made it. A gateway
that finds a copy's Service missing may refuse the whole rule: so Services come long before their
filter, and go no sooner than in the call after the one that took the filter away.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trimtab_controller.kubernetes.api import JSON, JSON_PATCH, Api, Json
from trimtab_controller.kubernetes.faults import ApiError, Fault
from trimtab_controller.kubernetes.kinds import ROUTES, Resource
from trimtab_controller.kubernetes.lookout import Lookout
from trimtab_controller.kubernetes.objects import EPOCH, meta, route
from trimtab_controller.kubernetes.scene import Group, Scene
from trimtab_controller.kubernetes.variants import (
    JOBS,
    OURS,
    ROUTE,
    SERVICES,
    Origin,
    UnsettableError,
    clusters,
    mirrored,
    named,
    variant_in,
)
from trimtab_controller.protocols import StageError, StageRefusedError
from trimtab_controller.variants.mirror import Running, Wanted
from trimtab_guard.authority import Epoch

ENDS = (Fault.FORBIDDEN, Fault.NOT_FOUND, Fault.INVALID)
Objects = Mapping[str, Json]


@dataclass(frozen=True, slots=True)
class Found:
    """What is there: the route, and by name what was made for its variants."""

    route: Json
    jobs: Objects
    services: Objects

    @property
    def copied(self) -> set[str]:
        """The variants that a filter names, with or without copies."""
        rules = self.route["spec"].get("rules") or ()
        return {variant_in(each) for rule in rules for each in rule.get("filters") or ()} - {""}


class Copies:
    """The variants of one service."""

    def __init__(self, api: Api, lookout: Lookout, route: str) -> None:
        self._api = api
        self._lookout = lookout
        self._namespace = lookout.namespace
        self._route = route

    async def have(self, wanted: Wanted) -> list[Running]:
        """As `Mirror.mirror`; to take away is never refused for good but to a deposed leader."""
        try:
            return await self._have(wanted, self._lookout.look())
        except UnsettableError as error:
            raise StageRefusedError(str(error)) from error
        except ApiError as error:
            ends = wanted.variants and error.certain and error.fault in ENDS
            raise (StageRefusedError if ends else StageError)(str(error)) from error

    async def _have(self, wanted: Wanted, scene: Scene) -> list[Running]:
        # A backend that trimtab.yaml has no more can still have something to be taken away.
        groups = [each for each in scene.groups if each.spec.name == wanted.backend]
        service = groups[0].service if groups else ""
        found = await self._found(wanted)
        _check(scene, found.route, wanted, service)
        names = {named(service, known_as) for known_as in wanted.variants}
        if names - (found.jobs.keys() & found.services.keys()):
            await self._make(found, wanted, groups[0])
        after = await self._copy(found.route, service, sorted(names), wanted)
        for name in found.jobs.keys() - names:
            await self._delete(JOBS, found.jobs[name])
        for name in found.services.keys() - names - found.copied:
            await self._delete(SERVICES, found.services[name])
        left = {*names, *(found.services.keys() & found.copied)}
        return [_running(name, found.jobs.get(name, {}), after) for name in sorted(left)]

    async def _found(self, wanted: Wanted) -> Found:
        raw = await self._read_route()
        jobs, services = [await self._made(kind, wanted) for kind in (JOBS, SERVICES)]
        return Found(raw, jobs, services)

    async def _made(self, kind: Resource, wanted: Wanted) -> Objects:
        """What was made of a kind, by name. Who may not even look has made nothing."""
        path, chosen = kind.path(self._namespace), f"{ROUTE}={self._route}"
        try:
            listed = await self._api.get(path, labelSelector=chosen)
        except ApiError as error:
            if wanted.variants or error.fault is not Fault.FORBIDDEN:
                raise
            return {}
        return {each["metadata"]["name"]: each for each in listed["items"]}

    async def _read_route(self) -> Json:
        raw: Json = await self._api.get(ROUTES.resource.path(self._namespace, self._route))
        return raw

    async def _make(self, found: Found, wanted: Wanted, group: Group) -> None:
        """The pods and the Services that are missing."""
        target = await self._api.get(group.resource.path(self._namespace, group.target.name))
        service = await self._api.get(SERVICES.path(self._namespace, group.service))
        origin = Origin(self._route, target, service)
        for known_as, variant in wanted.variants.items():
            name = named(group.service, known_as)
            if name not in found.services:
                await self._create(SERVICES, origin.entrance(known_as, wanted.epoch))
            if name not in found.jobs:
                await self._create(JOBS, origin.job(known_as, variant, wanted.epoch))

    async def _create(self, kind: Resource, body: Json) -> None:
        await self._api.write("POST", kind.path(self._namespace), body, JSON)

    async def _delete(self, kind: Resource, raw: Json) -> None:
        """This very object, and its pods with it; gone already is as good."""
        own = raw["metadata"]
        how = {"preconditions": {"uid": own["uid"]}, "propagationPolicy": "Background"}
        body = {"apiVersion": "v1", "kind": "DeleteOptions", **how}
        try:
            await self._api.write("DELETE", kind.path(self._namespace, own["name"]), body, JSON)
        except ApiError as error:
            if error.fault is not Fault.NOT_FOUND:
                raise

    async def _copy(self, raw: Json, service: str, names: Sequence[str], wanted: Wanted) -> Json:
        """Have the route copy just so; once more when somebody wrote to it meanwhile."""
        try:
            return await self._patched(raw, service, names, wanted)
        except ApiError as error:
            if error.fault is not Fault.CONFLICT:
                raise
        raw = await self._read_route()
        _check_epoch(raw, wanted.epoch)
        return await self._patched(raw, service, names, wanted)

    async def _patched(self, raw: Json, service: str, names: Sequence[str], wanted: Wanted) -> Json:
        changes = [*_changes(raw, service, names, wanted.share)]
        if not changes:
            return raw
        path = ROUTES.resource.path(self._namespace, self._route)
        patch = [*_marks(raw, wanted.epoch), *changes]
        # A Gateway API that has no `fraction` would drop it, and copy every request.
        after: Json = await self._api.write(
            "PATCH", path, patch, JSON_PATCH, fieldValidation="Strict"
        )
        self._lookout.written(route(after))
        return after


def _check(scene: Scene, raw: Json, wanted: Wanted, service: str) -> None:
    """Only the leader, and only where nobody else has the service."""
    _check_epoch(raw, wanted.epoch)
    if scene.epoch.deposes(wanted.epoch):
        raise StageRefusedError(f"{scene.epoch.leader} leads under epoch {scene.epoch.number}")
    if not wanted.variants:
        return
    if scene.barred:
        raise StageRefusedError(scene.barred)
    if not any(each.service == service for each in route(raw).weights):
        name = raw["metadata"]["name"]
        raise StageRefusedError(f"no rule of HTTPRoute {name} sends to Service {service!r}")


def _check_epoch(raw: Json, epoch: Epoch) -> None:
    if (seen := meta(raw).epoch).deposes(epoch):
        raise StageRefusedError(f"{seen.leader} leads under epoch {seen.number}")


def _changes(raw: Json, service: str, names: Sequence[str], share: float) -> Iterator[Json]:
    """What of each rule's filters is not so yet. Rules that send elsewhere only lose copies."""
    ports: dict[int, int] = {}
    rules: Sequence[Json] = raw["spec"].get("rules") or ()
    for weight in route(raw).weights:
        if weight.service == service:
            ports[weight.rule] = rules[weight.rule]["backendRefs"][weight.place].get("port", 80)
    for number, rule in enumerate(rules):
        before = [*(rule.get("filters") or ())]
        here = names if number in ports else ()
        after = mirrored(before, ports.get(number, 0), here, share)
        if after != before:
            yield {"op": "add", "path": f"/spec/rules/{number}/filters", "value": after}


def _marks(raw: Json, epoch: Epoch) -> Iterator[Mapping[str, Any]]:
    """The version that was read, for a conflict if it has gone by, and who writes."""
    seen, written = meta(raw), f"{epoch.number} {epoch.leader}"
    yield {"op": "add", "path": "/metadata/resourceVersion", "value": seen.version}
    if seen.annotated:
        path = f"/metadata/annotations/{EPOCH.replace('/', '~1')}"
        yield {"op": "add", "path": path, "value": written}
    else:
        yield {"op": "add", "path": "/metadata/annotations", "value": {EPOCH: written}}


def _running(name: str, job: Json, raw: Json) -> Running:
    known_as = OURS.search(name)
    status: Json = job.get("status") or {}
    return Running(
        known_as.group(1) if known_as else name,
        clusters(raw, name),
        status.get("ready", 0),
        status.get("failed", 0),
    )
