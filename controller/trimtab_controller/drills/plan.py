"""A drill as its file has it: what should hold, what is broken when, and how far that may go.

The classes are the file's schema; examples/drills has some to begin with.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Annotated

from trimtab_guard.blast import Strike
from trimtab_guard.limits import DrillLimits
from trimtab_sim.schema import ConfigError, Count, NotNegative, Positive, Range, parse, read_file

# More than that is no drill that anybody could follow.
MOST_FAULTS = 20
LONGEST_RECOVERY_S = 3600.0


class Fault(StrEnum):
    """What can be broken."""

    # Of replicas.
    KILL = "kill"
    SLOW = "slow"
    PARTITION = "partition"
    # For all requests.
    STOP_PROXY = "stop-proxy"
    # Between trimtab and the stage: it sees and writes nothing.
    CUT_STAGE = "cut-stage"
    # Between the sensor and trimtab.
    NAN_METRICS = "nan-metrics"
    FROZEN_METRICS = "frozen-metrics"
    LATE_METRICS = "late-metrics"
    NO_METRICS = "no-metrics"

    @property
    def of_replicas(self) -> bool:
        """Whether it is some replicas of a backend that it is on."""
        return self in (Fault.KILL, Fault.SLOW, Fault.PARTITION)

    @property
    def of_stage(self) -> bool:
        """Whether the stage breaks it, and not this process."""
        return self.of_replicas or self is Fault.STOP_PROXY


@dataclass(frozen=True, slots=True)
class Steady:
    """What holds while all is well: no more requests miss, in every tick of so many seconds."""

    miss_share: Annotated[float, Range(least=0.0, most=1.0)]
    for_s: Positive = 5.0
    p95_ms: Positive = 1e9


@dataclass(frozen=True, slots=True)
class Injection:
    """One fault, from ``at_s`` seconds after the first one on, for ``for_s``.

    ``factor`` is how much slower, and ``late_s`` how late; metrics are those of a ``backend``, or
    all. A kill is over when it is done.
    """

    fault: Fault
    at_s: NotNegative = 0.0
    for_s: NotNegative = 0.0
    backend: str = ""
    replicas: Count = 1
    factor: Annotated[float, Range(least=1.0, most=1000.0)] = 5.0
    late_s: Positive = 10.0

    def __post_init__(self) -> None:
        if self.fault.of_replicas and not self.backend:
            raise ValueError(f"backend: is missing: whose replicas are to be hit by {self.fault}?")
        if self.fault is Fault.KILL and self.for_s:
            raise ValueError("for_s: a kill is over at once: leave it out")
        if self.fault is not Fault.KILL and not self.for_s:
            raise ValueError(f"for_s: is missing: for how many seconds shall {self.fault} last?")

    @property
    def strike(self) -> Strike:
        """What the guard judges."""
        replicas = self.replicas if self.fault.of_replicas else 0
        return Strike(self.backend, replicas, self.for_s, self.fault is Fault.STOP_PROXY)

    def __str__(self) -> str:
        what = f"{self.fault}"
        if self.fault.of_replicas:
            what += f" {self.replicas} of {self.backend}"
        elif self.backend:
            what += f" of {self.backend}"
        if self.fault is Fault.SLOW:
            what += f", {self.factor:g} times slower"
        if self.fault is Fault.LATE_METRICS:
            what += f", by {self.late_s:g} s"
        return what + (f", for {self.for_s:g} s" if self.for_s else "")


@dataclass(frozen=True, slots=True)
class Plan:
    """A whole file. It must be steady again within ``recover_s`` of the end of the last fault."""

    drill: str
    service: str
    steady: Steady
    faults: tuple[Injection, ...]
    about: str = ""
    recover_s: Annotated[float, Range(most=LONGEST_RECOVERY_S, above=0.0)] = 60.0
    blast: DrillLimits = field(default_factory=DrillLimits)

    def __post_init__(self) -> None:
        if not self.drill.strip():
            raise ValueError("drill: is empty: give it a name")
        if len(self.faults) > MOST_FAULTS:
            raise ValueError(f"faults: {len(self.faults)} are too many, the most is {MOST_FAULTS}")

    def __str__(self) -> str:
        return f"drill {self.drill} on {self.service}"


def read(file: Path) -> Plan:
    """Read a file; `ConfigError` names file, line and field."""
    return read_file(file, Plan)


def parsed(text: str) -> Plan:
    """The same of what was sent; ``ValueError`` names line and field."""
    try:
        return parse(text, Path("drill"), Plan)
    except ConfigError as error:
        raise ValueError(str(error)) from error
