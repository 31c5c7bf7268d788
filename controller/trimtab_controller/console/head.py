"""The top of the page, which never scrolls away: what is so now, and Stop."""

from __future__ import annotations

from nicegui.events import KeyEventArguments

from trimtab_controller.console.desk import Desk
from trimtab_controller.console.glance import glance
from trimtab_controller.console.parts import Deliberate, Tag
from trimtab_proto.v1 import controller_pb2 as pb

SIGNS = {"good": "✓", "warn": "!", "bad": "✕"}
STOP_KEY, CANCEL_KEY = "s", "Escape"
STOPPED = "Stopped: nothing is written any more."
RESUMED = "Resumed: every service is in shadow until somebody sets its mode."


class Head:
    """The glance, the person, and the buttons that concern everything."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        with Tag("header", "head"):
            self._person()
            with Tag("div", "glance", role="status") as self._glance:
                self._sign = Tag("span", "sign", aria_hidden="true")
                with Tag("div"):
                    self._headline = Tag("strong")
                    self._detail = Tag("span", "detail")
            with Tag("div", "commands"):
                self._commands()
        self._told = Tag("p", "told", role="status")
        self._config = Tag("p", "told failed", role="status")

    async def on_key(self, event: KeyEventArguments) -> None:
        """Take `s` twice for Stop, and Escape for no."""
        if not event.action.keydown or event.modifiers.ctrl or event.modifiers.meta:
            return
        if event.key.name == CANCEL_KEY:
            await self._stop.disarm()
        elif str(event.key.name).lower() == STOP_KEY and self._can_stop:
            await self._stop.press()

    def draw(self, now_s: float) -> None:
        """Show what is so now."""
        now = glance(self._desk.feed, now_s)
        self._glance.dress(f"glance {now.kind}")
        self._sign.say(SIGNS[now.kind])
        self._headline.say(now.headline)
        self._detail.say(now.detail)
        self._draw_commands()
        told = self._desk.told
        self._told.say(told)
        self._told.show(told)
        self._told.dress("told failed" if self._desk.failed else "told")
        wrong = next((s.status.config_error for s in self._desk.feed.services.values()), "")
        self._config.say(f"trimtab.yaml is not followed, the last good limits hold: {wrong}")
        self._config.show(wrong)

    def _draw_commands(self) -> None:
        stopped = self._desk.feed.stopped
        for each, shown in (
            (self._stop, self._can_stop and not stopped),
            (self._abort, self._can_abort and not stopped),
            (self._resume, self._can_resume and stopped),
        ):
            each.draw()
            each.place.show(shown)
        self._stopped.show(stopped)

    def _person(self) -> None:
        caller = self._desk.session.caller
        with Tag("div", "person"):
            Tag("span", "brand", "trimtab")
            if caller.name:
                services = f" of {', '.join(caller.services)}" if caller.services else ""
                Tag("span", "quiet", f"{caller.name}, {caller.role}{services}")
                with Tag("form", method="post", action="/logout"):
                    Tag("button", "plain", "Sign out")

    def _commands(self) -> None:
        desk = self._desk
        self._can_stop = desk.may("Stop", pb.StopRequest())
        self._can_abort = desk.may("Abort", pb.AbortRequest())
        self._can_resume = desk.may("Resume", pb.ResumeRequest())

        async def stop() -> None:
            await desk.act(lambda voice: voice.stop(), lambda _: STOPPED)

        async def abort() -> None:
            await desk.act(lambda voice: voice.abort(), aborted)

        async def resume() -> None:
            await desk.act(lambda voice: voice.resume(), lambda _: RESUMED)

        self._abort = Deliberate(
            "Undo and stop", "Press again: undo the last minute, then stop", abort, desk.clock
        )
        self._resume = Deliberate(
            "Resume", "Press again: writes may happen again", resume, desk.clock
        )
        self._stop = Deliberate("Stop", "Press again to stop all writes", stop, desk.clock, "stop")
        # It stays in Stop's place: who presses once too often must not resume.
        self._stopped = Tag("strong", "stopped", "Stopped")
        self._stop.first.put(
            title="Stops all writes. Keyboard: S, then S again", aria_keyshortcuts="s"
        )


def aborted(reply: pb.AbortReply) -> str:
    """What came of undoing."""
    if not reply.stopped:
        return "Not done yet: the loop hangs. Stop stops it at once."
    if reply.not_undone:
        return f"Stopped, but not everything is undone: {reply.not_undone}"
    return "The last minute is undone, and nothing is written any more."
