"""Where a service's drills break things, and see what really is: its lens, and its stage."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping

from trimtab_controller.drills.breaking import Breakable, StageFault
from trimtab_controller.drills.course import Look, Seen
from trimtab_controller.drills.lens import Lens
from trimtab_controller.drills.plan import Injection
from trimtab_controller.protocols import StageError
from trimtab_guard.authority import NO_EPOCH, Epoch

log = logging.getLogger(__name__)

# For how long the stage keeps what it has broken when nobody asks again: three ticks, within these.
LEAST_LEASE_S, MOST_LEASE_S = 3.0, 60.0


class Site:
    """One service's; ``whole`` once the stage has said that nothing of it is broken."""

    def __init__(self, lens: Lens) -> None:
        self.whole = False  # an earlier life may have ended before the stage said so
        self._lens = lens

    @property
    def breakable(self) -> bool:
        """Whether replicas and the proxy can be broken, too."""
        return isinstance(self._lens.stage, Breakable)

    def have(
        self, faults: Mapping[str, Injection], stale_s: float, epoch: Epoch
    ) -> Mapping[str, tuple[str, ...]]:
        """Break just these, by id: the replicas that each is on. Raises `StageError`."""
        self._lens.have(tuple(each for each in faults.values() if not each.fault.of_stage))
        asked = [_asked(name, each) for name, each in faults.items() if each.fault.of_stage]
        stage = self._lens.stage
        if not isinstance(stage, Breakable) or (self.whole and not asked):
            self.whole = True
            return {}
        self.whole = False
        reply = stage.have_broken(asked, min(max(LEAST_LEASE_S, stale_s), MOST_LEASE_S), epoch)
        self.whole = not asked
        return {name: tuple(replicas) for name, replicas in reply.items()}

    def mend(self) -> bool:
        """Break nothing any more; whether all is whole, as far as anybody knows."""
        self.whole = False
        try:
            self.have({}, LEAST_LEASE_S, NO_EPOCH)
        except StageError as error:
            log.warning("what the drill broke is not undone yet: %s", error)
        return self.whole

    def look(self, now_s: float) -> Look:
        """What really is, as of the last look through the lens."""

        def value(signal: str, backend: str = "") -> float:
            reading = readings.get((signal, backend))
            return reading.value if reading else math.nan

        report, readings = self._lens.report, self._lens.readings
        backends = tuple(
            Seen(b.name, b.ready, b.starting, b.wanted, b.weight)
            for b in (report.backends if report else ())
        )
        rates_rps = [value("rate_rps", backend.name) for backend in backends] or [math.nan]
        return Look(now_s, sum(rates_rps), value("miss_share"), value("p95_ms"), backends)


def _asked(name: str, fault: Injection) -> StageFault:
    replicas = fault.strike.replicas
    return StageFault(name, fault.fault, fault.backend, replicas, fault.factor)
