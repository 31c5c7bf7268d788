"""The page: its parts, and the one loop that keeps them as the daemon says."""

from __future__ import annotations

import asyncio
import logging

from nicegui import Client, background_tasks, ui

from trimtab_controller.console.approvals import Queue
from trimtab_controller.console.card import Card
from trimtab_controller.console.decisions import Decisions
from trimtab_controller.console.desk import Desk
from trimtab_controller.console.head import Head
from trimtab_controller.console.ladder import Ladder
from trimtab_controller.console.overview import Line
from trimtab_controller.console.parts import Tag

log = logging.getLogger(__name__)

# Countdowns move without a tick; many ticks at once are drawn once.
BEAT_S, REST_S = 1.0, 0.1


class Page:
    """Everything that one person sees at one browser."""

    def __init__(self, desk: Desk, client: Client) -> None:
        self._desk = desk
        self._client = client
        self._cards: dict[str, Card] = {}
        self._lines: dict[str, Line] = {}
        self._task: asyncio.Task[None] | None = None
        self._head = Head(desk)
        with Tag("div", "body"):
            self._overview = Tag("nav", "overview", aria_label="All services")
            self._queue = Queue(desk)
            self._services = Tag("section", aria_label="Services")
            Ladder(desk)
            self._decisions = Decisions(desk)
        Tag("footer", "quiet", "Press S twice to stop all writes.")
        ui.keyboard(self._head.on_key, repeating=False, ignore=["input", "select", "textarea"])
        self.draw()
        client.on_connect(self._begin)
        client.on_delete(self._end)

    def draw(self) -> None:
        """Show what is known now."""
        now_s = self._desk.clock()
        self._head.draw(now_s)
        self._queue.draw(now_s)
        for name in sorted(self._desk.feed.services.keys() - self._cards.keys()):
            with self._overview:
                self._lines[name] = Line(self._desk, name)
            with self._services:
                self._cards[name] = Card(self._desk, name)
        self._services.dress("old" if self._desk.feed.away_since_s is not None else "")
        for line in self._lines.values():
            line.draw()
        for card in self._cards.values():
            card.draw(now_s)
        self._decisions.draw()

    def _begin(self) -> None:
        if self._task is None:
            self._task = background_tasks.create(self._live(), name="page")

    def _end(self) -> None:
        if self._task:
            self._task.cancel()

    async def _live(self) -> None:
        try:
            while self._desk.open:
                with self._client:
                    self.draw()
                await asyncio.sleep(REST_S)
                await self._desk.feed.changed(BEAT_S)
        except Exception:  # a page that stands still would be taken for the present
            log.exception("a page could not be drawn: it begins anew")
            await asyncio.sleep(BEAT_S)
            self._client.open("/")
        else:
            self._desk.leave()
            self._client.open("/login")
