"""What the loop and the API share, under one lock: who may do what, and the latest ticks."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from trimtab_controller.approvals import Approvals
from trimtab_controller.canary.canaries import Canaries
from trimtab_controller.config import ServiceConfig
from trimtab_controller.drills.drills import Drills
from trimtab_controller.experiments import Experiments
from trimtab_controller.foresight.foresight import Foresight
from trimtab_controller.mandate import Mandate
from trimtab_controller.memory import Memory, TickRecord
from trimtab_controller.protocols import Clock
from trimtab_controller.variants.rounds import Rounds
from trimtab_guard.authority import Lease, Standing
from trimtab_guard.limits import ClusterLimits


@dataclass(frozen=True, slots=True)
class Status:
    """One service as humans see it: its last tick, and what holds now.

    A command that came after the tick counts here at once.
    """

    tick: TickRecord
    policy: str
    standing: Standing
    lease: Lease
    stopped: bool
    pending: int
    config_error: str


class Board:
    """Hold ``lock`` to read or change ``mandate``, ``approvals`` and the ``cluster``'s limits.

    ``canaries`` are the trials of new versions, ``rounds`` those of variants; with ``drills``
    things fail on purpose; ``config_error`` is why a changed configuration is not followed;
    ``memories`` are the services' pasts, for whoever only looks; ``foresight`` tells what they may
    come to, where anybody looks ahead.

    The loop holds it from gating to the last write of a tick, so that a command that has
    returned is obeyed by every later write. ``bell`` is called after every tick, and ``followers``
    with its records; they must not wait.
    """

    def __init__(
        self,
        mandate: Mandate,
        approvals: Approvals,
        canaries: Canaries,
        rounds: Rounds,
        drills: Drills,
        cluster: ClusterLimits,
        clock: Clock,
        foresight: Foresight | None = None,
    ) -> None:
        self.lock = threading.Condition()
        self.mandate = mandate
        self.approvals = approvals
        self.canaries = canaries
        self.rounds = rounds
        self.drills = drills
        self.cluster = cluster
        self.foresight = foresight
        self.config_error = ""
        self.memories: dict[str, Memory] = {}
        self.bell: Callable[[], object] = lambda: None
        self.followers: list[Callable[[Sequence[TickRecord]], object]] = []
        self._clock = clock
        self._ticks: dict[str, TickRecord] = {}
        self._policy = ""
        self._count = 0

    def keep_time(self, now_s: float) -> None:
        """Remember a stop that came from outside, and how services are; end what is over."""
        self.mandate.keep(now_s)
        self.approvals.expire(now_s)
        if self.foresight:
            self.foresight.keep(now_s)

    def publish(self, ticks: Sequence[TickRecord], policy: str) -> None:
        """Show a tick of ``policy`` to everybody who watches."""
        with self.lock:
            self._ticks, self._policy = {tick.service: tick for tick in ticks}, policy
            self._count += 1
            self.lock.notify_all()
        self.bell()
        for follow in self.followers:
            follow(ticks)

    @property
    def configs(self) -> Mapping[str, ServiceConfig]:
        """The services by name, as the configuration has them now."""
        return self.mandate.configs

    @property
    def stopped(self) -> bool:
        """Whether nothing may be written."""
        return self.mandate.stopped

    def tick(self, service: str) -> TickRecord | None:
        """A service's latest tick, with the counts as they are after it.

        Takes no lock, so that a hanging write keeps nobody from it.
        """
        tick = self._ticks.get(service)
        return self._counted(tick) if tick else None

    def latest(self, service: str = "") -> tuple[int, list[Status]]:
        """The latest tick's number, and the statuses of one service, or of all."""
        with self.lock:
            now_s = self._clock()
            pending = Counter(envelope.service for envelope in self.approvals.pending(now_s))
            names = self._ticks.keys() & {service} if service else self._ticks
            return self._count, [self._status(name, pending[name], now_s) for name in names]

    @property
    def experiments(self) -> Sequence[Experiments]:
        """All kinds."""
        return (self.canaries, self.rounds, self.drills)

    def busy(self, service: str) -> str:
        """Which experiment a service has, and how to end it; of all kinds it has one at most."""
        return next(filter(None, (kind.busy(service) for kind in self.experiments)), "")

    def give_back(self, service: str, why: str, now_s: float) -> None:
        """End the experiment that runs on a service, if any does."""
        for kind in self.experiments:
            kind.give_back(service, why, now_s)

    def _counted(self, tick: TickRecord) -> TickRecord:
        memory = self.memories.get(tick.service)
        if memory is None:
            return tick
        return tick._replace(decisions=memory.decisions, actions=memory.actions)

    def _status(self, service: str, pending: int, now_s: float) -> Status:
        return Status(
            tick=self._counted(self._ticks[service]),
            policy=self._policy,
            standing=self.mandate.standing(service, now_s),
            lease=self.mandate.lease(service),
            stopped=self.mandate.stopped,
            pending=pending,
            config_error=self.config_error,
        )
