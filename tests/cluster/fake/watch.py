"""Watches: what was since a version, then what happens, and now and then a bookmark."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING

from tests.cluster.fake.errors import ApiError, Object, bad_request
from tests.cluster.fake.selectors import Selector
from tests.cluster.fake.store import Change, Notice, Queue, Store

if TYPE_CHECKING:
    from tests.cluster.fake.api import Call

# How long a watch lasts that names no end.
LONGEST_S = 1800.0


async def events(store: Store, call: Call, bookmark_s: float) -> AsyncIterator[Object]:
    """The events of one watch, until its time is over or its kind is gone.

    A version that is forgotten ends it with an ERROR event that carries the 410, as the real
    server's watch cache answers it: inside of a 200.
    """
    try:
        past = list(_past(store, call))
    except ApiError as error:
        yield {"type": "ERROR", "object": error.status()}
        return
    queue = store.subscribe(call.kind)
    try:
        for event in past:
            yield event
        async for event in _future(store, call, queue, bookmark_s):
            yield event
    finally:
        store.unsubscribe(call.kind, queue)


def _past(store: Store, call: Call) -> Iterator[Object]:
    """What a watch begins with: every object, or the changes since a version."""
    version, selects = call.query.get("resourceVersion", ""), call.selector
    if version in ("", "0"):
        for thing in store.objects(call.kind, call.namespace):
            if selects(thing):
                yield {"type": "ADDED", "object": thing}
        return
    if not version.isdigit():
        raise bad_request(f"invalid resource version: {version}")
    for change in store.since(call.kind, int(version)):
        yield from told(change, call.namespace, selects)


async def _future(
    store: Store, call: Call, queue: Queue, bookmark_s: float
) -> AsyncIterator[Object]:
    loop, selects = asyncio.get_running_loop(), call.selector
    end_s = loop.time() + float(call.query.get("timeoutSeconds") or LONGEST_S)
    bookmarks = call.query.get("allowWatchBookmarks") == "true"
    while (left_s := end_s - loop.time()) > 0:
        change = await _next(queue, min(bookmark_s, left_s))
        if change is Notice.END:
            return
        if isinstance(change, Change):
            for event in told(change, call.namespace, selects):
                yield event
        elif bookmarks:
            yield _bookmark(store, call)


async def _next(queue: Queue, within_s: float) -> Change | Notice:
    try:
        return await asyncio.wait_for(queue.get(), within_s)
    except TimeoutError:
        return Notice.BOOKMARK


def told(change: Change, namespace: str, selects: Selector) -> Iterator[Object]:
    """A change as a watcher sees it: what enters its selection is added, what leaves is deleted."""
    before, after = (
        thing if thing and _within(thing, namespace) and selects(thing) else None
        for thing in (change.before, change.after)
    )
    if after:
        yield {"type": "MODIFIED" if before else "ADDED", "object": after}
    elif before:
        metadata = {**before["metadata"], "resourceVersion": str(change.revision)}
        yield {"type": "DELETED", "object": {**before, "metadata": metadata}}


def _within(thing: Object, namespace: str) -> bool:
    return namespace in ("", thing["metadata"].get("namespace"))


def _bookmark(store: Store, call: Call) -> Object:
    metadata = {"resourceVersion": str(store.revision), "creationTimestamp": None}
    kind = {"kind": call.kind.name, "apiVersion": call.kind.api_version}
    return {"type": "BOOKMARK", "object": {**kind, "metadata": metadata}}
