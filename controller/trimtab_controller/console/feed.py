"""What is known of the daemon right now, from one stream for all pages of one credential.

Nothing is asked on a timer: a tick arrives, and what hangs on ticks is then asked for, at most once
a second. While the daemon is away, what was last seen stays, with since when it is old.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence, Set
from contextlib import suppress
from dataclasses import dataclass, field

import grpc

from trimtab_controller.console.history import History, sample
from trimtab_controller.console.voice import Voice
from trimtab_controller.drills.course import RUNNING
from trimtab_controller.protocols import Clock
from trimtab_controller.up.notes import Notes
from trimtab_proto.v1 import controller_pb2 as pb

log = logging.getLogger(__name__)

RETRY_S = 0.5
ASK_S = 1.0
# Longer than this without a tick, beyond three of them, and the daemon counts as away.
SILENT_S = 4.0
DENIALS = (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED)


@dataclass(slots=True)
class Seen:
    """One service: its last status, the ten minutes before it, and what was decided."""

    status: pb.ServiceStatus
    history: History = field(default_factory=History)
    notes: Notes = field(default_factory=Notes)
    limits: pb.ServiceLimits | None = None
    trial: pb.Canary | None = None
    round: pb.Round | None = None
    drill: pb.Drill | None = None

    def take(self, status: pb.ServiceStatus) -> None:
        """Take in a tick."""
        self.status = status
        self.history.add(status.time_s, sample(status))
        self.notes.see(status)


class Feed:
    """Follows the daemon for one `Voice` until it is closed; pages wait for `changed`.

    ``denied`` is why the daemon does not know this person any more; nothing is shown then.
    """

    def __init__(self, voice: Voice, clock: Clock) -> None:
        self.services: dict[str, Seen] = {}
        self.pending: Sequence[pb.Envelope] = ()
        self.granted: Sequence[pb.Envelope] = ()
        self.shared: Sequence[pb.LimitUse] = ()
        self.denied = ""
        self._voice = voice
        self._clock = clock
        self._bell = asyncio.Event()
        self._heard_s = clock()
        self._asked_s = self._tick_s = 0.0
        self._lost = True
        self._task = asyncio.create_task(self._follow(), name="feed")

    @property
    def away_since_s(self) -> float | None:
        """When the daemon was last heard of, while it is away."""
        silent = self._clock() > self._heard_s + SILENT_S + 3.0 * self._tick_s
        return self._heard_s if self._lost or silent else None

    @property
    def stopped(self) -> bool:
        """Whether nothing may be written."""
        return any(seen.status.stopped for seen in self.services.values())

    def service_of(self, envelope: str) -> str:
        """The service of an envelope that is shown."""
        shown = (*self.pending, *self.granted)
        return next((each.service for each in shown if each.id == envelope), "")

    async def changed(self, patience_s: float) -> None:
        """Return at the next change, or when patience ends."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._bell.wait(), patience_s)

    async def refresh(self) -> None:
        """Ask for all that is not in a tick; what is not answered stays."""
        self._asked_s = self._clock()
        try:
            waiting, limits, trials, rounds, drills = await asyncio.gather(
                self._voice.pending(),
                self._voice.limits(),
                self._voice.canaries(),
                self._voice.rounds(),
                self._voice.drills(),
            )
        except grpc.aio.AioRpcError as error:
            log.warning("what waits, is used or on trial is not known anew: %s", error.details())
            return
        self.pending, self.granted, self.shared = waiting.pending, waiting.granted, limits.shared
        for each in limits.services:
            if each.service in self.services:
                self.services[each.service].limits = each
        on_trial = {each.service: each for each in trials.canaries}
        running = {each.service: each for each in rounds.rounds if not each.over}
        broken = {each.service: each for each in drills.drills if each.phase in RUNNING}
        for name, seen in self.services.items():
            seen.trial, seen.round = on_trial.get(name), running.get(name)
            seen.drill = broken.get(name)
        self._ring()

    def close(self) -> None:
        """Follow no longer."""
        self._task.cancel()

    async def _follow(self) -> None:
        while not self.denied:
            try:
                async for status in self._voice.ticks():
                    await self._take(status)
            except grpc.aio.AioRpcError as error:
                if error.code() in DENIALS:
                    self.denied = error.details() or str(error.code())
            except Exception:  # whatever is wrong with one tick, the next one must be shown
                log.exception("a tick could not be taken in")
            self._lost = True
            self._ring()
            await asyncio.sleep(RETRY_S)

    async def _take(self, status: pb.ServiceStatus) -> None:
        known = self.services.get(status.service)
        seen = known or self.services.setdefault(status.service, Seen(status))
        if known:
            self._tick_s = max(0.0, min(60.0, status.time_s - known.status.time_s))
        seen.take(status)
        self._heard_s, self._lost = self._clock(), False
        if self._heard_s >= self._asked_s + ASK_S:
            await self.refresh()
        self._ring()

    def _ring(self) -> None:
        rung, self._bell = self._bell, asyncio.Event()
        rung.set()


class Feeds:
    """One feed for each credential, however many pages show it."""

    def __init__(self, channel: grpc.aio.Channel, clock: Clock) -> None:
        self._channel = channel
        self._clock = clock
        self._feeds: dict[str, Feed] = {}

    def voice(self, token: str) -> Voice:
        """Whoever has ``token``, speaking."""
        return Voice(self._channel, token)

    def of(self, token: str) -> Feed:
        """The feed of whoever has ``token``."""
        feed = self._feeds.get(token)
        if feed is None or feed.denied:
            feed = self._feeds[token] = Feed(self.voice(token), self._clock)
        return feed

    def keep(self, tokens: Set[str]) -> None:
        """Close the feeds of all other tokens."""
        for token in self._feeds.keys() - tokens:
            self._feeds.pop(token).close()
