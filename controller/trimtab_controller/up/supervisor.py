"""Starts stage and daemon, keeps the daemon alive, ends all: one loop over what happens.

The stage is the cluster: when it ends, the run is over. The daemon is only its client: when it
dies, the stage carries on and the daemon is started again, to pick up from its journal.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from queue import Empty, SimpleQueue

from trimtab_controller.protocols import Clock
from trimtab_controller.up.attendant import Attendant, Backoff
from trimtab_controller.up.child import Child
from trimtab_controller.up.feeds import (
    Asked,
    DaemonSeen,
    Events,
    Feed,
    StageSeen,
    daemon_ticks,
    stage_status,
)
from trimtab_controller.up.folder import Folder
from trimtab_controller.up.record import Record
from trimtab_controller.up.screen import Screen

START_S = 30.0
SILENT_S = 5.0
SHOW_S = 0.5
END_S = 10.0
CARRIES_ON = "the stage carries on with its own rule"
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class UpError(Exception):
    """The demonstration cannot start or go on; the message says why and where to read more."""


class Supervisor:
    """One run of stage and daemon, told to ``record`` and shown on ``screen``.

    The ``console`` begins once both serve, so that nobody waits for it.
    """

    def __init__(
        self,
        stage: Child,
        daemon: Child,
        record: Record,
        screen: Screen,
        clock: Clock,
        console: Child | None = None,
    ) -> None:
        self._stage = stage
        self._daemon = daemon
        self._record = record
        self._screen = screen
        self._clock = clock
        self._events: Events = SimpleQueue()
        self._console = Attendant(console, clock) if console else None
        self._backoff = Backoff()
        self._daemon_started_s = self._heard_s = clock()
        self._restart_at_s: float | None = None

    def run(self, folder: Folder, seconds: float | None) -> bool:
        """Run until asked to end, or for ``seconds`` after both serve; raises `UpError`.

        Returns whether the time was up. Whatever happens, no child is left.
        """
        feeds = [
            Feed(f"unix:{folder.stage_socket}", stage_status, self._events),
            Feed(folder.address, daemon_ticks, self._events),
        ]
        with _signals(self._events):
            try:
                self._stage.start()
                self._start_daemon()
                for feed in feeds:
                    feed.start()
                return self._loop(seconds)
            finally:
                for feed in feeds:
                    feed.close()
                if self._console:
                    self._console.end(END_S)
                # The daemon first: it must not see its stage go.
                self._daemon.end(END_S)
                self._stage.end(END_S)

    def _loop(self, seconds: float | None) -> bool:
        started_s, serving_s = self._clock(), None
        while self._take():
            self._check_stage()
            self._keep_daemon()
            self._screen.show(self._record)
            now_s = self._clock()
            if serving_s is not None:
                self._keep_console(now_s)
            if serving_s is None and self._record.stage and self._record.daemon:
                serving_s = now_s
                self._record.begin()
            elif serving_s is None and now_s >= started_s + START_S:
                raise UpError(self._who_is_missing())
            elif serving_s is not None and seconds and now_s >= serving_s + seconds:
                return True
        return False

    def _take(self) -> bool:
        """Take in what happens for a moment; ``False`` once somebody asked to end."""
        end_s = self._clock() + SHOW_S
        while (left_s := end_s - self._clock()) > 0:
            try:
                event = self._events.get(timeout=left_s)
            except Empty:
                break
            if isinstance(event, Asked):
                return False
            self._tell(event)
        return True

    def _tell(self, event: StageSeen | DaemonSeen) -> None:
        if isinstance(event, StageSeen):
            self._record.see_stage(event.status)
        elif self._restart_at_s is None:
            self._heard_s = self._clock()
            self._record.see_daemon(event.status, event.pending)

    def _check_stage(self) -> None:
        if self._stage.ended is not None:
            raise UpError(self._stage.obituary())

    def _keep_daemon(self) -> None:
        now_s = self._clock()
        if self._restart_at_s is not None:
            if now_s >= self._restart_at_s:
                self._start_daemon()
                self._record.tell(now_s, f"the daemon is started again, pid {self._daemon.pid}")
        elif self._daemon.ended is not None:
            self._mourn_daemon(now_s)
        elif self._record.daemon and now_s >= self._heard_s + SILENT_S:
            silent_s = now_s - self._heard_s
            self._record.away = f"the daemon has been silent for {silent_s:.0f} s; {CARRIES_ON}"

    def _keep_console(self, now_s: float) -> None:
        if self._console and (happened := self._console.keep()):
            self._record.tell(now_s, happened, self._console.last_words())

    def _mourn_daemon(self, now_s: float) -> None:
        if self._record.daemon is None:
            raise UpError(self._daemon.obituary())
        wait_s = self._backoff.wait_s(now_s - self._daemon_started_s)
        self._restart_at_s = now_s + wait_s
        self._record.away = f"the daemon is down; {CARRIES_ON}"
        happened = f"{self._daemon.fate()}, its next start is in {wait_s:g} s"
        self._record.tell(now_s, happened, self._daemon.last_words())

    def _start_daemon(self) -> None:
        self._daemon.start()
        self._daemon_started_s = self._heard_s = self._clock()
        self._restart_at_s = None

    def _who_is_missing(self) -> str:
        child = self._daemon if self._record.stage else self._stage
        return f"after {START_S:g} s {child.obituary()}"


@contextmanager
def _signals(events: Events) -> Iterator[None]:
    """Turn signals into events: a handler may do no more, and `SimpleQueue.put` is safe there."""
    before = {
        number: signal.signal(number, lambda got, _: events.put(Asked(got))) for number in SIGNALS
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
