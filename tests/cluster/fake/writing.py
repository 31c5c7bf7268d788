"""How an object gets into the store: preconditions, what the server keeps, owners, deletion."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING
from uuid import uuid4

from tests.cluster.fake.admission import check, defaulted
from tests.cluster.fake.errors import Object, bad_request, conflict, invalid, not_found
from tests.cluster.fake.kinds import NAMED, Kind
from tests.cluster.fake.ownership import Owners, without_history
from tests.cluster.fake.paths import fields
from tests.cluster.fake.registry import Registry
from tests.cluster.fake.store import Key, Store

if TYPE_CHECKING:
    from tests.cluster.fake.api import Call

NAMESPACE, CRD = NAMED["Namespace"], NAMED["CustomResourceDefinition"]
_KEPT = ("name", "namespace", "uid", "creationTimestamp", "generation")
_DELETION = ("deletionTimestamp", "deletionGracePeriodSeconds")


def timestamp(now_s: float) -> str:
    """As Kubernetes writes times: RFC 3339 in whole seconds."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now_s))


class Writing:
    """Creates, updates and deletes objects of a store."""

    def __init__(self, store: Store, registry: Registry, clock: Callable[[], float]) -> None:
        self._store = store
        self._registry = registry
        self._clock = clock

    def create(self, call: Call, thing: Object, *, applied: bool = False) -> Object:
        """Store a new object; raises `ApiError`."""
        self._check_namespace(call)
        kind, now = call.kind, timestamp(self._clock())
        if thing["metadata"].get("resourceVersion"):
            raise bad_request("resourceVersion should not be set on objects to be created")
        new = _without_status(kind, thing)
        new["metadata"] = self._born(call, thing["metadata"], now)
        new = defaulted(kind, new)
        check(kind, new)
        owners = Owners(new)
        if applied:
            owners.applied(call.manager("Apply"), set(fields(kind, thing)), set(), now)
        else:
            nothing = {"metadata": {}}
            owners.updated(kind, call.manager("Update"), nothing, _without_status(kind, new), now)
        new = owners.written(kind, new)
        if call.query.get("dryRun"):
            return new
        new = self._store.create(kind, (call.namespace, new["metadata"]["name"]), new)
        return self._established(new) if kind == CRD else new

    def update(
        self,
        call: Call,
        old: Object,
        new: Object,
        owners: Owners | None = None,
        *,
        patch: bool = False,
    ) -> Object:
        """Put ``new`` in the place of ``old``; ``owners`` are those of a server-side apply."""
        kind = call.kind
        self._check_version(kind, old, new, patch=patch)
        new = defaulted(kind, _confined(call, old, new))
        new["metadata"] = _kept(old["metadata"], new["metadata"])
        check(kind, new)
        if _substance(new) != _substance(old):
            new["metadata"]["generation"] = old["metadata"]["generation"] + 1
        if owners is None:
            owners = Owners(old)
            writer = call.manager("Update")
            owners.updated(kind, writer, old, new, timestamp(self._clock()))
        new = owners.written(kind, new)
        if without_history(new) == without_history(old):
            return old
        if call.query.get("dryRun"):
            return new
        return self._settled(kind, call.key, new)

    def delete(self, call: Call, name: str, options: Object) -> Object:
        """Delete one object, or mark it when somebody still has to finish something."""
        kind, key = call.kind, (call.namespace, name)
        thing = self._store.get(kind, key)
        self._check_preconditions(kind, thing, options.get("preconditions") or {})
        if call.query.get("dryRun"):
            return thing
        grace_s = options.get("gracePeriodSeconds", call.query.get("gracePeriodSeconds"))
        if _lingers(kind, thing, grace_s):
            return self._marked(kind, key, thing, grace_s)
        self._remove(kind, key)
        details = {"name": name, "kind": kind.plural, "uid": thing["metadata"]["uid"]}
        return {"kind": "Status", "apiVersion": "v1", "status": "Success", "details": details}

    def _born(self, call: Call, metadata: Object, now: str) -> Object:
        name = metadata.get("name") or call.name
        if not name and metadata.get("generateName"):
            name = f"{metadata['generateName']}{uuid4().hex[:5]}"
        if not name:
            raise invalid(call.kind.resource, "", "metadata.name", "name is required")
        where = {"namespace": call.namespace} if call.kind.namespaced else {}
        server = {"uid": str(uuid4()), "creationTimestamp": now, "generation": 1}
        rest = {key: value for key, value in metadata.items() if key != "managedFields"}
        return {**rest, "name": name, **where, **server}

    def _check_namespace(self, call: Call) -> None:
        if call.kind.namespaced and self._store.find(NAMESPACE, ("", call.namespace)) is None:
            raise not_found("namespaces", call.namespace)

    def _check_version(self, kind: Kind, old: Object, new: Object, *, patch: bool) -> None:
        given, name = new["metadata"].get("resourceVersion"), old["metadata"]["name"]
        if given and given != old["metadata"]["resourceVersion"]:
            raise conflict(kind.resource, name)
        if not given and not patch and (kind.custom or kind.name == "Lease"):
            field = "metadata.resourceVersion"
            raise invalid(kind.resource, name, field, "0x0: must be specified for an update")
        if new["metadata"].get("uid") not in (None, "", old["metadata"]["uid"]):
            raise conflict(kind.resource, name)

    def _check_preconditions(self, kind: Kind, thing: Object, wanted: Object) -> None:
        for name in ("uid", "resourceVersion"):
            if wanted.get(name) not in (None, thing["metadata"][name]):
                raise conflict(kind.resource, thing["metadata"]["name"])

    def _settled(self, kind: Kind, key: Key, new: Object) -> Object:
        """Stored; or gone, when it was to be deleted and nobody holds it any more."""
        stored = self._store.put(kind, key, new)
        metadata = stored["metadata"]
        finished = metadata.get("deletionTimestamp") and not metadata.get("finalizers")
        if finished and kind.name != "Pod":
            self._remove(kind, key)
        return stored

    def _marked(self, kind: Kind, key: Key, thing: Object, grace_s: int | str | None) -> Object:
        if thing["metadata"].get("deletionTimestamp"):
            return thing
        period_s = int(30 if grace_s is None else grace_s) if kind.name == "Pod" else 0
        deadline = timestamp(self._clock() + period_s)
        marks = {"deletionTimestamp": deadline, "deletionGracePeriodSeconds": period_s}
        return self._store.put(kind, key, {**thing, "metadata": {**thing["metadata"], **marks}})

    def _remove(self, kind: Kind, key: Key) -> None:
        gone = self._store.delete(kind, key)
        if kind == NAMESPACE:
            for each in self._registry:
                for inside in self._store.keys(each, key[1]) if each.namespaced else ():
                    self._store.delete(each, inside)
        if kind == CRD:
            spec = gone["spec"]
            for each in self._registry.uninstall(spec["group"], spec["names"]["plural"]):
                self._store.drop(each)

    def _established(self, crd: Object) -> Object:
        self._registry.install(crd)
        conditions = [{"type": kind, "status": "True"} for kind in ("NamesAccepted", "Established")]
        key = "", crd["metadata"]["name"]
        return self._store.put(CRD, key, {**crd, "status": {"conditions": conditions}})


