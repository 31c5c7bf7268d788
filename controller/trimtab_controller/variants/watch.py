"""One round as it goes: until its variants are ready, while they settle, and what they answer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from trimtab_controller.protocols import StageReport
from trimtab_controller.variants.mirror import Running
from trimtab_controller.variants.plan import Variant
from trimtab_controller.variants.round import LIVE, Result, Round, Step
from trimtab_controller.variants.sight import Look, Looks, goes_on, measured, rate_rps

# A share is left as it is until it is so far from what it should be: every change is one for Envoy.
OFF = 0.1
# How much of the present load one look is.
NEWS = 0.3


@dataclass(slots=True)
class Watch:
    """What is seen of a round, which is lost when the daemon ends.

    ``running`` are the variants as they were last, by the stage's names, ``share`` what each
    should get of the requests. The service itself has ``wanted`` of the backend's replicas, and
    ``most`` is how many both may have. Results are what was counted between ``first``, once the
    variants have settled, and ``last``.
    """

    slo_s: float
    most: int
    looks: Looks
    running: Mapping[str, Running] = field(default_factory=dict)
    share: float = 0.0
    service_rps: float = 0.0
    wanted: int = 0
    ready: bool = False
    copied_s: float | None = None
    first: Look | None = None
    last: Look | None = None
    _live: list[int] = field(default_factory=list)
    _ended: dict[str, Result] = field(default_factory=dict)

    def look(self, round_: Round, report: StageReport, now_s: float) -> None:
        """Read what was answered; what cannot be read is left for the next time."""
        live = next((each for each in report.backends if each.name == round_.plan.backend), None)
        seen = self.looks(report, [each.cluster for each in self.running.values()], now_s)
        if seen is None or live is None or (self.last and seen.reads == self.last.reads):
            return  # also where an old answer came again
        self.wanted = live.wanted + live.draining
        if self.last and not goes_on(self.last, seen):
            self.first = None  # from here on, once more
        elif self.last:
            self._steer(round_, rate_rps(self.last, seen))
            self._live.append(live.ready)
        self.last = seen
        if self.copied_s is None and self._copied(round_, seen):
            self.copied_s = seen.time_s
        if self.first is None and self._settled(round_, seen.time_s):
            self.first, self._live = seen, []

    def heard(self, round_: Round, running: Sequence[Running]) -> None:
        """What the stage says of them; once all are ready, the copies begin."""
        self.running = {each.name: each for each in running}
        ready = {each.name: each.ready for each in running}
        if all(ready.get(round_.known_as(v), 0) >= v.replicas for v in round_.running):
            self.ready = True

    def end(self, round_: Round, names: Iterable[str]) -> None:
        """Keep what was found of variants that end before the others."""
        for variant in round_.plan.variants:
            if variant.name in names:
                self._ended[variant.name] = replace(self._of(variant, round_), step=Step.ENDED)

    def results(self, round_: Round) -> tuple[Result, ...]:
        """What is known of the live backend and of each variant."""
        plan = round_.plan
        live = self._result(LIVE, plan.backend)
        replicas = sum(self._live) / len(self._live) if self._live else 0.0
        variants = [self._of(each, round_) for each in plan.variants]
        return (replace(live, replicas=replicas), *variants)

    def _of(self, variant: Variant, round_: Round) -> Result:
        if ended := self._ended.get(variant.name):
            return ended
        known = self.running.get(round_.known_as(variant))
        found = self._result(variant.name, known.cluster if known else "")
        found = replace(found, replicas=variant.replicas, crashed=known.crashed if known else 0)
        enough = found.requests >= round_.plan.requests
        return replace(found, step=Step.MEASURED) if enough else found

    def _result(self, name: str, cluster: str) -> Result:
        first, last = self.first, self.last
        if first and last and cluster in first.totals and cluster in last.totals:
            seconds = last.time_s - first.time_s
            return measured(name, first.totals[cluster], last.totals[cluster], seconds, self.slo_s)
        return Result(name, Step.SETTLING if self.copied_s is not None else Step.STARTING)

    def _settled(self, round_: Round, now_s: float) -> bool:
        return self.copied_s is not None and now_s - self.copied_s >= round_.plan.settle_s

    def _copied(self, round_: Round, seen: Look) -> bool:
        """Whether every variant has got something."""
        running = (self.running.get(round_.known_as(variant)) for variant in round_.running)
        totals = [seen.totals.get(each.cluster) if each else None for each in running]
        return all(each and (each.answers or each.active) for each in totals)

    def _steer(self, round_: Round, service_rps: float) -> None:
        """Follow the load with the share; nothing is copied before all are ready."""
        self.service_rps += (
            NEWS * (service_rps - self.service_rps) if self.service_rps else service_rps
        )
        share = round_.plan.share(self.service_rps) if self.ready else 0.0
        if abs(share - self.share) > OFF * self.share:
            self.share = share
