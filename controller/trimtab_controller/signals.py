"""Signals as numbers in a pipe.

A handler runs in the middle of whatever the main thread is doing, and so it must not take any
lock, not even an event's. Python itself writes the number into the pipe; the main thread reads
it when it has time to.
"""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Iterable
from types import TracebackType
from typing import Self


class Inbox:
    """Takes ``numbers`` until it is closed; only the main thread may make one."""

    def __init__(self, numbers: Iterable[int]) -> None:
        self._read_end, self._write_end = os.pipe()
        for end in (self._read_end, self._write_end):
            os.set_blocking(end, False)
        self._old_fd = signal.set_wakeup_fd(self._write_end, warn_on_full_buffer=False)
        self._old_handlers = {number: signal.signal(number, _nothing) for number in numbers}

    def next(self, until_s: float) -> int | None:
        """The next signal, or ``None`` when none came until ``until_s`` of the monotonic clock."""
        wait_s = max(0.0, until_s - time.monotonic())
        if not select.select([self._read_end], [], [], wait_s)[0]:
            return None
        return os.read(self._read_end, 1)[0]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._old_handlers.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._old_fd)
        os.close(self._read_end)
        os.close(self._write_end)


def _nothing(*_: object) -> None:
    """A handler, so that the number is written to the pipe."""
