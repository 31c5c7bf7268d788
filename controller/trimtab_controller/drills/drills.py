"""All drills: begun by humans, driven by the loop, and in the journal with all that was seen.

What is broken here ends with this process; what is broken on the stage ends with a lease, which is
renewed at every tick. So a daemon that was killed leaves nothing broken behind.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from trimtab_controller.drills.course import KIND, LOOK, Course, Look, Phase, Struck
from trimtab_controller.drills.lens import Lens
from trimtab_controller.drills.page import page, told
from trimtab_controller.drills.plan import Fault, Plan
from trimtab_controller.drills.site import Site
from trimtab_controller.experiments import admit, barred
from trimtab_controller.journal import Entry, Journal
from trimtab_controller.mandate import Refusal, UnknownError
from trimtab_controller.protocols import StageError
from trimtab_controller.records import pack, unpack
from trimtab_guard.authority import Epoch
from trimtab_guard.blast import Blast, Breach, Group, narrower, refusal

if TYPE_CHECKING:
    from trimtab_controller.board import Board

log = logging.getLogger(__name__)


class Drills:
    """The latest drill of each service. Callers hold the board's lock."""

    def __init__(self, journal: Journal) -> None:
        self.courses: dict[str, Course] = {}
        self._journal = journal
        self._sites: dict[str, Site] = {}
        # Begun in this life: others were cut short by a restart.
        self._own: set[str] = set()
        for entry in journal.entries(kinds=(KIND,)):
            self._follow(entry)

    def attach(self, service: str, lens: Lens) -> None:
        """Through which a service is seen and steered; without it, it can have no drill."""
        self._sites[service] = Site(lens)

    def busy(self, service: str) -> str:
        """The drill that runs, and how to end it."""
        course = self.courses.get(service)
        running = course is not None and course.runs
        return f"{course}: `trimtab drill --end {service}` first" if running else ""

    def begin(self, board: Board, plan: Plan, who: str, now_s: float) -> Course:
        """Wait for the steady state, then break things; `Refusal` when that may not be."""
        admit(board, plan.service, now_s)
        allowed = board.configs[plan.service].spec.drills
        if allowed is None:
            raise Refusal(
                f"{plan.service}: drills are off: write `drills: {{}}` into its part of "
                "trimtab.yaml, with how much they may break (SAFETY.md), and reload"
            )
        running = [name for name, c in self.courses.items() if c.runs and c.id in self._own]
        if len(running) >= board.cluster.drills_at_once:
            raise Refusal(f"{', '.join(running)}: enough drills run already, by drills_at_once")
        course = Course(plan, narrower(plan.blast, allowed), who, now_s)
        self._check(course, self._sites[plan.service])
        self._own.add(course.id)
        return self._record(course, f"begun by {who}", now_s)

    def end(self, service: str, who: str, why: str, now_s: float) -> Course:
        """Undo everything now, and end it; `UnknownError` when none runs."""
        if not self.busy(service):
            raise UnknownError("drill", service, "`trimtab drill --list` shows them all")
        self.give_back(service, f"ended by {who}" + (f": {why}" if why else ""), now_s)
        return self.courses[service]

    def give_back(self, service: str, why: str, now_s: float) -> None:
        """End what runs, if anything does."""
        if self.busy(service):
            self._end(self.courses[service], Phase.ABORTED, why, now_s)

    def page(self, course: Course) -> str:
        """What happened in a drill, as Markdown; needs no lock, and raises `JournalError`."""
        return page(told(self._journal, course))

    def end_all(self, why: str, now_s: float) -> None:
        """End whatever runs, at once."""
        for service in self.courses:
            self.give_back(service, why, now_s)

    def conduct(self, board: Board, service: str, now_s: float) -> None:
        """One tick of a service's drill: look, end what must end, break what is due."""
        course = self.courses.get(service)
        if course is None:
            return
        site = self._sites[service]
        if not site.whole and course.phase is not Phase.FAULTS:
            site.mend()
        if course.runs and course.id in self._own:
            self._tick(board, course, site.look(now_s), now_s)
        elif course.runs:
            self._end(course, Phase.ABORTED, "the daemon was restarted amid it", now_s)

    def _tick(self, board: Board, course: Course, look: Look, now_s: float) -> None:
        service = course.plan.service
        self._journal.append(LOOK, {"service": service, "look": pack(look)}, now_s)
        course = self.courses[service] = course.looked(look)
        stale_s = board.configs[service].limits.stale_s
        if breach := course.breach(look.backends, _barred(board, service, now_s), stale_s):
            self._end(course, Phase.ABORTED, _told(breach), now_s)
        else:
            self._go_on(course, look, Terms(stale_s, board.mandate.epoch), now_s)

    def _go_on(self, course: Course, look: Look, terms: Terms, now_s: float) -> None:
        if course.phase is Phase.FAULTS:
            self._amid(course, look, terms, now_s)
        elif course.steady_for(now_s):
            self._steady(course, look, terms, now_s)
        elif course.out_of_time(now_s):
            self._in_vain(course, now_s)

    def _steady(self, course: Course, look: Look, terms: Terms, now_s: float) -> None:
        if course.phase is Phase.AFTER:
            why = f"steady again {course.back_s:.0f} s after the end of the last fault"
            self._end(course, Phase.STEADY, why, now_s)
            return
        ready = sum(backend.ready for backend in look.backends)
        course = replace(course, phase=Phase.FAULTS, first_s=now_s, ready=ready, why="amid faults")
        course = self._record(course, "the steady state holds: faults begin", now_s)
        self._amid(course, look, terms, now_s)

    def _in_vain(self, course: Course, now_s: float) -> None:
        if course.phase is Phase.BEFORE:
            why = "the steady state did not hold, so nothing was broken"
            self._end(course, Phase.NOT_BEGUN, why, now_s)
        else:
            why = f"not steady again within {course.plan.recover_s:g} s of the last fault"
            self._end(course, Phase.UNSTEADY, why, now_s)

    def _amid(self, course: Course, look: Look, terms: Terms, now_s: float) -> None:
        """Undo what is over, break what is due, and keep the rest."""
        for struck in course.struck:
            if now_s >= struck.until_s:
                left = tuple(each for each in course.struck if each is not struck)
                fault = course.plan.faults[struck.number]
                course = self._record(replace(course, struck=left), f"over: {fault}", now_s)
        try:
            self._keep(course, terms)
            while course.runs and (number := course.due(now_s)) is not None:
                course = self._strike(course, number, look, terms, now_s)
            if course.runs and not course.struck and course.begun == len(course.plan.faults):
                self._keep(course, terms)
                why = "nothing is broken now"
                course = replace(course, phase=Phase.AFTER, last_s=now_s, why=why)
                self._record(course, "all faults are over", now_s)
        except StageError as error:
            self._end(course, Phase.ABORTED, f"the stage would not: {error}", now_s)

    def _strike(
        self, course: Course, number: int, look: Look, terms: Terms, now_s: float
    ) -> Course:
        """Begin one fault, if the guard lets it; in the journal before it is done."""
        fault = course.plan.faults[number]
        if found := refusal(course.limits, fault.strike, course.blast(look.backends), now_s):
            return self._end(course, Phase.ABORTED, f"{fault}: {_told(found)}", now_s)
        struck = (*course.struck, Struck(number, now_s + fault.for_s, ()))
        course = replace(course, struck=struck, begun=course.begun + 1)
        course = self._record(course, f"begins: {fault}", now_s)
        on = self._keep(course, terms).get(course.name_of(number), ())
        if fault.fault is Fault.KILL:
            rest, killed = course.struck[:-1], course.killed + len(on)
            course = replace(course, struck=rest, killed=killed)
        else:
            course = replace(course, struck=(*course.struck[:-1], struck[-1]._replace(replicas=on)))
        return self._record(course, f"hit: {', '.join(on)}", now_s) if on else course

    def _keep(self, course: Course, terms: Terms) -> Mapping[str, tuple[str, ...]]:
        """Have just what is in force, here and on the stage."""
        return self._sites[course.plan.service].have(course.named, *terms)

    def _end(self, course: Course, phase: Phase, why: str, now_s: float) -> Course:
        """Undo everything first, and then say so."""
        if not self._sites[course.plan.service].mend():
            why += "; the stage does not answer, and undoes it by itself"
        self._own.discard(course.id)
        event = f"aborted: {why}" if phase is Phase.ABORTED else why
        return self._record(course.over(phase, why, now_s), event, now_s)

    def _check(self, course: Course, site: Site) -> None:
        """`Refusal` of what could not be as things are, before anything begins."""
        plan, look = course.plan, site.look(course.began_s)
        if not look.backends:
            raise Refusal(f"{plan.service}: its stage was not seen yet")
        groups = tuple(Group(b.name, b.ready, 0, b.weight) for b in look.backends)
        blast = Blast(0.0, 0.0, sum(group.ready for group in groups), groups)
        for number, fault in enumerate(plan.faults):
            if fault.fault.of_stage and not site.breakable:
                raise Refusal(
                    f"faults[{number}]: only the local stage can {fault.fault}; elsewhere, metrics "
                    "and the way to the stage can be broken"
                )
            if found := refusal(course.limits, fault.strike, blast, fault.at_s):
                raise Refusal(f"faults[{number}], {fault}: {_told(found)}")

    def _record(self, course: Course, event: str, now_s: float) -> Course:
        service = course.plan.service
        body = {"service": service, "event": event, "drill": pack(course)}
        self._journal.append(KIND, body, now_s)
        self.courses[service] = course
        log.info("%s: %s: %s", service, course.plan.drill, event)
        return course

    def _follow(self, entry: Entry) -> None:
        self.courses[entry.body["service"]] = unpack(Course, entry.body["drill"])


class Terms(NamedTuple):
    """What the stage is asked under: how long a tick may be away, and the leadership."""

    stale_s: float
    epoch: Epoch


def _barred(board: Board, service: str, now_s: float) -> str:
    """Why the drill may not go on."""
    if board.configs[service].spec.drills is None:
        return "the configuration does not allow drills any more"
    return barred(board, service, now_s)


def _told(breach: Breach) -> str:
    return f"{breach.edge}: {breach.why}"
