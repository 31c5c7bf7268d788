"""Where to start, and what the evidence must still show: asked for, because it takes a while.

The daemon replays whole days to say it; so nothing here asks by itself.
"""

from __future__ import annotations

import asyncio

from trimtab_controller.console.desk import Desk
from trimtab_controller.console.parts import Button, Tag
from trimtab_controller.up.words import mode_name
from trimtab_proto.v1 import controller_pb2 as pb

# Scorecards are worked out one after the other, each in seconds to a minute.
AGAIN_S, PATIENCE = 3.0, 40


class Ladder:
    """All services, the one to entrust first on top, each with its gates."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._asking = False
        with Tag("section", "evidence", aria_label="Evidence"):
            with Tag("div", "line"):
                Tag("h2", "", "Evidence")
                Button("Where to start, and what is missing", self._ask)
            self._list = Tag("div")

    async def _ask(self) -> None:
        if self._asking:
            return
        self._asking = True
        for _ in range(PATIENCE):
            reply = await self._desk.ask(lambda voice: voice.ladder())
            if reply is None or self._list.is_deleted or not self._show(reply):
                break
            await asyncio.sleep(AGAIN_S)
        self._asking = False

    def _show(self, reply: pb.Ladder) -> bool:
        """Show what is known; returns whether there is more to come."""
        self._list.clear()
        with self._list:
            for rung in reply.rungs:
                _rung(rung)
        return any(rung.computing for rung in reply.rungs)


def _rung(rung: pb.Rung) -> None:
    with Tag("article", "card"):
        with Tag("div", "line"):
            Tag("h3", "", rung.service)
            Tag("span", f"mode {mode_name(rung.mode)}", mode_name(rung.mode))
            Tag("span", "quiet", "being worked out …" if rung.computing else rung.reason)
        if rung.recommendation:
            Tag("strong", "", f"Recommended to you: {rung.recommendation}")
        with Tag("ul", "gates"):
            for gate in rung.gates:
                _gate(gate)


def _gate(gate: pb.Gate) -> None:
    with Tag("li", "open" if gate.met else "shut"):
        Tag("strong", "", f"{'✓' if gate.met else '✕'} {gate.name}: {gate.present}")
        Tag("span", "quiet", f"wanted: {gate.wanted}")
        if gate.missing:
            Tag("span", "", gate.missing)
