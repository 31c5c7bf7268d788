"""One kind of one namespace, kept as it is: listed once, then followed.

A watch that goes on in silence may be dead. Each therefore ends after a while by the server's own
clock, and goes on from where it was; what it kept is as old as the last sign of life.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import aclosing
from typing import Generic, Protocol, TypeVar

from kubernetes.aio.utils import Backoff, on_retry_after_error

from trimtab_controller.kubernetes.api import LIST_S, Api, Json
from trimtab_controller.kubernetes.faults import ApiError, Fault
from trimtab_controller.kubernetes.kinds import Resource
from trimtab_controller.kubernetes.objects import Kept
from trimtab_controller.protocols import Clock

log = logging.getLogger(__name__)

# As client-go's reflectors: about a second at first, half a minute at most, then anew.
BACKOFF = Backoff(steps=16, duration=0.8, factor=2.0, jitter=1.0, cap=30.0)
PAGE = 500
# A watch that ends sooner, and said nothing, was not served.
SHORT_S = 0.5


K = TypeVar("K", bound=Kept)


class Kind(Protocol[K]):
    """Where the objects are, and what is made of one; without an ``optional`` kind there are none.

    What is ``vital`` must be recent, or nothing is done; the rest must only be known. By its
    ``keys`` one is found.
    """

    @property
    def optional(self) -> bool: ...  # noqa: D102  # said above

    @property
    def vital(self) -> bool: ...  # noqa: D102  # said above

    def keys(self, kept: K, /) -> Iterable[object]: ...  # noqa: D102  # said above

    async def locate(self, api: Api) -> Resource: ...  # noqa: D102  # said above

    async def keep(self, api: Api, raw: Json) -> K | None: ...  # noqa: D102  # said above


class Watch(Generic[K]):
    """The objects of ``kind`` in ``namespace``, by name.

    ``seen_s`` is when they were last known to be so; ``fault`` why they are not followed now.
    """

    def __init__(self, api: Api, kind: Kind[K], namespace: str, clock: Clock, for_s: int) -> None:
        self.kind = kind
        self.namespace = namespace
        self.resource: Resource | None = None
        self.objects: dict[str, K] = {}
        self.seen_s = -math.inf
        self.fault: ApiError | None = None
        self.for_s = for_s
        self._api = api
        self._clock = clock
        self._path = ""
        self._version = ""
        # Our writes since the last list.
        self._written: dict[str, K] = {}
        # How often something changed, and what the index was made of.
        self._changes, self._indexed = 0, -1
        self._index: Mapping[object, Sequence[K]] = {}

    def __str__(self) -> str:
        return self._path or f"{self.kind} in {self.namespace}"

    def all(self) -> list[K]:
        """What is kept now. One step of the interpreter: the watch may change it meanwhile."""
        return [*self.objects.values()]

    def at(self, key: object) -> Sequence[K]:
        """What has this among its keys: many services look among thousands, every tick."""
        if self._indexed != (changes := self._changes):
            index = defaultdict(list)
            for kept in self.all():
                for each in self.kind.keys(kept):
                    index[each].append(kept)
            self._index, self._indexed = index, changes
        return self._index.get(key, ())

    async def run(self) -> None:
        """Follow for ever, whatever goes wrong."""
        while True:
            try:
                await on_retry_after_error(BACKOFF, self._failed, self._follow)
            except ApiError:
                log.debug("%s: the back-off begins anew", self._path)
            except Exception:
                log.exception("%s: a bug: please report it", self._path)
                await asyncio.sleep(BACKOFF.cap)

    async def refresh(self, name: str) -> None:
        """Ask for one object now; raises `ApiError`."""
        kept = await self._made(await self._api.get(f"{self._path}/{name}"))
        if kept and name in self.objects:
            self.put(kept)

    def written(self, kept: K) -> None:
        """Keep what a write of ours made of an object, unless that has gone meanwhile."""
        known = self.objects.get(kept.meta.name)
        if known and known.meta.uid == kept.meta.uid:
            self._written[kept.meta.name] = kept
            self.put(kept)

    def put(self, kept: K) -> None:
        """Keep a newer state of an object."""
        known = self.objects.get(kept.meta.name)
        if known is None or kept.meta.newer(known.meta):
            self.objects[kept.meta.name] = kept
            self._changes += 1

    def _failed(self, error: Exception) -> bool:
        """Remember the error, and say whether another try makes sense: it always does."""
        if not isinstance(error, ApiError):
            return False
        log.debug("%s", error)  # told once by every service that it concerns
        self.fault = error
        return True

    async def _follow(self) -> None:
        """List if nothing is known, then watch until the server ends it."""
        try:
            if not self.resource:
                self.resource = await self.kind.locate(self._api)
                self._path = self.resource.path(self.namespace)
            if not self._version:
                await self._list()
            await self._watch()
        except ApiError as error:
            if error.fault is Fault.NOT_FOUND and self.kind.optional:
                await self._none()
                return
            if error.status and error.fault is not Fault.THROTTLED:
                # Gone by, or from before the server was restored: in doubt all is listed anew.
                self._version = ""
            raise

    async def _none(self) -> None:
        """There is no such kind, and so none of it: look again later."""
        self._version = ""
        self.objects = {}
        self._alive()
        await asyncio.sleep(self.for_s)

    async def _list(self) -> None:
        found, version = {}, ""
        self._written.clear()
        async for page in self._pages():
            for raw in page["items"]:
                if kept := await self._made(raw):
                    found[kept.meta.name] = kept
            version = page["metadata"]["resourceVersion"]
        self.objects = found
        self._changes += 1
        # What was written after the list began may be in none of its pages.
        for kept in [*self._written.values()]:
            self.written(kept)
        self._version = version
        self._alive()

    async def _pages(self) -> AsyncIterator[Json]:
        following = ""
        while True:
            page: Json = await self._api.get(
                self._path, LIST_S, limit=PAGE, **{"continue": following} if following else {}
            )
            yield page
            following = page["metadata"].get("continue", "")
            if not following:
                return

    async def _watch(self) -> None:
        began_s, silent = time.monotonic(), True
        events = self._api.watch(self._path, self.for_s, resourceVersion=self._version)
        async with aclosing(events):
            async for event in events:
                await self._receive(event)
                silent = False
        if silent and time.monotonic() - began_s < min(SHORT_S, self.for_s):
            raise ApiError(Fault.UNREACHABLE, f"WATCH {self._path}: ended at once")
        self._alive()

    async def _receive(self, event: Json) -> None:
        raw: Json = event["object"]
        if event["type"] == "DELETED":
            self.objects.pop(raw["metadata"]["name"], None)
            self._changes += 1
        elif event["type"] != "BOOKMARK" and (kept := await self._made(raw)):
            self.put(kept)
        self._version = raw["metadata"]["resourceVersion"]
        self._alive()

    async def _made(self, raw: Json) -> K | None:
        """What is kept of an object; one that cannot be read is as if it were not there."""
        try:
            return await self.kind.keep(self._api, raw)
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            log.warning("%s: %s cannot be read: %r", self._path, raw.get("metadata"), error)
            return None

    def _alive(self) -> None:
        self.seen_s, self.fault = self._clock(), None