def _without_status(kind: Kind, thing: Object) -> Object:
    return {k: v for k, v in thing.items() if k != "status"} if kind.status else dict(thing)


def _confined(call: Call, old: Object, new: Object) -> Object:
    """Only what the path may change: the status through ``status``, all else through the object."""
    if call.subresource == "status":
        return {**old, "status": new.get("status", {}), "metadata": dict(old["metadata"])}
    if call.kind.status and "status" in old:
        return {**new, "status": old["status"]}
    return _without_status(call.kind, new)


def _kept(old: Object, new: Object) -> Object:
    """Metadata as asked for, but for what is the server's."""
    own = {name: old[name] for name in (*_KEPT, *_DELETION) if name in old}
    rest = {k: v for k, v in new.items() if k not in (*_DELETION, "managedFields")}
    return {**rest, **own, "resourceVersion": old["resourceVersion"]}


def _substance(thing: Object) -> Object:
    return {name: value for name, value in thing.items() if name not in ("metadata", "status")}


def _lingers(kind: Kind, thing: Object, grace_s: int | str | None) -> bool:
    """Whether a finalizer holds it, or a kubelet that lets a pod finish."""
    if thing["metadata"].get("finalizers"):
        return True
    placed = kind.name == "Pod" and thing["spec"].get("nodeName")
    return bool(placed) and str(grace_s) != "0"
