"""What a server's work costs, and what an answer that comes too late costs."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

from trimtab_agents.tune_postgres.settings import Settings
from trimtab_agents.tune_postgres.workload import Seen

HOUR_S = 3600.0
# AWS Fargate's list prices (Linux on x86, US East, 2026).
CPU_HOUR, GB_HOUR = 0.04048, 0.004445


@dataclass(frozen=True, slots=True)
class Price:
    """Dollars an hour for a CPU and for a GB of memory; late_price: extra for a late answer."""

    cpu_hour: float = CPU_HOUR
    gb_hour: float = GB_HOUR
    late_price: float = 10.0

    def cents_per_million(self, settings: Settings, seen: Seen) -> float:
        """Of transactions, on a server that is kept busy.

        By Little's law so many clients, who wait so long for each answer, get clients / latency of
        them a second. A late answer costs as much as ``1 + late_price`` in time; ``inf`` while
        there are none.
        """
        if not seen.answers:
            return inf
        hour = settings.cpus * self.cpu_hour + settings.memory_mb / 1024.0 * self.gb_hour
        each = hour / HOUR_S * seen.latency_s / settings.clients
        return each * (1.0 + self.late_price * seen.late) * 1e8
