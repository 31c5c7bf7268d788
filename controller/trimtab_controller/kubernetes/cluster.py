"""A cluster as this process sees it: one thread with all watches and calls, and what they keep.

The loop's thread reads what is kept and never waits for the API, except while it writes.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Coroutine
from concurrent.futures import Future
from contextlib import suppress
from types import TracebackType
from typing import Any, Self, TypeVar

from trimtab_controller.kubernetes.api import Api
from trimtab_controller.kubernetes.faults import ApiError, Fault
from trimtab_controller.kubernetes.kinds import Scaled
from trimtab_controller.kubernetes.objects import Kept, Workload
from trimtab_controller.kubernetes.spec import TargetSpec
from trimtab_controller.kubernetes.watch import Kind, Watch
from trimtab_controller.protocols import Clock

T = TypeVar("T")
K = TypeVar("K", bound=Kept)

CONNECT_S = 20.0
CLOSE_S = 3.0
# What is not vital is looked at this much more seldom: it changes with people, not with load.
SELDOM = 10
SYNCED_EVERY_S = 0.05


class Cluster:
    """The API server of a kubeconfig ``context``, or the one of the cluster that this runs in.

    ``watch_s`` is how long a watch may say nothing before its silence is doubted. Raises
    `ConfigError` when no server is configured; one that does not answer is waited for.
    """

    def __init__(self, context: str, clock: Clock, watch_s: int) -> None:
        self.api = Api(context)
        self.clock = clock
        self._watch_s = watch_s
        self._watches: dict[tuple[object, str], Watch[Any]] = {}
        self._scaled: dict[tuple[str, str], Scaled] = {}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="kubernetes", daemon=True
        )
        self._thread.start()
        try:
            self._submit(self.api.connect()).result(CONNECT_S)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.close()

    def call(self, coroutine: Coroutine[Any, Any, T], deadline_s: float) -> T:
        """Run ``coroutine`` in the cluster's thread; past the deadline it is an `ApiError`."""
        running = self._submit(coroutine)
        try:
            return running.result(deadline_s)
        except TimeoutError:
            running.cancel()
            message = f"not done within {deadline_s:g} s"
            raise ApiError(Fault.TIMEOUT, message, certain=False) from None

    def spare(self, coroutine: Coroutine[Any, Any, object]) -> None:
        """Run what nobody waits for, such as an event; its errors are its own business."""
        self._submit(coroutine)

    def watch(self, kind: Kind[K], namespace: str) -> Watch[K]:
        """The watch of a kind in a namespace, the same one for everybody; `start` begins it."""
        key = kind, namespace
        if key not in self._watches:
            for_s = self._watch_s if kind.vital else SELDOM * self._watch_s
            self._watches[key] = Watch(self.api, kind, namespace, self.clock, for_s)
        return self._watches[key]

    def target(self, target: TargetSpec, namespace: str) -> Watch[Workload]:
        """The watch that keeps a target among others of its kind."""
        of_kind = target.api_version, target.kind
        kind = self._scaled.setdefault(of_kind, Scaled(*of_kind))
        kind.names.add(target.name)
        return self.watch(kind, namespace)

    def start(self, deadline_s: float) -> bool:
        """Begin all watches, and wait until everything was seen once; whether it was, in time."""
        for watch in self._watches.values():
            self._submit(watch.run())
        until_s = time.monotonic() + deadline_s
        while not (seen := all(watch.seen_s > 0.0 for watch in self._watches.values())):
            if time.monotonic() > until_s:
                break
            time.sleep(SYNCED_EVERY_S)
        return seen

    def close(self) -> None:
        """End all watches and connections."""
        with suppress(TimeoutError):
            self._submit(self._end()).result(CLOSE_S)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(CLOSE_S)
        if not self._thread.is_alive():
            self._loop.close()

    async def _end(self) -> None:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await self.api.close()

    def _submit(self, coroutine: Coroutine[Any, Any, T]) -> Future[T]:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop)
