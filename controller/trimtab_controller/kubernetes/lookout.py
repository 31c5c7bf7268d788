"""Finds a service's objects among all that is watched, and says how old the sight of them is."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

from trimtab_controller.config import BackendSpec, ServiceSpec
from trimtab_controller.kubernetes import kinds
from trimtab_controller.kubernetes.cluster import Cluster
from trimtab_controller.kubernetes.faults import Fault
from trimtab_controller.kubernetes.objects import Budget, Kept, Pod, Selector
from trimtab_controller.kubernetes.owners import pointed, rivals
from trimtab_controller.kubernetes.scene import Group, Scene, protected
from trimtab_controller.kubernetes.spec import TargetSpec
from trimtab_controller.kubernetes.watch import Watch
from trimtab_controller.protocols import StageError

K = TypeVar("K", bound=Kept)

# What is not vital may be this many of its own watches old.
PATIENCE = 3
# A watch ends, and begins anew, after its own time: so long after it, it hangs.
OVERDUE = 1.5


class Lookout:
    """Looks at one service. Its watches are shared with all others of the namespace."""

    def __init__(self, spec: ServiceSpec, cluster: Cluster) -> None:
        assert spec.kubernetes  # noqa: S101  # for mypy: the configuration has checked it
        self.namespace = namespace = spec.kubernetes.namespace
        self._route = spec.kubernetes.route
        self._backends = spec.backends
        self._clock = cluster.clock
        self.targets = {target: cluster.target(target, namespace) for target in _targets(spec)}
        self._pods = cluster.watch(kinds.PODS, namespace)
        self.autoscalers = cluster.watch(kinds.AUTOSCALERS, namespace)
        self.routes = cluster.watch(kinds.ROUTES, namespace) if self._route else None
        self._budgets = cluster.watch(kinds.BUDGETS, namespace)
        self._owners = (
            cluster.watch(kinds.SCALED_OBJECTS, namespace),
            cluster.watch(kinds.VERTICAL_AUTOSCALERS, namespace),
        )

    def look(self) -> Scene:
        """What is, as old as the oldest part; `StageError` while something is not known at all."""
        watches = (*self._vital(), self._budgets, *self._owners)
        self._check_seen(watches)
        groups = [self._group(*each) for each in zip(self._backends, self.targets, strict=True)]
        return Scene(
            self.namespace,
            time_s=min(watch.seen_s for watch in self._vital()),
            groups=tuple(protected(groups, self._covering(groups))),
            route=_named(self.routes, self._route, "HTTPRoute") if self.routes else None,
            barred="; ".join(why for group in groups for why in self._rivals(group)),
            fault=next(filter(None, map(self._trouble, watches)), ""),
        )

    def written(self, kept: Kept) -> None:
        """Keep what a write of ours made of an object: the watch tells it later."""
        for watch in self._vital():
            watch.written(kept)

    async def refreshed(self) -> Scene:
        """What is, asked of the server itself for all that trimtab owns; raises `ApiError`."""
        named: list[tuple[Watch[Any], str]] = []
        for group in self.look().groups:
            if group.autoscaler:
                named.append((self.autoscalers, group.autoscaler.meta.name))
            named.append((self.targets[group.target], group.target.name))
        if self.routes:
            named.append((self.routes, self._route))
        await asyncio.gather(*(watch.refresh(name) for watch, name in named))
        return self.look()

    def _group(self, backend: BackendSpec, target: TargetSpec) -> Group:
        """A backend's objects; the autoscaler only if there is just one."""
        watch = self.targets[target]
        workload = _named(watch, target.name, target.kind)
        if not workload.selector.chooses:
            raise StageError(f"{Fault.INVALID}: {target}: its scale does not say which pods it has")
        assert watch.resource  # noqa: S101  # for mypy: it was seen
        scalers = self.autoscalers.at(pointed(target))
        only = scalers[0] if len(scalers) == 1 else None
        pods = self._picked(workload.selector)
        return Group(backend, target, watch.resource, workload, pods, only)

    def _rivals(self, group: Group) -> Iterator[str]:
        """Why trimtab must not write to a backend."""
        at = pointed(group.target)
        owners = (owner for watch in self._owners for owner in watch.at(at))
        return rivals(group.spec, group.target, self.autoscalers.at(at), owners)

    def _picked(self, selector: Selector) -> list[Pod]:
        """The pods that ``selector`` picks."""
        among = self._pods.at(selector.key) if selector.key else self._pods.all()
        return [pod for pod in among if selector.picks(pod.labels)]

    def _covering(self, groups: Iterable[Group]) -> list[Budget]:
        """The budgets that may cover some of the groups."""
        labels = {label for group in groups for label in group.labels.items()}
        return [budget for label in (None, *labels) for budget in self._budgets.at(label)]

    def _vital(self) -> Iterator[Watch[Any]]:
        yield from self.targets.values()
        yield from (self._pods, self.autoscalers)
        if self.routes:
            yield self.routes

    def _check_seen(self, watches: Iterable[Watch[Any]]) -> None:
        """Everything was listed, and what is not vital is not forgotten."""
        for watch in watches:
            patience_s = math.inf if watch.kind.vital else PATIENCE * watch.for_s
            if not self._clock() - watch.seen_s < patience_s:
                raise StageError(str(watch.fault or f"OutOfSync: {watch} was not seen in time"))

    def _trouble(self, watch: Watch[Any]) -> str:
        """Why a watch cannot be trusted to be up to date, if so; the same words while it lasts."""
        if watch.fault:
            return str(watch.fault)
        silent = self._clock() - watch.seen_s > OVERDUE * watch.for_s
        return f"OutOfSync: {watch} says nothing" if silent else ""


def _targets(spec: ServiceSpec) -> Iterator[TargetSpec]:
    for backend in spec.backends:
        assert backend.target  # noqa: S101  # for mypy: the configuration has checked it
        yield backend.target


def _named(watch: Watch[K], name: str, kind: str) -> K:
    """The object of that name; `StageError` when there is none."""
    if found := watch.objects.get(name):
        return found
    raise StageError(f"{Fault.NOT_FOUND}: {kind} {name} is not in namespace {watch.namespace}")
