"""The objects, their versions, and everybody who watches them.

Objects in the store are never changed in place: a write puts a new one there. So a list, a page of
it or an event can be handed out as it is.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from tests.cluster.fake.errors import Object, already_exists, expired, not_found
from tests.cluster.fake.kinds import Kind

# Namespace ("" for what has none) and name.
Key = tuple[str, str]


class Notice(Enum):
    """What watchers are told beside changes."""

    BOOKMARK = "tell how far you are"
    END = "this kind is no longer served"


# What a watcher waits at.
Queue = asyncio.Queue["Change | Notice"]


@dataclass(frozen=True, slots=True)
class Change:
    """One write: the object before and after, ``None`` where there was or is none."""

    revision: int
    before: Object | None
    after: Object | None


class Store:
    """What etcd is to a real API server. To be used in one thread."""

    def __init__(self) -> None:
        self.revision = 100
        # Changes up to here are forgotten: a watch from before is told that it is too late.
        self.compacted = 100
        self._objects: dict[Kind, dict[Key, Object]] = defaultdict(dict)
        self._changes: dict[Kind, list[Change]] = defaultdict(list)
        self._watchers: dict[Kind, list[Queue]] = defaultdict(list)

    def find(self, kind: Kind, key: Key) -> Object | None:
        return self._objects[kind].get(key)

    def get(self, kind: Kind, key: Key) -> Object:
        thing = self.find(kind, key)
        if thing is None:
            raise not_found(kind.resource, key[1])
        return thing

    def create(self, kind: Kind, key: Key, thing: Object) -> Object:
        if key in self._objects[kind]:
            raise already_exists(kind.resource, key[1])
        return self.put(kind, key, thing)

    def put(self, kind: Kind, key: Key, thing: Object) -> Object:
        """Write ``thing`` under the next revision, whatever was there."""
        self.revision += 1
        metadata = {**thing["metadata"], "resourceVersion": str(self.revision)}
        after = {**thing, "metadata": metadata}
        self._commit(kind, Change(self.revision, self.find(kind, key), after))
        self._objects[kind][key] = after
        return after

    def delete(self, kind: Kind, key: Key) -> Object:
        """Take it out; what watchers see last bears the revision of its end."""
        self.revision += 1
        thing = self._objects[kind].pop(key)
        metadata = {**thing["metadata"], "resourceVersion": str(self.revision)}
        gone = {**thing, "metadata": metadata}
        self._commit(kind, Change(self.revision, gone, None))
        return gone

    def compact(self) -> None:
        """Forget all changes so far, as etcd does every five minutes."""
        self.compacted = self.revision
        self._changes.clear()

    def since(self, kind: Kind, revision: int) -> list[Change]:
        """The changes after ``revision``; raises `ApiError` 410 when they are forgotten."""
        if revision < self.compacted:
            raise expired(revision, self.compacted)
        return [change for change in self._changes[kind] if change.revision > revision]

    def subscribe(self, kind: Kind) -> Queue:
        """All changes from now on, until `unsubscribe`."""
        queue: Queue = asyncio.Queue()
        self._watchers[kind].append(queue)
        return queue

    def unsubscribe(self, kind: Kind, queue: Queue) -> None:
        self._watchers[kind].remove(queue)

    def keys(self, kind: Kind, namespace: str) -> Iterator[Key]:
        return (key for key in list(self._objects[kind]) if key[0] == namespace)

    def bookmark(self) -> None:
        """Tell all watchers who care the version that they have seen, now."""
        for queues in self._watchers.values():
            for queue in queues:
                queue.put_nowait(Notice.BOOKMARK)

    def drop(self, kind: Kind) -> None:
        """Forget a kind that is no longer served; its watches end."""
        self._objects.pop(kind, None)
        self._changes.pop(kind, None)
        for queue in self._watchers[kind]:
            queue.put_nowait(Notice.END)

    def objects(self, kind: Kind, namespace: str = "") -> list[Object]:
        """In the order of their names; of all namespaces when none is given."""
        found = self._objects[kind]
        return [found[key] for key in sorted(found) if namespace in ("", key[0])]

    def _commit(self, kind: Kind, change: Change) -> None:
        self._changes[kind].append(change)
        for queue in self._watchers[kind]:
            queue.put_nowait(change)
