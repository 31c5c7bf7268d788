"""What trimtab may do now: the mode of each service, its lease, and the stop.

The configuration is the ceiling, the journal remembers the present, and the lower wins.
Nothing here ever rises by itself: only a human's `set_mode` does that. What lowers a mode from
outside (a foreign writer, the end of a lease, the calendar) the guard decides.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from trimtab_controller.config import ServiceConfig
from trimtab_controller.journal import Journal, JournalError
from trimtab_guard.authority import NO_EPOCH, NO_LEASE, Epoch, Facts, Lease, Standing, effective
from trimtab_guard.modes import Mode, lower, rung_below
from trimtab_guard.reasons import Code

# Who acts when no human does; a mode set under this name is a demotion.
OURSELVES = "trimtab"
# Who set the mode of a service that the journal did not know.
COMMAND_LINE = "command line"
# The kinds of records that say what may be done now.
FOLLOWED = ("mode", "renew", "writer", "stop", "abort", "resume", "epoch", "undone")
# An abort that has not undone everything by then stops all the same.
ABORT_S = 10.0


class Refusal(Exception):  # noqa: N818  # not an error of the program but its answer
    """A command that cannot be followed as things are; the message says what to do first."""


class UnknownError(LookupError):
    """A thing of a ``kind``, a service or an envelope, that does not exist."""

    def __init__(self, kind: str, name: str, way_out: str) -> None:
        super().__init__(f"there is no {kind} {name!r}: {way_out}")
        self.kind = kind
        self.name = name


class Abort(NamedTuple):
    """A stop that first undoes what is running: by whom, why and since when."""

    who: str
    why: str
    since_s: float


class Mandate:
    """Modes and stop, rebuilt from the journal. Callers hold the board's lock, but for `halt`.

    ``configs`` say what each service's ceilings are; a reload replaces them. ``epoch`` is the
    leadership that everything is written under: a new one with every opening of the journal.
    """

    def __init__(
        self,
        journal: Journal,
        configs: Mapping[str, ServiceConfig],
        start: Mode,
        stop_file: Path,
        now_s: float,
        leader: str = OURSELVES,
        newest_epoch: int = 0,
        not_leading: Callable[[], str] = lambda: "",
    ) -> None:
        """``start`` is the mode of services that the journal does not know yet.

        ``leader`` is who writes, in words that no other daemon has for itself; a new journal's
        epochs begin after ``newest_epoch``. ``not_leading`` tells why, of several daemons, this one
        does not lead at the moment.
        """
        self.configs = configs
        self.epoch = Epoch(0, leader)
        # What each service's stage showed.
        self._newest_epochs: dict[str, Epoch] = {}
        self._not_leading = not_leading
        self._journal = journal
        self._stop_file = stop_file
        self._modes: dict[str, Mode] = {}
        self._leases: dict[str, Lease] = {}
        self._writers: dict[str, str] = {}
        self._demotions: dict[str, str] = {}
        self._cooling_until_s: dict[str, float] = {}
        self._condemned_s: dict[str, float] = {}
        self._stop = False
        self._abort: Abort | None = None
        # What the last abort has not undone (yet), and why.
        self.not_undone = ""
        # Who halted and why; set by one assignment, which is all that a signal handler may do.
        self._halted: tuple[str, str] | None = None
        for entry in journal.entries(kinds=FOLLOWED):
            self._follow(entry.kind, entry.body, entry.time_s)
        self._lead(self.epoch.number or newest_epoch, leader, now_s)
        unknown = sorted(configs.keys() - self._modes.keys())
        begun = [("mode", self._mode_body(name, start, COMMAND_LINE, now_s)) for name in unknown]
        journal.append_all(begun, now_s)
        for kind, body in begun:
            self._follow(kind, body, now_s)

    def mode(self, service: str, now_s: float) -> Mode:
        """The mode that holds now, as `halted` knows it: thousands of services ask in a tick."""
        chosen = self._chosen(service)
        return self._under_facts(chosen, service, now_s, math.inf, stopped=self.halted).mode

    def standing(self, service: str, now_s: float) -> Standing:
        """The mode that holds now, and what lowers it."""
        chosen = self._chosen(service)
        return self._under_facts(chosen, service, now_s, math.inf, stopped=self.stopped)

    def barred(self, service: str, now_s: float, deadline_s: float) -> str:
        """Why nothing may be written now that was decided until ``deadline_s``, in any mode."""
        found = self._under_facts(Mode.GUARDED, service, now_s, deadline_s, stopped=self.stopped)
        return "; ".join(c.why for c in found.reasons if c.mode is Mode.SHADOW)

    def lease(self, service: str) -> Lease:
        """The time for which a human has entrusted the service to trimtab."""
        return self._leases.get(service, NO_LEASE)

    def alarm(self, service: str) -> str:
        """Why trimtab itself took the service down; empty once a human has answered."""
        if writer := self._writers.get(service):
            return f"{writer} changed {service}: in shadow until a human sets a mode"
        return self._demotions.get(service, "")

    @property
    def stopped(self) -> bool:
        """Whether nothing may be written: looked at before every single write."""
        return self.halted or os.access(self._stop_file, os.F_OK)

    @property
    def halted(self) -> bool:
        """The same without a look for the stop file, for which `keep` looks once a tick."""
        return self._stop or self._halted is not None

    def set_mode(self, service: str, mode: Mode, who: str, now_s: float) -> None:
        """A human's choice, and the start of a lease; for a service that was lost, a new epoch.

        Raises `Refusal` above the ceiling or while stopped.
        """
        self._refuse_while_stopped()
        ceiling = self.configs[service].spec.ceiling
        if lower(mode, ceiling) is not mode:
            raise Refusal(
                f"{service}: {mode} is above the ceiling in the configuration, "
                f"{ceiling}: choose a lower mode, or raise it in the file and reload"
            )
        newest = self._newest_epochs.get(service, NO_EPOCH)
        if mode is not Mode.SHADOW and newest.deposes(self.epoch):
            self._lead(newest.number, self.epoch.leader, now_s)
        self._record("mode", self._mode_body(service, mode, who, now_s), now_s)

    def renew(self, service: str, who: str, now_s: float) -> None:
        """Start the lease anew; raises `Refusal` when it has ended, for then the mode fell."""
        self._refuse_while_stopped()
        if not self.lease(service).holds(now_s):
            raise Refusal(f"{service}: the lease has ended: `trimtab mode {service} MODE` first")
        body = {"service": service, "who": who, "until_s": self._until_s(service, now_s)}
        self._record("renew", body, now_s)

    def notice_writer(self, service: str, writer: str, now_s: float) -> None:
        """Somebody else changed what trimtab steers: in shadow until a human sets a mode."""
        self._record("writer", {"service": service, "writer": writer}, now_s)

    def notice_leader(self, service: str, newest: Epoch, now_s: float) -> None:
        """What the stage has seen; under a newer epoch, in shadow until a human sets a mode."""
        self._newest_epochs[service] = newest
        if not newest.deposes(self.epoch):
            return
        for reason in self.standing(service, now_s).reasons:
            if reason.code is Code.DEPOSED:
                why = f"deposed: {reason.why}; {service} is in shadow until a human sets a mode"
                self._demote(service, Mode.SHADOW, why, now_s)

    def outranks(self, epoch: Epoch) -> bool:
        """Whether a write under ``epoch`` is one that ours will end, and no sign of a rival."""
        return 0 < epoch.number < self.epoch.number

    def condemn(self, service: str, until_s: float, why: str, now_s: float) -> None:
        """Undo what was written until now: one rung down, and nothing without asking until then.

        One record is the whole decision: what a crash leaves open, the next daemon finishes.
        """
        self._demote(
            service, rung_below(self._chosen(service)), why, now_s, cooling_until_s=until_s
        )

    def end_rollback(self, service: str, now_s: float) -> None:
        """What was condemned is as it was before: nothing is left to undo, also not later."""
        self._record("undone", {"service": service}, now_s)

    def condemned_s(self, service: str) -> float:
        """What was written until then is to be undone; a human's mode ends that."""
        return self._condemned_s.get(service, -math.inf)

    def cooling_until_s(self, service: str) -> float:
        """When the last cool-down of the service ends, or ended."""
        return self._cooling_until_s.get(service, -math.inf)

    def halt(self, who: str = "signal", why: str = "") -> None:
        """Stop writing at once: safe in a signal handler and without the lock."""
        self._halted = (who, why)

    def stop(self, who: str, why: str, now_s: float) -> None:
        """Stop all writes, and remember it; again while stopped adds nothing."""
        self.halt(who, why)
        if not self._stop:
            self._record("stop", {"who": who, "why": why}, now_s)

    def abort(self, who: str, why: str, now_s: float) -> None:
        """Have the next tick undo what is running, and stop; raises `Refusal` while stopped."""
        self._refuse_while_stopped()
        try:
            self._record("abort", {"who": who, "why": why}, now_s)
        except JournalError:
            self.halt(who, why)
            raise

    @property
    def aborting(self) -> bool:
        """Whether nothing may be written but what undoes."""
        return self._abort is not None and not self.stopped

    def end_abort(self, not_undone: str, now_s: float) -> None:
        """Stop once everything is undone, or the time for it is over."""
        if self._abort and self.aborting:
            self.not_undone = not_undone
            if not (not_undone and self._abort.since_s <= now_s < self._abort.since_s + ABORT_S):
                self.stop(self._abort.who, self._abort.why, now_s)

    def keep(self, now_s: float) -> None:
        """Make durable what happened by itself: a halt, a stop file, the end of a lease."""
        if self._stop_file.exists():
            self.stop("stop file", "", now_s)
        elif self._halted:
            self.stop(*self._halted, now_s)
        elif self._abort and abs(now_s - self._abort.since_s) > ABORT_S:
            self.end_abort("too late", now_s)
        for service in self.configs:
            ended = not self.lease(service).holds(now_s)
            reasons = self.standing(service, now_s).reasons if ended else ()
            if Code.LEASE in {reason.code for reason in reasons}:
                why = f"the lease on {service} has ended: in approve until a human sets a mode"
                self._demote(service, Mode.APPROVE, why, now_s)

    def resume(self, who: str, now_s: float) -> None:
        """Undo the stop; every service comes back in shadow."""
        if self._stop_file.exists():
            raise Refusal(f"the stop file is there: remove {self._stop_file} first")
        if self.stopped:
            # In this order: a halt that comes meanwhile must hold.
            self._halted = None
            self._record("resume", {"who": who}, now_s)

    def _demote(self, service: str, mode: Mode, why: str, now_s: float, **more: float) -> None:
        """Take a service down to ``mode``, loudly; the lease stays what it was."""
        body = {"service": service, "mode": mode, "who": OURSELVES, "why": why}
        self._record("mode", body | {"until_s": self.lease(service).until_s} | more, now_s)

    def _chosen(self, service: str) -> Mode:
        return lower(self.configs[service].spec.ceiling, self._modes[service])

    def _under_facts(
        self, mode: Mode, service: str, now_s: float, deadline_s: float, *, stopped: bool
    ) -> Standing:
        facts = Facts(
            lease=self.lease(service),
            foreign_writer=self._writers.get(service, ""),
            stopped=stopped,
            epoch=self.epoch,
            newest_epoch=self._newest_epochs.get(service, NO_EPOCH),
            deadline_s=deadline_s,
            cooling_until_s=self.cooling_until_s(service),
            not_leading=self._not_leading(),
        )
        return effective(mode, facts, self.configs[service].spec.schedule, now_s)

    def _lead(self, after: int, leader: str, now_s: float) -> None:
        self._record("epoch", {"epoch": after + 1, "leader": leader}, now_s)

    def _refuse_while_stopped(self) -> None:
        if self.stopped:
            raise Refusal("trimtab is stopped: `trimtab resume` first")

    def _mode_body(self, service: str, mode: Mode, who: str, now_s: float) -> dict[str, Any]:
        until_s = self._until_s(service, now_s)
        return {"service": service, "mode": mode, "who": who, "why": "", "until_s": until_s}

    def _until_s(self, service: str, now_s: float) -> float:
        return now_s + self.configs[service].limits.lease_s

    def _record(self, kind: str, body: dict[str, Any], now_s: float) -> None:
        self._journal.append(kind, body, now_s)
        self._follow(kind, body, now_s)

    def _follow(self, kind: str, body: Mapping[str, Any], time_s: float) -> None:
        """One journalled command: the only place where the present changes."""
        if kind == "mode":
            self._follow_mode(body, time_s)
        if kind in ("mode", "renew"):
            self._leases[body["service"]] = Lease(time_s, body["until_s"])
        elif kind == "undone":
            self._condemned_s.pop(body["service"], None)
        elif kind == "writer":
            self._writers[body["service"]] = body["writer"]
        elif kind == "epoch":
            self.epoch = Epoch(body["epoch"], body["leader"])
        elif kind == "abort":
            self._abort = Abort(body["who"], body["why"], time_s)
            self.not_undone = "stopped before anything was undone"
        elif kind == "stop":
            self._abort = None
        elif kind == "resume":
            self._modes = dict.fromkeys(self._modes, Mode.SHADOW)
            self._condemned_s = {}
        self._stop = kind == "stop" or (self._stop and kind != "resume")

    def _follow_mode(self, body: Mapping[str, Any], time_s: float) -> None:
        """A human's choice, or a demotion; with a cool-down it is a rollback."""
        service = body["service"]
        self._modes[service] = Mode(body["mode"])
        self._demotions[service] = body["why"]
        if "cooling_until_s" in body:
            self._cooling_until_s[service] = body["cooling_until_s"]
            self._condemned_s[service] = time_s
        if body["who"] != OURSELVES:
            self._writers.pop(service, None)
            self._condemned_s.pop(service, None)
