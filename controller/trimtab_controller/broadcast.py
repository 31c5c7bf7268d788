"""Tells any number of watchers of every tick, without a thread for each.

The loop only rings a bell. What is watched is put into messages once for all who watch the same,
beside the event loop; whoever reads slowly misses ticks, and holds nobody up.
"""

from __future__ import annotations

import asyncio
from asyncio import Event, Task
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import contextmanager

from trimtab_controller import messages
from trimtab_controller.board import Board
from trimtab_proto.v1 import controller_pb2 as pb

Tick = tuple[int, Sequence[pb.ServiceStatus]]


class Broadcast:
    """The board's ticks for coroutines of one event loop; ``watching`` is how many there are."""

    def __init__(self, board: Board) -> None:
        self.watching = 0
        self._board = board
        # Rings at the next tick; there is a new one for every tick.
        self._bell = Event()
        # The messages of the latest tick, by what is watched.
        self._made: dict[str, Task[Tick]] = {}

    async def statuses(self, service: str) -> AsyncGenerator[Sequence[pb.ServiceStatus], None]:
        """A service's status, or everybody's for an empty name: now, and after every tick."""
        with self._listening():
            bell = self._bell
            # What was commanded since the tick shows as well, so these are not shared.
            seen, statuses = await asyncio.to_thread(self._latest, service)
            yield statuses
            while True:
                await bell.wait()
                bell = self._bell
                number, statuses = await self._shared(service)
                if number != seen:
                    seen = number
                    yield statuses

    @contextmanager
    def _listening(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        self._board.bell = lambda: loop.call_soon_threadsafe(self._ring)
        self.watching += 1
        try:
            yield
        finally:
            self.watching -= 1

    def _ring(self) -> None:
        rung, self._bell, self._made = self._bell, Event(), {}
        rung.set()

    async def _shared(self, service: str) -> Tick:
        if service not in self._made:
            made = asyncio.to_thread(self._latest, service)
            self._made[service] = asyncio.create_task(made)
        # Who leaves must not take the others' messages along.
        return await asyncio.shield(self._made[service])

    def _latest(self, service: str) -> Tick:
        number, statuses = self._board.latest(service)
        return number, [messages.status(status) for status in statuses]
