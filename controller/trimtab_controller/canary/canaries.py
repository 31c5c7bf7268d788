"""The trials of all services: begun by humans, kept by the journal, looked at by the loop."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from trimtab_agents.canary import Comparison, Side
from trimtab_controller.canary.plan import Plan
from trimtab_controller.canary.sides import NOT_READ, Reader, Sees, Sides
from trimtab_controller.canary.trial import PATIENCE_S, UNEQUAL, Phase, Trial, rules
from trimtab_controller.journal import Entry, Journal
from trimtab_controller.mandate import Refusal, UnknownError
from trimtab_controller.protocols import Clock, StageReport
from trimtab_controller.records import pack, unpack

log = logging.getLogger(__name__)

# A trial as it is, and a look that it went on with.
KIND, LOOK = "canary", "look"
# A trial is twenty times as long as a look, and old looks are pruned.
LOOKS_BETWEEN = 100


class Canaries:
    """At most one trial of a service. Callers hold the board's lock, but for `look`.

    ``reader`` makes what reads two backends.
    """

    def __init__(
        self, journal: Journal, clock: Clock, reader: Callable[[str, str, Clock], Sees] = Reader
    ) -> None:
        self._journal = journal
        self._clock = clock
        self._reader = reader
        self._trials: dict[str, Trial] = {}
        self._watches: dict[str, Watch] = {}
        for entry in journal.entries(kinds=(KIND, LOOK)):
            self._follow(entry)

    @property
    def trials(self) -> Mapping[str, Trial]:
        """Those that run or hold a route, by service."""
        return self._trials

    def busy(self, service: str) -> str:
        """Also a trial that is over: it holds the route until it is ended."""
        trial = self._trials.get(service)
        return f"{trial}: `trimtab canary end {service}` first" if trial else ""

    def begin(self, plan: Plan, now_s: float) -> Trial:
        """Put a version on trial; `Refusal` while the service has a trial that was not ended."""
        if busy := self.busy(plan.service):
            raise Refusal(busy)
        return self._record(Trial.begin(plan, now_s), now_s)

    def end(self, service: str, who: str, why: str, now_s: float) -> Trial:
        """Give the route of a running trial back; forget one that is over. `UnknownError`."""
        trial = self._trials.get(service)
        if trial is None:
            raise UnknownError("canary", service, "`trimtab canary status` shows them all")
        if trial.runs:
            self.give_back(service, f"ended by {who}" + (f": {why}" if why else ""), now_s)
            return self._trials[service]
        self._journal.append(KIND, {"service": service, "trial": None}, now_s)
        self._trials.pop(service)
        return replace(trial, why="the route is free again")

    def give_back(self, service: str, why: str, now_s: float) -> None:
        """End a trial that runs, if there is one; its share goes back."""
        trial = self._trials.get(service)
        if trial and trial.runs:
            self._record(trial.over(Phase.GIVEN_BACK, why), now_s)

    def look(self, service: str, report: StageReport | None) -> None:
        """Read what both versions answered since the last look; needs no lock."""
        trial = self._trials.get(service)
        if trial is None or not trial.runs or report is None:
            self._watches.pop(service, None)
            return
        watch = self._watches.get(service)
        if watch is None or watch.plan is not trial.plan:
            plan = trial.plan
            watch = Watch(plan, self._reader(plan.old, plan.new, self._clock))
            self._watches[service] = watch
        watch.look(trial, report)

    def weigh(self, service: str, now_s: float) -> None:
        """Take the last look into account, durably."""
        trial, watch = self._trials.get(service), self._watches.get(service)
        if trial is None or not trial.runs:
            return
        if trial.out_of_patience(now_s):
            why = f"no verdict: nothing was learnt for {PATIENCE_S:g} s: {self.told(trial)}"
            self.give_back(service, why, now_s)
        elif watch and watch.plan is trial.plan and watch.settled:
            self._go_on(trial, watch.sides, now_s)

    def told(self, trial: Trial) -> str:
        """Why a trial is where it is."""
        watch = self._watches.get(trial.plan.service)
        if trial.runs and watch and not watch.settled:
            return f"waiting for the route or replicas to settle; {trial.why}"
        return trial.why

    def _go_on(self, trial: Trial, look: Sides, now_s: float) -> None:
        """One look further: a record of the look alone while that leads to nothing."""
        after, service = trial.after(*look, now_s), trial.plan.service
        led_on = (after.phase, after.step) != (trial.phase, trial.step)
        looks, before = after.comparison.looks, trial.comparison.looks
        if led_on or looks // LOOKS_BETWEEN > before // LOOKS_BETWEEN:
            self._record(after, now_s)
        else:
            body = {"service": service, "old": pack(look.old), "new": pack(look.new)}
            self._journal.append(LOOK, body, now_s)
            self._trials[service] = after

    def _record(self, trial: Trial, now_s: float) -> Trial:
        service = trial.plan.service
        self._journal.append(KIND, {"service": service, "trial": _packed(trial)}, now_s)
        self._trials[service] = trial
        return trial

    def _follow(self, entry: Entry) -> None:
        """One record of an earlier life."""
        body, service = entry.body, entry.body["service"]
        if entry.kind == KIND and body["trial"] is None:
            self._trials.pop(service, None)
        elif entry.kind == KIND:
            self._trials[service] = _unpacked(body["trial"])
        elif trial := self._trials.get(service):
            old, new = (body[side] and unpack(Side, body[side]) for side in ("old", "new"))
            self._trials[service] = trial.after(old, new, entry.time_s)


@dataclass(slots=True)
class Watch:
    """What is seen of a trial's two backends. Only ``settled`` looks count: nothing has moved."""

    plan: Plan
    reader: Sees
    standing: object = None
    settled: bool = False
    sides: Sides = NOT_READ

    def look(self, trial: Trial, report: StageReport) -> None:
        """Read them, also while they move: a later look begins where this one ends."""
        standing = _standing(trial, report)
        self.settled = standing is not None and standing == self.standing
        self.standing = standing
        try:
            self.sides = self.reader.read(report)
        except Exception:  # the loop must outlive whatever reading raises
            log.exception("%s: the trial's backends cannot be read", trial.plan.service)
            self.sides = NOT_READ


