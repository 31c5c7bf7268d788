"""The verbs: what an API server does with a request, apart from HTTP."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

from tests.cluster.fake import merge, scale, selectors
from tests.cluster.fake.errors import (
    Object,
    bad_request,
    conflict,
    expired,
    invalid,
    not_allowed,
    not_found,
    unsupported,
)
from tests.cluster.fake.kinds import Kind
from tests.cluster.fake.ownership import Manager
from tests.cluster.fake.registry import Registry
from tests.cluster.fake.store import Key, Store
from tests.cluster.fake.writing import Writing, timestamp


@dataclass(frozen=True, slots=True)
class Call:
    """One request. ``body`` is parsed; ``agent`` is the client's User-Agent."""

    verb: str
    kind: Kind
    namespace: str
    name: str = ""
    subresource: str = ""
    query: Mapping[str, str] = field(default_factory=dict)
    body: Any = None
    media_type: str = "application/json"
    agent: str = ""

    @property
    def key(self) -> Key:
        return self.namespace, self.name

    @property
    def selector(self) -> selectors.Selector:
        return selectors.parse(
            self.query.get("labelSelector", ""), self.query.get("fieldSelector", "")
        )

    def manager(self, operation: str) -> Manager:
        """Whom the fields belong to that it writes."""
        name = self.query.get("fieldManager") or self.agent.split("/")[0] or "unknown"
        return Manager(name, operation, self.kind.api_version, self.subresource)


