"""The rounds of all services: begun by humans, kept by the journal, carried out by the loop.

A daemon that comes back ends the round that it finds: what had been counted is gone. The local
stage lets variants go when nobody asks for them again; a cluster's wait for the next daemon.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import replace
from types import MappingProxyType

from trimtab_controller.journal import Journal
from trimtab_controller.mandate import Refusal, UnknownError
from trimtab_controller.protocols import Clock, StageError, StageRefusedError, StageReport
from trimtab_controller.records import pack, unpack
from trimtab_controller.variants.mirror import Mirror, Wanted
from trimtab_controller.variants.plan import Plan
from trimtab_controller.variants.round import Result, Round, Step
from trimtab_controller.variants.sight import Looks, look
from trimtab_controller.variants.watch import Watch
from trimtab_guard.authority import Epoch

log = logging.getLogger(__name__)

KIND = "round"
MEASURED = "measured"
NO_LOOKS: Mapping[str, Looks] = MappingProxyType({})
SETTLED = (Step.MEASURED, Step.ENDED)


def crowded(plan: Plan, wanted: int, most: int) -> str:
    """Why there is no room for the variants beside what the service wants itself, or nothing."""
    if wanted + plan.replicas <= most:
        return ""
    return (
        f"{plan.backend} wants {wanted} replicas itself, which with {plan.replicas} of variants "
        f"are more than its {most}"
    )


class Rounds:
    """At most one round of a service. Callers hold the board's lock, but for `look`.

    ``mirrors`` are the stages that can run one, by service; ``looks`` is how to look where no
    other way is given by service in ``afar``.
    """

    def __init__(
        self,
        journal: Journal,
        clock: Clock,
        mirrors: Mapping[str, Mirror],
        looks: Looks = look,
        afar: Mapping[str, Looks] = NO_LOOKS,
    ) -> None:
        self._journal = journal
        self._clock = clock
        self._mirrors = mirrors
        self._looks = looks
        self._afar = afar
        self._watches: dict[str, Watch] = {}
        self._rounds: dict[str, Round] = {}
        # Where a stage may have something of a round, and since when nothing is new about it.
        self._left: dict[str, float] = {}
        for entry in journal.entries(kinds=(KIND,)):
            service = entry.body["service"]
            self._rounds[service] = unpack(Round, entry.body["round"])
            self._left[service] = entry.time_s

    @property
    def rounds(self) -> Mapping[str, Round]:
        """The last one of each service, whether it runs or is over."""
        return self._rounds

    def can(self, service: str) -> bool:
        """Whether its stage can run variants."""
        return service in self._mirrors

    def sees_afar(self, service: str) -> bool:
        """Whether there is a way of its own to see what its variants answer."""
        return service in self._afar

    def busy(self, service: str) -> str:
        """A round that is over keeps nobody away."""
        round_ = self._rounds.get(service)
        running = round_ is not None and not round_.over
        return f"{round_}: `trimtab experiment end {service}` first" if running else ""

    def begin(self, plan: Plan, slo_s: float, most: int, now_s: float) -> Round:
        """Have variants run; `Refusal` while a round of the service does.

        ``most`` is how many replicas the backend may have in all, those of variants included.
        """
        if busy := self.busy(plan.service):
            raise Refusal(busy)
        before = self._rounds.get(plan.service)
        round_ = self._record(Round(plan, before.number + 1 if before else 1, now_s), now_s)
        self._watches[plan.service] = Watch(slo_s, most, self._afar.get(plan.service, self._looks))
        return round_

    def end(
        self, service: str, who: str, why: str, now_s: float, variants: Iterable[str] = ()
    ) -> Round:
        """End a round, or only some variants of it; `UnknownError` when there is none."""
        round_ = self._rounds.get(service)
        if round_ is None or round_.over:
            raise UnknownError("round of", service, "`trimtab experiment status` shows what runs")
        known = {variant.name for variant in round_.plan.variants}
        for name in set(variants) - known:
            raise UnknownError("variant", name, f"the round has {', '.join(sorted(known))}")
        told = f"ended by {who}" + (f": {why}" if why else "")
        ended = round_.without(tuple(variants))
        if not (variants and ended.running):
            self.give_back(service, told, now_s)
        else:
            if watch := self._watches.get(service):
                watch.end(round_, tuple(variants))
            self._record(replace(ended, why=told), now_s)
        return self._rounds[service]

    def give_back(self, service: str, why: str, now_s: float) -> None:
        """End a round that runs, if there is one: the stage is told at the next `keep`."""
        round_ = self._rounds.get(service)
        if round_ and not round_.over:
            self._record(round_.ends(why, self.results(service)), now_s)

    def make_room(self, service: str, now_s: float) -> None:
        """End a round whose replicas the service needs itself."""
        round_, watch = self._rounds[service], self._watches.get(service)
        if round_.over or watch is None:
            return
        if crowd := crowded(round_.plan, watch.wanted, watch.most):
            self._record(round_.ends(crowd, self.results(service), again=True), now_s)

    def look(self, service: str, report: StageReport | None) -> None:
        """Read what was answered since the last look; needs no lock."""
        round_, watch = self._rounds.get(service), self._watches.get(service)
        if not (report and round_ and watch) or round_.over:
            return
        try:
            watch.look(round_, report, self._clock())
        except Exception:  # the loop must outlive whatever reading raises
            log.exception("%s: what the variants answer cannot be read", service)

    def results(self, service: str) -> tuple[Result, ...]:
        """What is known by now."""
        round_, watch = self._rounds[service], self._watches.get(service)
        return watch.results(round_) if watch and not round_.over else round_.results

    def share(self, service: str) -> float:
        """Of which share of the requests each variant gets a copy now."""
        round_, watch = self._rounds[service], self._watches.get(service)
        return watch.share if watch and not round_.over else 0.0

    def idle(self, service: str) -> bool:
        """Whether nothing runs on it, and nothing is left of what ran: `keep` has nothing to do."""
        return service not in self._left or service not in self._mirrors

    def keep(self, service: str, epoch: Epoch, barred: str, now_s: float) -> None:
        """One tick further: end what may not go on, and have the stage do what should be.

        ``barred`` is why no experiment may run on the service now.
        """
        self.make_room(service, now_s)
        round_ = self._rounds[service]
        if not round_.over and (why := self._ends(round_, barred, now_s)):
            self.give_back(service, why, now_s)
        self._carry_out(service, epoch, now_s)

    def _ends(self, round_: Round, barred: str, now_s: float) -> str:
        """Why a round is over now; empty while it goes on."""
        service, plan = round_.plan.service, round_.plan
        watch = self._watches.get(service)
        if watch is None:
            return "trimtab was started again, and what it had counted is gone"
        if barred:
            return barred
        _, *variants = watch.results(round_)
        if all(each.step in SETTLED for each in variants):
            return MEASURED
        # By a clock that may have been set back.
        return "" if abs(now_s - round_.began_s) <= plan.seconds else "its time is over"

    def _carry_out(self, service: str, epoch: Epoch, now_s: float) -> None:
        round_, watch = self._rounds[service], self._watches.get(service)
        variants = {round_.known_as(variant): variant for variant in round_.running}
        wanted = Wanted(round_.plan.backend, variants, self.share(service), epoch)
        try:
            running = self._mirrors[service].mirror(wanted)
        except StageRefusedError as error:
            if round_.over:
                self._left.pop(service)  # another leader's, by now
            self.give_back(service, str(error), now_s)
        except StageError as error:
            log.warning("%s: the stage cannot be told of its variants: %s", service, error)
            if round_.over and abs(now_s - self._left[service]) > self._mirrors[service].lets_go_s:
                self._left.pop(service)  # by now it has let go by itself
        else:
            if round_.over and not running:
                self._left.pop(service)
            elif watch and not round_.over:
                watch.heard(round_, running)

    def _record(self, round_: Round, now_s: float) -> Round:
        service = round_.plan.service
        body = {"service": service, "round": pack(round_), "event": str(round_)}
        self._journal.append(KIND, body, now_s)
        self._rounds[service] = round_
        self._left[service] = now_s
        return round_
