"""The API over HTTP: from a request to a `Call`, from an answer or an error to a response."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml
from aiohttp import web
from tests.cluster.fake.access import Access
from tests.cluster.fake.api import Api, Call
from tests.cluster.fake.discovery import discover
from tests.cluster.fake.errors import (
    ApiError,
    Object,
    bad_request,
    unknown_path,
    unsupported,
)
from tests.cluster.fake.faults import Faults, Silence, Trouble
from tests.cluster.fake.kinds import GATEWAY_API
from tests.cluster.fake.registry import Registry
from tests.cluster.fake.store import Store
from tests.cluster.fake.watch import events
from tests.cluster.fake.writing import CRD, NAMESPACE

_VERBS = {"GET": "get", "POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
_OF_ALL = {"get": "list", "delete": "deletecollection"}
TOKEN_REQUEST = ("create", "ServiceAccount", "token")
_BODY_BYTES = 3 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Seen:
    """One call that was answered, and with which code; 0: not at all."""

    call: Call
    code: int


class Server:
    """Serves one store. Lives in one event loop; `FakeCluster` gives it a thread."""

    def __init__(self, token: str, bookmark_s: float) -> None:
        self.api = Api(Store(), Registry(), time.time)
        self.faults = Faults()
        self.access = Access(self.api.store, token)
        self.bookmark_s = bookmark_s
        self.seen: list[Seen] = []
        # Watches that were told to fall silent without an end.
        self.stalled: set[web.StreamResponse] = set()
        self.watching: dict[web.StreamResponse, web.Request] = {}
        for name in ("default", "kube-system"):
            self.api.answer(Call("create", NAMESPACE, "", body={"metadata": {"name": name}}))
        for crd in GATEWAY_API:
            self.api.answer(Call("create", CRD, "", body=crd))

    def application(self) -> web.Application:
        """A new one for each start: aiohttp's serve only once."""
        application = web.Application(client_max_size=_BODY_BYTES)
        application.router.add_route("*", "/{path:.*}", self._handle)
        return application

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        try:
            return await self._routed(request)
        except ApiError as error:
            return _refused(error)

    async def _routed(self, request: web.Request) -> web.StreamResponse:
        parts = [part for part in request.path.split("/") if part]
        if parts[0:1] in (["healthz"], ["livez"], ["readyz"]):
            return web.Response(text="ok")
        user = self.access.user(request.headers.get("Authorization", ""))
        place = _place(parts)
        if place is None:
            return web.json_response(discover(self.api.registry, parts))
        return await self._called(request, await self._call(request, *place), user)

    async def _call(self, request: web.Request, where: tuple[str, str, str], *rest: str) -> Call:
        namespace, name, subresource = rest
        kind = self.api.registry.served(*where)
        verb = _VERBS.get(request.method, "")
        verb = verb if name else _OF_ALL.get(verb, verb)
        if verb == "list" and request.query.get("watch") in ("true", "1"):
            verb = "watch"
        media_type = request.content_type
        return Call(
            verb=verb,
            kind=kind,
            namespace=namespace,
            name=name,
            subresource=subresource,
            query=dict(request.query),
            body=_parsed(await request.read(), media_type),
            media_type=media_type,
            agent=request.headers.get("User-Agent", ""),
        )

    async def _called(self, request: web.Request, call: Call, user: str) -> web.StreamResponse:
        """Carry it out, unless a fault stands in its way."""
        trouble = self.faults.meet(call)
        if isinstance(trouble, Silence):
            return await self._silent(request, call, trouble)
        try:
            if trouble:
                raise trouble.error
            self.access.check(user, call)
            if call.verb == "watch":
                self.seen.append(Seen(call, 200))
                return await self._watched(request, call)
            code, body = self._answer(call)
        except ApiError as error:
            self.seen.append(Seen(call, error.code))
            raise
        self.seen.append(Seen(call, code))
        return web.json_response(body, status=code)

    def _answer(self, call: Call) -> tuple[int, Object]:
        if (call.verb, call.kind.name, call.subresource) == TOKEN_REQUEST:
            return 201, self.access.token(call.namespace, call.name)
        return self.api.answer(call)

    async def _silent(self, request: web.Request, call: Call, trouble: Trouble) -> web.Response:
        self.seen.append(Seen(call, 0))
        assert isinstance(trouble, Silence)
        if trouble.done and call.verb != "watch":
            self._answer(call)
        if trouble.cut:
            _cut(request)
        await asyncio.Event().wait()
        return web.Response()

    async def _watched(self, request: web.Request, call: Call) -> web.StreamResponse:
        stream = web.StreamResponse(headers={"Content-Type": "application/json"})
        await stream.prepare(request)
        self.watching[stream] = request
        try:
            async for event in events(self.api.store, call, self.bookmark_s):
                if stream not in self.stalled:
                    await stream.write(json.dumps(event).encode() + b"\n")
            if stream in self.stalled:
                await asyncio.Event().wait()
            return stream
        finally:
            self.stalled.discard(stream)
            del self.watching[stream]

    def stall_watches(self) -> None:
        """All present watches stay open and say nothing more."""
        self.stalled |= set(self.watching)

    def cut_watches(self) -> None:
        """All present watches lose their connection."""
        for request in list(self.watching.values()):
            _cut(request)


def _cut(request: web.Request) -> None:
    if request.transport:
        request.transport.abort()


def _place(parts: list[str]) -> tuple[tuple[str, str, str], str, str, str] | None:
    """Resource, namespace, name and subresource of a path; ``None`` when it names no resource."""
    if parts[0:1] == ["api"]:
        group, version, rest = "", parts[1:2], parts[2:]
    elif parts[0:1] == ["apis"]:
        group, version, rest = "".join(parts[1:2]), parts[2:3], parts[3:]
    else:
        return None
    if not rest:
        return None
    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 2 and rest[2] not in ("status", "finalize"):
        namespace, rest = rest[1], rest[2:]
    if len(rest) > 3:
        raise unknown_path()
    plural, name, subresource = (*rest, "", "")[:3]
    return (group, version[0], plural), namespace, name, subresource


def _parsed(body: bytes, media_type: str) -> Any:
    """JSON or YAML; not protobuf, in which kubectl sends what it makes itself (``create ns x``)."""
    if not body:
        return None
    if not media_type.endswith(("json", "yaml")):
        raise unsupported(media_type, ("application/json", "application/yaml"))
    try:
        return yaml.safe_load(body) if media_type.endswith("yaml") else json.loads(body)
    except (ValueError, yaml.YAMLError) as error:
        raise bad_request(f"the object provided is unrecognized: {error}") from error


def _refused(error: ApiError) -> web.Response:
    if not error.reason:
        return web.Response(text=f"{error}\n", status=error.code)
    body: Object = error.status()
    after: Mapping[str, Any] = body["details"]
    headers = {}
    if "retryAfterSeconds" in after:
        headers["Retry-After"] = str(after["retryAfterSeconds"])
    return web.json_response(body, status=error.code, headers=headers)
