"""Who may be to blame for a rise of misses: what stepped just before it, and by whose hand."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from math import exp, inf, isfinite, log
from statistics import median

from trimtab_controller.explain.hindsight import load_rps
from trimtab_controller.explain.rise import Rise
from trimtab_controller.explain.steps import Step, of, series, served_in_s, share_of, step
from trimtab_controller.memory import Outcome, TickRecord
from trimtab_controller.protocols import Ask
from trimtab_controller.up.words import clock_time, duration, percent
from trimtab_guard.model import State
from trimtab_sim.profile import BackendProfile, Profile

# What was so many ticks before the rise counts a third of what was right before it.
FADES_TICKS = 20.0
# A cause may be measured so many ticks after its effect.
LATE_TICKS = 2.0
GAP_TICKS = 3
# The least share of answers that errors must have grown by.
LEAST_ERRORS = 0.005


class Kind(StrEnum):
    """Whose doing it was."""

    OURS = "ours"
    FOREIGN = "foreign write"
    ROLLOUT = "rollout"
    DEATH = "replica death"
    LOAD = "load shift"
    GAP = "metric gap"
    SLOW = "slower replicas"
    ERRORS = "errors"


@dataclass(frozen=True, slots=True)
class Suspect:
    """A change before the rise: ``effect`` is the logarithm of what it did to the utilisation.

    ``weight`` is that, faded with the time between it and the rise.
    """

    kind: Kind
    time_s: float
    words: str
    effect: float
    weight: float


class Inquiry:
    """The ticks around a rise, oldest first, and what each part of them did before it."""

    def __init__(self, ticks: Sequence[TickRecord], found: Rise, profile: Profile) -> None:
        self._ticks = ticks
        self._states = [tick.state for tick in ticks if tick.state]
        self._rise = found
        self._profile = profile
        spans_s = [later.time_s - tick.time_s for tick, later in pairwise(ticks)]
        self._tick_s = median(spans_s) if spans_s else 1.0

    def suspects(self) -> list[Suspect]:
        """The weightiest first."""
        backends, found = self._profile.backends, [*self._load()]
        for backend in backends:
            lost = [*self._ready(backend)]
            found += [*lost, *self._trouble(backend, lost)]
        # A route that moves away from what went bad before is no cause, but the cure.
        bad_s = min((s.time_s for s in found if s.kind is not Kind.LOAD), default=inf)
        moved = [suspect for backend in backends for suspect in self._share(backend)]
        found += [suspect for suspect in moved if suspect.time_s < bad_s]
        return sorted(found, key=lambda suspect: -suspect.weight)

    def _load(self) -> Iterator[Suspect]:
        found = self._step(load_rps)
        if found is None or found.effect <= 0.0:
            return
        rose = f"the load rose from {found.before:.0f} to {found.after:.0f} rps"
        gap = self._gap(found.time_s)
        if gap is None:
            yield self._suspect(Kind.LOAD, found.time_s, rose, found.effect)
        else:
            since_s, until_s = gap
            words = f"nothing was measured for {duration(until_s - since_s)}, in which {rose}"
            yield self._suspect(Kind.GAP, until_s, words, found.effect)

    def _share(self, backend: BackendProfile) -> Iterator[Suspect]:
        found = self._step(share_of(backend.name))
        routed = self._step(of(backend.name, lambda b: b.weight))
        # A share follows the ready replicas elsewhere as well: a route that moved is somebody's.
        if found is None or routed is None or found.effect <= 0.0 or routed.effect <= 0.0:
            return
        kind = self._author(backend.name, found.time_s, lambda ask: ask.weight is not None)
        words = (
            f"{_by(kind)} moved {backend.name} from {percent(routed.before)} to "
            f"{percent(routed.after)} of the route"
        )
        yield self._suspect(kind, found.time_s, words, found.effect)

    def _ready(self, backend: BackendProfile) -> Iterator[Suspect]:
        name = backend.name
        found = self._step(of(name, lambda b: _some(b.ready)))
        if found is None or found.effect >= 0.0:
            return
        lost = f"from {found.before:.0f} to {found.after:.0f} ready replicas"
        wanted = self._step(of(name, lambda b: _some(b.wanted)))
        if wanted and wanted.effect < 0.0:
            kind = self._author(
                name, wanted.time_s, lambda ask: ask.floor is not None and ask.floor < ask.wanted
            )
            words = f"{_by(kind)} scaled {name} down, {lost}"
        elif any(state.rollout for state in self._around(found)):
            kind, words = Kind.ROLLOUT, f"a rollout took {name} {lost}"
        else:
            kind, words = Kind.DEATH, f"{name} went {lost}, though nobody asked for fewer"
        # Of all the load only this backend's part is hurt.
        hurt = -found.effect * self._part(name)
        yield self._suspect(kind, found.time_s, words, hurt)

    def _trouble(self, backend: BackendProfile, lost: Sequence[Suspect]) -> Iterator[Suspect]:
        name, part = backend.name, self._part(backend.name)
        slow = self._step(of(name, served_in_s(backend)))
        # What a replica held when it went takes until it is given up: the others are no slower.
        late_s = LATE_TICKS * self._tick_s
        held = slow and any(loss.time_s <= slow.time_s + late_s for loss in lost)
        if slow and slow.effect > 0.0 and not held:
            words = f"{name} took {slow.after / slow.before:.1f} times as long to serve a request"
            yield self._suspect(Kind.SLOW, slow.time_s, words, slow.effect * part)
        # What is mostly 0 only has a logarithm that means something above a floor.
        failed = self._step(of(name, lambda b: LEAST_ERRORS + b.error_share.value))
        if failed and failed.effect > 0.0:
            more = (failed.after - failed.before) * part
            words = f"{name} answered {percent(failed.after - LEAST_ERRORS)} with errors"
            effect = log(1.0 + more / (1.0 - self._profile.slo_share))
            yield self._suspect(Kind.ERRORS, failed.time_s, words, effect)

    def _step(self, value: Callable[[State], float]) -> Step | None:
        return step(series(self._states, value), self._rise.since_s)

    def _suspect(self, kind: Kind, time_s: float, words: str, effect: float) -> Suspect:
        ahead = (self._rise.since_s - time_s) / self._tick_s
        fades = exp(-max(0.0, ahead) / FADES_TICKS) if ahead >= -LATE_TICKS else 0.0
        return Suspect(kind, time_s, f"{clock_time(time_s)} {words}", effect, effect * fades)

    def _part(self, backend: str) -> float:
        """The backend's part of the load when misses rose."""
        during = [state for state in self._states if state.time_s >= self._rise.since_s]
        shares = [share_of(backend)(state) for state in during]
        known = [share for share in shares if isfinite(share)]
        return sum(known) / len(known) if known else 1.0

    def _around(self, found: Step) -> list[State]:
        slack_s = FADES_TICKS * self._tick_s
        return [s for s in self._states if abs(s.time_s - found.time_s) <= slack_s]

    def _author(self, backend: str, time_s: float, wrote: Callable[[Ask], bool]) -> Kind:
        """Whether we wrote that shortly before."""
        slack_s = FADES_TICKS * self._tick_s
        ours = any(
            ask.backend == backend and wrote(ask)
            for tick in self._ticks
            if time_s - slack_s <= tick.time_s <= time_s + self._tick_s
            if tick.outcome is Outcome.APPLIED and tick.intent
            for ask in tick.intent.asks
        )
        return Kind.OURS if ours else Kind.FOREIGN

    def _gap(self, time_s: float) -> tuple[float, float] | None:
        """The time without a measured load that ends where the load was seen to step."""
        blind = [
            tick.time_s
            for tick in self._ticks
            if tick.state is None or not isfinite(load_rps(tick.state))
        ]
        run = [moment for moment in blind if moment < time_s]
        if len(run) < GAP_TICKS or time_s - run[-1] > 2.0 * self._tick_s:
            return None
        since_s = run[-1]
        for moment in reversed(run):
            if since_s - moment > 1.5 * self._tick_s:
                break
            since_s = moment
        return (since_s, time_s) if time_s - since_s >= GAP_TICKS * self._tick_s else None


def _by(kind: Kind) -> str:
    return "trimtab" if kind is Kind.OURS else "somebody else"


def _some(count: int) -> float:
    """None has no logarithm; half a replica is as bad."""
    return max(float(count), 0.5)