def _standing(trial: Trial, report: StageReport) -> object:
    """Shares and replicas of both sides where they may be compared; ``None`` where not.

    The new version may carry no more per replica than the old one, and in the end no less: what has
    less to do is faster, whatever its version.
    """
    plan, backends = trial.plan, {backend.name: backend for backend in report.backends}
    if not {plan.old, plan.new} <= backends.keys():  # the configuration is another one by now
        return None
    old, new = backends[plan.old], backends[plan.new]
    both = old.weight + new.weight
    if not (old.ready and new.ready and both) or abs(new.weight / both - trial.share) > 0.005:
        return None
    ratio = (new.weight / new.ready) / (old.weight / old.ready)
    if ratio > 1.0 + UNEQUAL or (trial.is_last and ratio < 1.0 - UNEQUAL):
        return None
    return trial.step, old.ready, old.draining, old.weight, new.ready, new.draining, new.weight


def _packed(trial: Trial) -> dict[str, Any]:
    return {
        "plan": pack(trial.plan),
        "began_s": trial.began_s,
        "heard_s": trial.heard_s,
        "comparison": trial.comparison.as_json(),
        "step": trial.step,
        "phase": trial.phase,
        "why": trial.why,
    }


def _unpacked(packed: Mapping[str, Any]) -> Trial:
    plan = unpack(Plan, packed["plan"])
    try:
        comparison = Comparison.from_json(packed["comparison"], rules(plan, packed["step"]))
    except ValueError:  # of another version of trimtab: what it saw is not lost, only worth nothing
        comparison = Comparison.begin(rules(plan, packed["step"]))
    return Trial(
        plan,
        packed["began_s"],
        packed["heard_s"],
        comparison,
        packed["step"],
        Phase(packed["phase"]),
        packed["why"],
    )
