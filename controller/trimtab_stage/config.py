"""What a stage is made of, and the demonstration that `trimtab up` starts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from trimtab_sim.profile import BackendProfile, Profile
from trimtab_sim.traces import shipped_traces

# What the kernel takes for a Unix socket, bytes; replicas add their names to the directory's path.
SOCKET_PATH_MAX = 107


class StageError(Exception):
    """The stage cannot start or go on; the message says what is wrong and what to do."""


@dataclass(frozen=True, slots=True)
class StageConfig:
    """One service, its load and the rule underneath.

    ``trace`` is replayed at ``speed`` trace seconds per second from ``start_s`` (None: so that
    its peak comes after 130 s), scaled to at most ``peak_rps`` within the first three minutes.
    ``hpa_target`` is the utilisation that the HPA holds, its windows divided by ``speed``.
    ``port`` 0 picks a free one. ``directory`` (None: a fresh temporary one) holds sockets and
    logs; ``socket`` (None: ``stage.sock`` there) is where `trimtab.v1.Stage` is served. A replica
    that holds more than ``memory_limit_mib`` is killed.
    """

    profile: Profile
    trace: Path
    speed: float = 60.0
    start_s: float | None = None
    peak_rps: float = 600.0
    hpa_target: float = 0.85
    initial_replicas: int = 2
    port: int = 10000
    directory: Path | None = None
    socket: Path | None = None
    seed: int = 1
    memory_limit_mib: float = 64.0

    def __post_init__(self) -> None:
        for name in ("speed", "peak_rps", "hpa_target", "memory_limit_mib"):
            if not 0 < getattr(self, name) < float("inf"):
                raise StageError(f"{name} is {getattr(self, name)}: give a positive number")
        if self.start_s is not None and not 0 <= self.start_s < float("inf"):
            raise StageError(f"start_s is {self.start_s}: give seconds into the trace, 0 or more")
        if not 0 <= self.port <= 65535:
            raise StageError(f"port is {self.port}: give 1 to 65535, or 0 for any free one")


def _backend(name: str, price: float, startup_mean_s: float) -> BackendProfile:
    return BackendProfile(name, price=price, startup_mean_s=startup_mean_s, max_replicas=12)


DEMO = StageConfig(
    profile=Profile(
        name="web",
        backends=(_backend("on-demand", 1.0, 2.0), _backend("spot", 0.4, 5.0)),
    ),
    trace=shipped_traces()["worldcup98_group_60s"],
)
