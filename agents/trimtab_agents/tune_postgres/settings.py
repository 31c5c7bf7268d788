"""What can be set on a PostgreSQL server, its pool of connections and its allowance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

from trimtab_agents.search import Choice, Dial, Space
from trimtab_agents.tune_postgres.allowance import Allowance

CPUS, MEMORY_MB, CLIENTS = (0.25, 0.5, 1.0), (256, 512, 1024), (2, 4, 8)
# The same for every size. Nothing here is paid for with durability.
SAFE = {
    "shared_buffers_percent": Dial((25, 40)),
    "work_mem_mb": Dial((4, 32)),
    "random_page_cost": Dial((4.0, 1.1)),
    "long_queries": Dial(("parallel, jit", "plain"), ordered=False),
}


@dataclass(frozen=True, slots=True)
class Settings:
    """One choice; the defaults are PostgreSQL's, in so much memory as makes 25 % its 128 MB.

    clients: connections that ask at once; shared_buffers_percent: of its memory; long_queries:
    whether those that the planner takes for long get two workers beside them and are compiled
    (PostgreSQL's default), or neither.
    """

    cpus: float = 1.0
    memory_mb: int = 512
    clients: int = 8
    shared_buffers_percent: int = 25
    work_mem_mb: int = 4
    random_page_cost: float = 4.0
    long_queries: str = "parallel, jit"

    @classmethod
    def of(cls, choice: Choice) -> Self:
        """A choice of the search's."""
        values: dict[str, Any] = dict(choice)
        return cls(**values)

    @property
    def choice(self) -> dict[str, Any]:
        """For the search."""
        return asdict(self)

    @property
    def allowance(self) -> Allowance:
        """What the server may use."""
        return Allowance(self.cpus, self.memory_mb)

    @property
    def configuration(self) -> dict[str, str]:
        """As in postgresql.conf. The planner is told of three quarters of the memory as cache."""
        plain = self.long_queries == "plain"
        return {
            "shared_buffers": f"{self.memory_mb * self.shared_buffers_percent // 100}MB",
            "effective_cache_size": f"{self.memory_mb * 3 // 4}MB",
            "work_mem": f"{self.work_mem_mb}MB",
            "random_page_cost": f"{self.random_page_cost:g}",
            "jit": "off" if plain else "on",
            "max_parallel_workers_per_gather": "0" if plain else "2",
        }


def space(
    cpus: Sequence[float] = CPUS,
    memory_mb: Sequence[int] = MEMORY_MB,
    clients: Sequence[int] = CLIENTS,
) -> Space:
    """Every choice among these sizes, each from least to most."""
    sizes = {"cpus": cpus, "memory_mb": memory_mb, "clients": clients}
    return Space({name: Dial(tuple(sorted(values))) for name, values in sizes.items()} | SAFE)


def usual(sizes: Space) -> Settings:
    """A new server's settings: all CPUs and clients to choose from, and the middling memory."""
    cpus, memory, clients = (sizes.dials[n].values for n in ("cpus", "memory_mb", "clients"))
    middle = memory[len(memory) // 2]
    return Settings.of({"cpus": cpus[-1], "memory_mb": middle, "clients": clients[-1]})
