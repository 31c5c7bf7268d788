"""Where a run is shown: a live picture on a terminal, plain lines anywhere else."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.live import Live

from trimtab_controller.up.record import Record
from trimtab_controller.up.view import Place, draw
from trimtab_controller.up.words import clock_time, duration, mode_name, percent, rate

LINE_EVERY_S = 5.0


class Screen(Protocol):
    """Shows a record again and again."""

    def show(self, record: Record) -> None:
        """Show what is now."""


class Picture:
    """The whole terminal, drawn anew at its present size."""

    def __init__(self, console: Console, live: Live, place: Place) -> None:
        self._console = console
        self._live = live
        self._place = place

    def show(self, record: Record) -> None:
        """Draw."""
        size = self._console.size
        self._live.update(draw(record, self._place, size.width, size.height), refresh=True)


class Lines:
    """A line every few seconds, and what happens to the daemon at once."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._told_s = self._due_s = 0.0

    def show(self, record: Record) -> None:
        """Print what is new."""
        for note in record.notes:
            if not note.outcome and note.time_s > self._told_s:
                self._told_s = note.time_s
                said = f": {note.why}" if note.why else ""
                self._print(f"{clock_time(note.time_s)}  {note.change}{said}")
        if record.stage and record.first and record.stage.time_s >= self._due_s:
            self._due_s = record.stage.time_s + LINE_EVERY_S
            self._print(line(record))

    def _print(self, text: str) -> None:
        self._console.print(text, soft_wrap=True, markup=False, highlight=False)


@contextmanager
def picture(console: Console, place: Place) -> Iterator[Screen]:
    """Take the terminal, and give it back as it was."""
    with Live(console=console, screen=True, auto_refresh=False) as live:
        yield Picture(console, live, place)


def line(record: Record) -> str:
    """The record in one line; empty before the stage was seen."""
    stage, summary, daemon = record.stage, record.summary(), record.daemon
    if stage is None or summary is None:
        return ""
    backends = ", ".join(
        f"{b.name} {b.ready} ready of {b.wanted} at {b.weight * 100:.0f} %" for b in stage.backends
    )
    mode = "no daemon"
    if daemon is not None and not record.away:
        mode = "stopped" if daemon.stopped else mode_name(daemon.mode)
    decided = [note for note in record.notes if note.outcome][-1:]
    last = "".join(f" | {note.outcome}: {note.change}" for note in decided)
    return (
        f"{clock_time(stage.time_s)}  {duration(summary.seconds)}  {rate(stage.load.offered_rps)}"
        f" | {backends} | misses {percent(record.miss_share_now)} now,"
        f" {percent(summary.miss_share)} so far | fleet {summary.fleet:.2f} | {mode}{last}"
    )
