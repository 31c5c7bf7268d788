"""The benchmark from end to end, and its result."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from trimtab_controller.rpc_bench import calls, watchers
from trimtab_controller.rpc_bench.calls import Versus
from trimtab_controller.rpc_bench.serving import api, child, echo
from trimtab_controller.rpc_bench.ticks import Pace, measured

# What must hold: at most, but for the watchers.
BARS = {
    "recommend_p50_ratio": 1.5,
    "inference_10k_ms": 100.0,
    "tick_10k_ms": 1000.0,
    "watchers": 500.0,
}

Told = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Result:
    """Calls in a row and calls that are each decided anew, watchers, and ticks of many services."""

    repeated: list[Versus]
    decided: list[Versus]
    watchers: int
    pace: Pace
    services: int

    def as_json(self) -> dict[str, Any]:
        """Ratios are of the worse concurrency; milliseconds are the processor's."""
        p50, p99 = (max(ratio) for ratio in zip(*(v.ratios for v in self.repeated), strict=True))
        decided = max(versus.ratios[0] for versus in self.decided)
        busiest = self.repeated[-1]
        return {
            "recommend_p50_ratio": round(p50, 2),
            "recommend_p99_ratio": round(p99, 2),
            "recommend_added_cpu_us": round(busiest.recommend.cpu_us - busiest.echo.cpu_us, 1),
            "recommend_rps": round(busiest.recommend.rps),
            "inference_10k_ms": round(1e3 * median(self.pace.inference_s), 1),
            "tick_10k_ms": round(1e3 * median(self.pace.tick_s), 1),
            "watchers": self.watchers,
            "recommend_decided_p50_ratio": round(decided, 2),
            "recommend_decided_rps": round(self.decided[-1].recommend.rps),
            "tick_10k_wall_ms": round(1e3 * median(self.pace.wall_s), 1),
            "services": self.services,
        }

    def missed(self) -> list[str]:
        """The bars that are not met."""
        found = self.as_json()
        return [
            name
            for name, bar in BARS.items()
            if (found[name] < bar if name == "watchers" else found[name] > bar)
        ]


def bench(services: int, ticks: int, told: Told) -> Result:
    """Measure everything, one part after the other; it takes some minutes."""
    with TemporaryDirectory(prefix="trimtab-rpc-") as name:
        folder = Path(name)
        with child(api, folder) as daemon:
            with child(echo, folder) as plain:
                told("Recommend beside an echo")
                repeated = asyncio.run(calls.compare(daemon, plain, always=False))
                told("Recommend beside an echo, every call another tick")
                decided = asyncio.run(calls.compare(daemon, plain, always=True))
            told("watchers")
            watching = asyncio.run(watchers.most(daemon))
        told(f"ticks of {services} services")
        (folder / "many").mkdir()
        pace = measured(folder / "many", services, ticks)
    return Result(repeated, decided, watching, pace, services)
