"""One service's objects as they are now, and what follows from them alone.

The version that a write is based on names the fields that trimtab owns and who wrote them: an
autoscaler's status changes all the time, and that is nobody's business.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from math import ceil, fsum

from trimtab_controller.config import BackendSpec
from trimtab_controller.kubernetes.kinds import Resource
from trimtab_controller.kubernetes.objects import (
    Autoscaler,
    Budget,
    Kept,
    Labels,
    Meta,
    Phase,
    Pod,
    Route,
    Weight,
    Workload,
    Writer,
)
from trimtab_controller.kubernetes.spec import Acting, TargetSpec
from trimtab_controller.protocols import WRITER, BackendReport, StageError, StageReport
from trimtab_guard.authority import NO_EPOCH, Epoch


@dataclass(frozen=True, slots=True)
class Owned:
    """A ``thing`` with a field of trimtab's, and what is in that now.

    ``claimed``: whoever takes the field over has changed something, whatever its value.
    """

    thing: str
    meta: Meta
    value: object
    writers: tuple[Writer, ...]
    claimed: bool = True

    @property
    def digest(self) -> object:
        """What makes it another than it was."""
        names = sorted({writer.name for writer in self.writers}) if self.claimed else ()
        return self.meta.uid, self.value, names


@dataclass(frozen=True, slots=True)
class Group:
    """One backend: its target, its pods and the autoscaler underneath."""

    spec: BackendSpec
    target: TargetSpec
    resource: Resource
    workload: Workload
    pods: Sequence[Pod]
    autoscaler: Autoscaler | None
    disruption_min: int = 0

    @property
    def service(self) -> str:
        """The name of the Service that a route sends to."""
        return self.spec.service or self.target.name

    @property
    def labels(self) -> Labels:
        """The labels of its pods, as long as there are any."""
        return self.pods[0].labels if self.pods else {}

    @property
    def floor(self) -> int:
        """The field that trimtab owns."""
        scaler = self.autoscaler if self.spec.act is Acting.FLOOR else None
        return scaler.least if scaler else self.workload.replicas

    @property
    def wanted(self) -> int:
        """The replicas asked for: an autoscaler follows its floor a moment later, if it is on."""
        replicas = self.workload.replicas
        return max(replicas, self.floor) if replicas else 0

    @property
    def owned(self) -> Iterator[Owned]:
        """The object with that field, if it is there."""
        if self.spec.act is Acting.SCALE:
            load = self.workload
            yield Owned(str(self.target), load.meta, load.replicas, load.writers)
        elif self.autoscaler:
            own = self.autoscaler
            thing = f"HorizontalPodAutoscaler {own.meta.name}"
            yield Owned(thing, own.meta, own.least, own.writers)

    def after(self, kept: Kept) -> Group:
        """The same with another state of one of its objects."""
        if isinstance(kept, Workload) and kept.meta.uid == self.workload.meta.uid:
            return replace(self, workload=kept)
        scaler = self.autoscaler
        if isinstance(kept, Autoscaler) and scaler and kept.meta.uid == scaler.meta.uid:
            return replace(self, autoscaler=kept)
        return self

    def report(self, share: float) -> BackendReport:
        """The backend with its ``share`` of the route."""
        phases = Counter(pod.phase for pod in self.pods)
        return BackendReport(
            name=self.spec.name,
            wanted=self.wanted,
            starting=phases[Phase.STARTING],
            ready=phases[Phase.READY],
            draining=phases[Phase.DRAINING],
            floor=self.floor,
            weight=share,
            disruption_min=self.disruption_min,
        )

    @property
    def stuck(self) -> str:
        """How many pods no node takes, and why; empty when there are none."""
        waiting = (pod for pod in self.pods if pod.phase is Phase.STARTING)
        why = [pod.unschedulable for pod in waiting if pod.unschedulable]
        if not why:
            return ""
        return f"Unschedulable: {self.spec.name}: {len(why)} pods wait for a node: {why[0]}"


@dataclass(frozen=True, slots=True)
class Scene:
    """All of a service at ``time_s``.

    ``barred`` is why nothing may be written to it, ``fault`` why the sight of it grows old.
    """

    namespace: str
    time_s: float
    groups: tuple[Group, ...]
    route: Route | None
    barred: str = ""
    fault: str = ""

    @property
    def owned(self) -> tuple[Owned, ...]:
        """Every object that trimtab writes to."""
        floors = tuple(owned for group in self.groups for owned in group.owned)
        if not self.route:
            return floors
        weights = tuple((each.service, each.weight) for each in self.weights)
        # All rules are one field: who changes a filter takes it over, and moves no weight.
        route = Owned(
            f"HTTPRoute {self.route.meta.name}",
            self.route.meta,
            weights,
            self.route.writers,
            claimed=False,
        )
        return (*floors, route)

    @property
    def weights(self) -> tuple[Weight, ...]:
        """The places in the route that send to these backends."""
        services = {group.service for group in self.groups}
        found = self.route.weights if self.route else ()
        return tuple(each for each in found if each.service in services)

    @property
    def version(self) -> str:
        """Names the owned fields as they are."""
        return sha256(repr([each.digest for each in self.owned]).encode()).hexdigest()[:16]

    @property
    def epoch(self) -> Epoch:
        """The newest leadership that any of the objects was written under."""
        return max((each.meta.epoch for each in self.owned), default=NO_EPOCH)

    @property
    def writer(self) -> str:
        """Who wrote an owned field last; trimtab only where nobody else can have."""
        for group in self.groups:
            if group.spec.act is Acting.FLOOR and not group.autoscaler:
                return f"whoever changed the autoscalers of {group.target}"
        last = [
            (writer.time, writer.name != WRITER, writer.name, owned.thing)
            for owned in self.owned
            for writer in owned.writers
        ]
        if not last:
            return ""
        _, foreign, name, thing = max(last)
        return f"{name} on {thing}" if foreign else WRITER

    def after(self, kept: Kept) -> Scene:
        """The same with another state of one of its objects: what a write of ours makes of it.

        What others changed meanwhile is not in it, and so not taken for ours.
        """
        if isinstance(kept, Route):
            return replace(self, route=kept)
        return replace(self, groups=tuple(group.after(kept) for group in self.groups))

    def carries(self, request_id: str) -> bool:
        """Whether a write of this request has arrived."""
        return any(each.meta.request_id == request_id for each in self.owned)

    def report(self) -> StageReport:
        """What the loop is told; `StageError` when the route's rules contradict each other."""
        shares = self.shares()
        return StageReport(
            time_s=self.time_s,
            version=self.version,
            writer=self.writer,
            metrics="",
            epoch=self.epoch,
            rollout=any(group.workload.rolling for group in self.groups),
            backends=tuple(group.report(shares[group.service]) for group in self.groups),
            barred=self.barred,
            warning="; ".join(
                each for each in (self.fault, *(group.stuck for group in self.groups)) if each
            ),
        )

    def shares(self) -> Mapping[str, float]:
        """The share of the route by Service."""
        services = [group.service for group in self.groups]
        if not self.route:
            return dict.fromkeys(services, 1.0)
        found = [_shares(rule, services) for rule in self._rules()]
        if not (found and found[0] and all(shares == found[0] for shares in found)):
            raise StageError(
                f"Invalid: HTTPRoute {self.route.meta.name}: each rule that sends to one of "
                f"{', '.join(services)} must send to all of them, to each once, to nothing else, "
                "and all rules with the same weights"
            )
        return found[0]

    def _rules(self) -> Iterator[list[Weight]]:
        """The weights of each rule that has to do with these backends."""
        assert self.route  # noqa: S101  # for mypy: the caller has looked
        for rule in sorted({each.rule for each in self.weights}):
            yield [each for each in self.route.weights if each.rule == rule]


def _shares(rule: Sequence[Weight], services: Sequence[str]) -> Mapping[str, float] | None:
    """The shares of one rule; ``None`` when it does not send to just these ``services``."""
    if sorted(each.service for each in rule) != sorted(services):
        return None
    total = fsum(each.weight for each in rule)
    return {each.service: each.weight / total if total else 0.0 for each in rule}


def protected(groups: Sequence[Group], budgets: Collection[Budget]) -> Iterator[Group]:
    """The groups with what ``budgets`` need of each: its part of what they all have."""
    for group in groups:
        least = max((_part(group, groups, budget) for budget in budgets), default=0)
        yield replace(group, disruption_min=least)


def _part(group: Group, groups: Sequence[Group], budget: Budget) -> int:
    covered = [each for each in groups if _covers(budget, each)]
    if group not in covered:
        return 0
    total = sum(each.wanted for each in covered)
    return ceil(budget.least * group.wanted / total) if total else 0


def _covers(budget: Budget, group: Group) -> bool:
    return bool(group.pods and budget.selector and budget.selector.picks(group.labels))
