"""What trimtab may do now: the mode of each service, and the stop.

The configuration is the ceiling, the journal remembers the present, and the lower wins.
Nothing here ever rises by itself: only a human's `set_mode` does that.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trimtab_controller.journal import Journal
from trimtab_guard.modes import Mode

# Who acts when no human does; a mode set under this name is a demotion.
OURSELVES = "trimtab"


class Refusal(Exception):  # noqa: N818  # not an error of the program but its answer
    """A command that cannot be followed as things are; the message says what to do first."""


class UnknownError(LookupError):
    """A service or an envelope that does not exist."""


def lower(one: Mode, other: Mode) -> Mode:
    """The one that trusts less."""
    return min(one, other, key=list(Mode).index)


class Mandate:
    """Modes and stop, rebuilt from the journal. Callers hold the board's lock, but for `halt`."""

    def __init__(
        self,
        journal: Journal,
        ceilings: Mapping[str, Mode],
        start: Mode,
        stop_file: Path,
    ) -> None:
        """``start`` is the mode of services that the journal does not know yet."""
        self._journal = journal
        self._ceilings = ceilings
        self._stop_file = stop_file
        self._modes = dict.fromkeys(ceilings, start)
        self._alarms: dict[str, str] = {}
        self._stop = False
        # Who halted and why; set by one assignment, which is all that a signal handler may do.
        self._halted: tuple[str, str] | None = None
        for entry in journal.entries(kinds=("mode", "stop", "resume")):
            self._follow(entry.kind, entry.body)

    def mode(self, service: str) -> Mode:
        """The present mode of a service, also while stopped."""
        return lower(self._ceilings[service], self._modes[service])

    def alarm(self, service: str) -> str:
        """Why trimtab itself took the service down to shadow; empty once a human has answered."""
        return self._alarms.get(service, "")

    @property
    def stopped(self) -> bool:
        """Whether nothing may be written: looked at before every single write."""
        return self._stop or self._halted is not None or self._stop_file.exists()

    def set_mode(self, service: str, mode: Mode, who: str, now_s: float) -> None:
        """A human's choice; raises `Refusal` above the ceiling or while stopped."""
        if self.stopped:
            raise Refusal("trimtab is stopped: `trimtab resume` first")
        if lower(mode, self._ceilings[service]) is not mode:
            raise Refusal(
                f"{service}: {mode} is above the ceiling in the configuration, "
                f"{self._ceilings[service]}: choose a lower mode, or raise mode.ceiling and restart"
            )
        self._record("mode", {"service": service, "mode": mode, "who": who, "why": ""}, now_s)

    def demote(self, service: str, why: str, now_s: float) -> None:
        """Take a service down to shadow, loudly."""
        body = {"service": service, "mode": Mode.SHADOW, "who": OURSELVES, "why": why}
        self._record("mode", body, now_s)

    def halt(self, who: str = "signal", why: str = "") -> None:
        """Stop writing at once: safe in a signal handler and without the lock."""
        self._halted = (who, why)

    def stop(self, who: str, why: str, now_s: float) -> None:
        """Stop all writes, and remember it; again while stopped adds nothing."""
        self.halt(who, why)
        if not self._stop:
            self._record("stop", {"who": who, "why": why}, now_s)

    def keep(self, now_s: float) -> None:
        """Make a halt or a stop file durable, so that it outlives both."""
        if self._stop_file.exists():
            self.stop("stop file", "", now_s)
        elif self._halted:
            self.stop(*self._halted, now_s)

    def resume(self, who: str, now_s: float) -> None:
        """Undo the stop; every service comes back in shadow."""
        if self._stop_file.exists():
            raise Refusal(f"the stop file is there: remove {self._stop_file} first")
        if self.stopped:
            # In this order: a halt that comes meanwhile must hold.
            self._halted = None
            self._record("resume", {"who": who}, now_s)

    def _record(self, kind: str, body: dict[str, Any], now_s: float) -> None:
        self._journal.append(kind, body, now_s)
        self._follow(kind, body)

    def _follow(self, kind: str, body: Mapping[str, Any]) -> None:
        """One journalled command: the only place where the present changes."""
        if kind == "mode":
            self._modes[body["service"]] = Mode(body["mode"])
            self._alarms[body["service"]] = body["why"] if body["who"] == OURSELVES else ""
        elif kind == "resume":
            self._modes = dict.fromkeys(self._modes, Mode.SHADOW)
        self._stop = kind == "stop" or (self._stop and kind != "resume")
