"""One child process: it never outlives its parent, and its last words are at hand."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

from trimtab_stage.process import tethered

# The last words are looked for in this much of a log's end.
TAIL_BYTES = 4096


class Child:
    """A command that can be started again; what it prints is appended to ``log``.

    Start it from the main thread: the kernel ends it with the thread that started it.
    """

    def __init__(self, name: str, command: Sequence[str], log: Path) -> None:
        self.name = name
        self.log = log
        self._command = tethered(*command)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the process, in a group of its own so that the terminal's Ctrl-C passes it by."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                process_group=0,
            )

    @property
    def pid(self) -> int | None:
        """Process id of the last start."""
        return self._process.pid if self._process else None

    @property
    def ended(self) -> int | None:
        """Exit status, negative for a signal; ``None`` while it runs or was never started."""
        return self._process.poll() if self._process else None

    def end(self, patience_s: float) -> None:
        """Ask it to end, wait, and kill it when it is still there after ``patience_s``."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(patience_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def fate(self) -> str:
        """How it ended, in a few words."""
        status = self.ended
        if status is None:
            return f"the {self.name} does not answer"
        if status < 0:
            return f"the {self.name} was ended by {signal.Signals(-status).name}"
        return f"the {self.name} ended with exit code {status}"

    def last_words(self) -> str:
        """The last line that it wrote, unless it was killed: then that is only an old one."""
        killed = self.ended is not None and self.ended < 0
        return "" if killed else self._last_line().removeprefix("Error: ")

    def obituary(self) -> str:
        """Its fate, its last words and where to read all of them, as one line."""
        said = self.last_words()
        return f"{self.fate()}{': ' if said else ''}{said} (all of it: {self.log})"

    def _last_line(self) -> str:
        with self.log.open("rb") as log:
            log.seek(max(0, self.log.stat().st_size - TAIL_BYTES))
            lines = log.read().decode(errors="replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "")
