"""What a page and its parts share: who looks, what is known, and how something is done about it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

import grpc

from trimtab_controller.console.feed import Feed, Feeds
from trimtab_controller.console.sessions import Session, Sessions
from trimtab_controller.console.voice import ChangedError, Voice
from trimtab_controller.protocols import Clock

# How long what came of an action stays on the page.
TOLD_S = 20.0

Reply = TypeVar("Reply")


class Desk:
    """One person at one page. ``told`` is what came of their last action, ``failed`` if it did."""

    def __init__(self, sessions: Sessions, feeds: Feeds, session: Session, clock: Clock) -> None:
        self.feed: Feed = feeds.of(session.token)
        self.session = session
        self.clock = clock
        self.failed = False
        self._told = ""
        self._told_s = 0.0
        self._sessions = sessions
        self._voice = feeds.voice(session.token)

    @property
    def open(self) -> bool:
        """Whether this person is still signed in."""
        return not self.feed.denied and self._sessions.find(self.session.id) is not None

    @property
    def told(self) -> str:
        """What came of the last action, for a while."""
        return self._told if self.clock() < self._told_s + TOLD_S else ""

    def leave(self) -> None:
        """Sign this person out: the daemon does not know them any more, or it is time."""
        self._sessions.end(self.session.id)

    def may(self, method: str, request: object) -> bool:
        """Whether a button is worth showing."""
        return self.session.may(method, request, self.feed.service_of)

    async def act(
        self, call: Callable[[Voice], Awaitable[Reply]], done: Callable[[Reply], str]
    ) -> None:
        """Call the daemon as this person, and tell them what came of it."""
        if not self.open:
            return
        try:
            self._tell(done(await call(self._voice)))
            await self.feed.refresh()
        except ChangedError as error:
            self._tell(f"Not done: {error}", failed=True)
        except grpc.aio.AioRpcError as error:
            self._tell(f"Not done: {explained(error)}", failed=True)
            if error.code() is grpc.StatusCode.UNAUTHENTICATED:
                self.leave()

    async def ask(self, call: Callable[[Voice], Awaitable[Reply]]) -> Reply | None:
        """Ask the daemon as this person; ``None`` when it did not answer, and they are told."""
        if not self.open:
            return None
        try:
            return await call(self._voice)
        except grpc.aio.AioRpcError as error:
            self._tell(f"No answer: {explained(error)}", failed=True)
            return None

    def _tell(self, text: str, *, failed: bool = False) -> None:
        self._told, self._told_s, self.failed = text, self.clock(), failed


def explained(error: grpc.aio.AioRpcError) -> str:
    """What went wrong, for somebody who sees a page and not a log."""
    if error.code() is grpc.StatusCode.UNAVAILABLE:
        return "the daemon does not answer; the stop file beside its journal stops it without it"
    if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
        return "the daemon did not answer in time; look again whether it was done"
    return error.details() or error.code().name