class Api:
    """Answers calls; raises `ApiError` for what is refused. ``clock`` gives seconds."""

    def __init__(self, store: Store, registry: Registry, clock: Callable[[], float]) -> None:
        self.store = store
        self.registry = registry
        self._clock = clock
        self._writing = Writing(store, registry, clock)
        # What is left of lists that are read page by page, as they were at a revision.
        self._rests: dict[str, tuple[int, list[Object]]] = {}

    def answer(self, call: Call) -> tuple[int, Object]:
        """The HTTP status and the body."""
        if call.subresource and call.subresource not in call.kind.subresources:
            raise not_found(f"{call.kind.resource}/{call.subresource}", call.name)
        verbs: dict[str, Callable[[Call], tuple[int, Object]]] = {
            "get": self._get,
            "list": self._list,
            "create": self._create,
            "update": self._update,
            "patch": self._patch,
            "delete": self._delete,
            "deletecollection": self._delete_collection,
        }
        if call.verb not in verbs or (call.subresource and call.verb in ("create", "delete")):
            raise not_allowed()
        return verbs[call.verb](call)

    def _get(self, call: Call) -> tuple[int, Object]:
        thing = self.store.get(call.kind, call.key)
        return 200, self._shown(call, thing)

    def _list(self, call: Call) -> tuple[int, Object]:
        revision, found = self._found(call)
        limit = int(call.query.get("limit") or 0) or len(found)
        items, rest = found[:limit], found[limit:]
        metadata: Object = {"resourceVersion": str(revision)}
        if rest:
            token = str(len(self._rests))
            self._rests[token] = revision, rest
            metadata |= {"continue": token, "remainingItemCount": len(rest)}
        return 200, {
            "kind": f"{call.kind.name}List",
            "apiVersion": call.kind.api_version,
            "metadata": metadata,
            "items": items,
        }

    def _found(self, call: Call) -> tuple[int, list[Object]]:
        """A new list with its revision, or what is left of an old one; that may have expired."""
        token = call.query.get("continue")
        if not token:
            return self.store.revision, self._selected(call)
        revision, rest = self._rests[token]
        if revision < self.store.compacted:
            raise expired(revision, self.store.compacted)
        return revision, rest

    def _selected(self, call: Call) -> list[Object]:
        selects = call.selector
        return [thing for thing in self.store.objects(call.kind, call.namespace) if selects(thing)]

    def _create(self, call: Call) -> tuple[int, Object]:
        thing = self._parsed(call)
        return 201, self._writing.create(call, thing)

    def _update(self, call: Call) -> tuple[int, Object]:
        old = self.store.get(call.kind, call.key)
        new = self._parsed(call)
        if call.subresource == "scale":
            new = scale.scaled(call.kind, old, new)
        elif new["metadata"].get("name") not in (None, call.name):
            raise bad_request(
                f"the name of the object ({new['metadata']['name']}) does not match "
                f"the name on the URL ({call.name})"
            )
        return 200, self._shown(call, self._writing.update(call, old, new))

    def _patch(self, call: Call) -> tuple[int, Object]:
        if call.media_type == merge.APPLY:
            return self._apply(call)
        old = self.store.get(call.kind, call.key)
        new = self._patched(call, self._shown(call, old))
        if call.subresource == "scale":
            new = scale.scaled(call.kind, old, new)
        return 200, self._shown(call, self._writing.update(call, old, new, patch=True))

    def _patched(self, call: Call, thing: Object) -> Object:
        if call.media_type == merge.JSON:
            return merge.json_patched(thing, call.body)
        if call.media_type == merge.MERGE:
            return dict(merge.merge_patched(thing, call.body))
        if call.media_type == merge.STRATEGIC and not call.kind.custom:
            return dict(merge.merged(call.kind, thing, call.body))
        strategic = () if call.kind.custom else (merge.STRATEGIC,)
        raise unsupported(call.media_type, (merge.JSON, merge.MERGE, *strategic, merge.APPLY))

    def _apply(self, call: Call) -> tuple[int, Object]:
        if not call.query.get("fieldManager"):
            raise invalid(
                "PatchOptions.meta.k8s.io", "", "fieldManager", '"": is required for apply'
            )
        if call.subresource == "scale":
            raise unsupported(call.media_type, (merge.JSON, merge.MERGE))
        if "managedFields" in call.body.get("metadata", {}):
            raise bad_request("metadata.managedFields must be nil")
        old = self.store.find(call.kind, call.key)
        if old is None:
            return 201, self._writing.create(call, self._newly_applied(call), applied=True)
        new, owners = merge.applied(
            call.kind,
            old,
            call.body,
            call.manager("Apply"),
            force=call.query.get("force") == "true",
            time=timestamp(self._clock()),
        )
        return 200, self._writing.update(call, old, new, owners, patch=True)

    def _newly_applied(self, call: Call) -> Object:
        """What is gone is created anew, whatever version was named; but not under its old uid."""
        if call.body["metadata"].get("uid"):
            raise conflict(call.kind.resource, call.name)
        metadata = {k: v for k, v in call.body["metadata"].items() if k != "resourceVersion"}
        return {**call.body, "metadata": metadata}

    def _delete(self, call: Call) -> tuple[int, Object]:
        return 200, self._writing.delete(call, call.name, call.body or {})

    def _delete_collection(self, call: Call) -> tuple[int, Object]:
        for thing in self._selected(call):
            self._writing.delete(call, thing["metadata"]["name"], call.body or {})
        return self._list(call)

    def _parsed(self, call: Call) -> Object:
        """The object in the body; raises `ApiError` 400 for anything else."""
        if not isinstance(call.body, dict) or not isinstance(call.body.get("metadata"), dict):
            raise bad_request("the object provided is unrecognized (must be of type Object)")
        expected = ("Scale", "autoscaling/v1") if call.subresource == "scale" else None
        kind = (call.body.get("kind"), call.body.get("apiVersion"))
        if kind not in (expected or (call.kind.name, call.kind.api_version), (None, None)):
            raise bad_request(
                f"{kind[0]} in version {kind[1]} cannot be handled as a {call.kind.name}"
            )
        if call.body["metadata"].get("namespace") not in (None, "", call.namespace):
            raise bad_request("the namespace of the object does not match that of the request")
        named = {"kind": call.kind.name, "apiVersion": call.kind.api_version}
        return deepcopy(call.body) if expected else {**deepcopy(call.body), **named}

    def _shown(self, call: Call, thing: Object) -> Object:
        return scale.shown(call.kind, thing) if call.subresource == "scale" else thing
