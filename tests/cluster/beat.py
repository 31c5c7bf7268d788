"""Something that a cluster does all the time, in a thread of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import TracebackType

from tests.cluster.client import Refused
from urllib3.exceptions import HTTPError

STEP_S = 0.05
PATIENCE_S = 30.0


class Beat:
    """Calls ``step`` again and again inside a ``with``. What the API refuses is tried anew."""

    def __init__(self, name: str, step: Callable[[], None]) -> None:
        self._step = step
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended.set()
        self._thread.join(PATIENCE_S)

    def _run(self) -> None:
        while not self._ended.wait(STEP_S):
            try:
                self._step()
            except (Refused, HTTPError):  # somebody was faster, or the fake is told to fail
                continue
