"""What a drill has broken: real faults of real replicas, each of which ends by itself.

Nothing here lasts: whoever breaks something asks for it again and again. When the lease ends, or
something else is asked for, it is undone; so a daemon that was killed leaves no fault behind.
"""

from __future__ import annotations

import asyncio
import logging
from asyncio import TimerHandle
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import chain

from trimtab_stage.envoy import Envoy
from trimtab_stage.fleet import Phase, Replica, ReplicaSet, ask
from trimtab_stage.mirrors import LONGEST_LEASE_S
from trimtab_stage.spec import InvalidAskError

log = logging.getLogger(__name__)

SLOWEST = 1000.0
MOST_FAULTS = 20


class Kind(StrEnum):
    """What can be broken."""

    # A replica's process ends, without draining.
    KILL = "kill"
    # A replica takes several times as long.
    SLOW = "slow"
    # A replica keeps its connections, and hears and says nothing.
    PARTITION = "partition"
    # Envoy is gone, and does not come back.
    STOP_PROXY = "stop-proxy"


@dataclass(frozen=True, slots=True)
class Fault:
    """``replicas`` of a ``backend``; ``factor`` is of what is slow. The ``id`` tells it apart."""

    id: str
    kind: Kind
    backend: str = ""
    replicas: int = 0
    factor: float = 1.0


class Faults:
    """Everything that is broken on purpose now."""

    def __init__(self, backends: Mapping[str, ReplicaSet], envoy: Envoy) -> None:
        self._backends = backends
        self._envoy = envoy
        self._faults: Mapping[str, Fault] = {}
        # Whom each one hit, also the killed ones: what has the same id is not done twice.
        self._hit: dict[str, list[Replica]] = {}
        self._end: TimerHandle | None = None

    async def have(self, faults: Sequence[Fault], lease_s: float) -> Mapping[str, tuple[str, ...]]:
        """Break just this for ``lease_s``: by id, the replicas that it is on or has killed.

        `InvalidAskError` changes nothing.
        """
        self._check(faults, lease_s)
        wanted = {fault.id: fault for fault in faults}
        gone = [fault for name, fault in self._faults.items() if name not in wanted]
        self._faults = wanted
        for fault in gone:
            self._undo(fault)
        await asyncio.gather(*(_cut_off(each, 0.0) for each in self._partitioned(gone)))
        for fault in faults:
            if fault.id not in self._hit:
                self._begin(fault)
        await asyncio.gather(*(_cut_off(each, lease_s) for each in self._partitioned(faults)))
        self._lease(lease_s)
        return {fault.id: tuple(self._on(fault)) for fault in faults}

    def _lease(self, lease_s: float) -> None:
        if self._end:
            self._end.cancel()
        loop = asyncio.get_running_loop()
        self._end = loop.call_later(lease_s, self._run_out) if self._faults else None

    def _run_out(self) -> None:
        """Nobody has asked again: replicas that are cut off know that themselves."""
        log.warning("nobody has asked again for %s: undone", ", ".join(self._faults))
        faults, self._faults = self._faults, {}
        for fault in faults.values():
            self._undo(fault)

    def _begin(self, fault: Fault) -> None:
        hit = self._hit[fault.id] = self._untouched(fault.backend)[: fault.replicas]
        log.info("%s: %s %s", fault.id, fault.kind, ", ".join(_names(hit)) or "Envoy")
        for replica in hit:
            if fault.kind is Kind.SLOW:
                replica.handicap = fault.factor
            elif fault.kind is Kind.KILL and replica.process:
                replica.process.kill()
        if fault.kind is Kind.STOP_PROXY:
            self._envoy.stop()

    def _undo(self, fault: Fault) -> None:
        for replica in self._hit[fault.id]:
            replica.handicap = 1.0
        if fault.kind is Kind.STOP_PROXY:
            self._envoy.go()

    def _untouched(self, backend: str) -> list[Replica]:
        """Ready ones that no fault is on, the oldest first."""
        if not backend:
            return []
        hit = set(
            chain.from_iterable(self._hit[name] for name in self._faults if name in self._hit)
        )
        ready = (r for r in self._backends[backend].replicas if r.phase is Phase.READY)
        return [replica for replica in ready if replica not in hit]

    def _on(self, fault: Fault) -> list[str]:
        hit = self._hit[fault.id]
        if fault.kind is not Kind.KILL:
            hit = [replica for replica in hit if replica.phase is Phase.READY]
        return _names(hit)

    def _partitioned(self, faults: Sequence[Fault]) -> list[Replica]:
        cut = (self._hit[fault.id] for fault in faults if fault.kind is Kind.PARTITION)
        return list(chain.from_iterable(cut))

    def _check(self, faults: Sequence[Fault], lease_s: float) -> None:
        if not 0.0 < lease_s <= LONGEST_LEASE_S:
            raise InvalidAskError(f"lease_s {lease_s:g}: ask for at most {LONGEST_LEASE_S:g}")
        if len(faults) > MOST_FAULTS:
            raise InvalidAskError(f"{len(faults)} faults: ask for {MOST_FAULTS} at most")
        if len({fault.id for fault in faults}) < len(faults):
            raise InvalidAskError("two faults have the same id")
        for fault in faults:
            self._check_fault(fault)

    def _check_fault(self, fault: Fault) -> None:
        if fault.kind is not Kind.STOP_PROXY and fault.backend not in self._backends:
            known = ", ".join(self._backends)
            raise InvalidAskError(f"unknown backend {fault.backend!r}: the stage has {known}")
        if not 1 <= fault.factor <= SLOWEST:
            raise InvalidAskError(
                f"factor {fault.factor:g} is out of bounds: give 1 to {SLOWEST:g}"
            )


async def _cut_off(replica: Replica, lease_s: float) -> None:
    """A replica that is already gone cannot be cut off, nor need it be brought back."""
    await ask(replica.socket, f"PUT /deaf/{lease_s!r}")


def _names(replicas: Sequence[Replica]) -> list[str]:
    return [replica.socket.stem for replica in replicas]
