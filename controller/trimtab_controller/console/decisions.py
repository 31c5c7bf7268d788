"""What was decided lately, newest first: one line each, with its reason."""

from __future__ import annotations

from trimtab_controller.console.desk import Desk
from trimtab_controller.console.parts import Tag
from trimtab_controller.up.notes import Note
from trimtab_controller.up.words import clock_time

SHOWN = 15
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
                _line(name, note)


def _line(name: str, note: Note) -> None:
    with Tag("li"):
        with Tag("div", "line"):
            Tag("time", "quiet", clock_time(note.time_s))
            Tag("span", f"outcome {note.outcome}", f"{SIGNS.get(note.outcome, '')} {note.outcome}")
            Tag("strong", "", f"{name}: {note.change}")
            if note.times > 1:
                Tag("span", "quiet", f"{note.times} ticks in a row")
        if note.why:
            Tag("p", "quiet", note.why)
        if note.guard:
            Tag("p", "guard", f"The guard: {note.guard}")
