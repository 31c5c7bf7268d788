"""What was decided lately, newest first: one line each, with its reason."""

from __future__ import annotations

from functools import partial

from trimtab_controller.console.desk import Desk
from trimtab_controller.console.inquiry import Answer, why
from trimtab_controller.console.parts import Button, Tag
from trimtab_controller.up.notes import Note
from trimtab_controller.up.words import clock_time

SHOWN = 8
# A sign beside the word, so that neither needs its colour.
SIGNS = {
    "applied": "✓", "asked": "?", "shadow": "○", "held": "‖", "stopped": "■", "failed": "✕",
    "unchanged": "=",
}  # fmt: skip


class Decisions:
    """The latest decisions about all services."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._shown: list[tuple[str, Note]] = []
        with Tag("section", "decisions", aria_label="Recent decisions"):
            Tag("h2", "", "Recent decisions")
            self._answer = Answer("why it was decided")
            self._list = Tag("ol")

    def draw(self) -> None:
        """Show what has been decided since."""
        notes = [
            (name, note) for name, seen in self._desk.feed.services.items() for note in seen.notes
        ]
        notes = sorted(notes, key=lambda each: each[1].time_s, reverse=True)[:SHOWN]
        if notes == self._shown:
            return
        self._shown = notes
        self._list.clear()
        with self._list:
            for name, note in notes:
                self._line(name, note)

    def _line(self, name: str, note: Note) -> None:
        ask = partial(why, self._desk, self._answer, name, note.time_s)
        sign = SIGNS.get(note.outcome, "")
        with Tag("li"):
            with Tag("div", "line"):
                Tag("time", "quiet", clock_time(note.time_s))
                Tag("span", f"outcome {note.outcome}", f"{sign} {note.outcome}")
                Tag("strong", "", f"{name}: {note.change}")
                if note.times > 1:
                    Tag("span", "quiet", f"{note.times} ticks in a row")
                Button("Why?", ask, "plain", aria_label=f"Why {note.change}?")
            if note.why:
                Tag("p", "quiet", note.why)
            if note.guard:
                Tag("p", "guard", f"The guard: {note.guard}")
