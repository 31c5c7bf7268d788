"""The sentence that tells a human the numbers behind a proposal."""

from __future__ import annotations

from datetime import datetime
from functools import lru_cache
from math import isnan

# A load that changes by less than this share stays as it is.
ALIKE = 0.05


def sentence(
    load_rps: float,
    demand_rps: float,
    due_s: float,
    ready: int,
    ready_rps: int,
    wanted: int,
    replicas: int,
    replicas_rps: int,
) -> str:
    """Where a service's load goes, what is there for it, and what is wanted.

    ``demand_rps`` is the load to be ready for by ``due_s``, when what is started now serves.
    ``ready`` replicas carry ``ready_rps`` at most; ``wanted`` were asked for before, and the
    ``replicas`` that are asked for now carry ``replicas_rps``. All in requests per second.
    """
    carries = "replica carries" if ready == 1 else "replicas carry"
    if replicas == wanted:
        wish = f"keep {replicas}"
    else:
        wish = f"{_change(replicas - wanted)}: {replicas} carry {replicas_rps}"
    outlook = _outlook(load_rps, demand_rps, _clock(int(due_s)))
    return f"{outlook}, {ready} ready {carries} {ready_rps}; {wish}"


def _outlook(load_rps: float, demand_rps: float, due: str) -> str:
    if demand_rps > (1.0 + ALIKE) * load_rps:
        return f"load {load_rps:.0f} rps may rise to {demand_rps:.0f} by {due}"
    if demand_rps < (1.0 - ALIKE) * load_rps:
        return f"load {load_rps:.0f} rps falls to {demand_rps:.0f} by {due}"
    # A load that was not measured is not a load of zero.
    if isnan(load_rps):
        return f"load not measured, sized for {demand_rps:.0f} rps until {due}"
    return f"load stays near {load_rps:.0f} rps until {due}"


def _change(more: int) -> str:
    return f"{more} more" if more > 0 else f"{-more} fewer"


@lru_cache(64)
def _clock(time_s: int) -> str:
    """Time of day: made once for the thousands of services that share it."""
    return f"{datetime.fromtimestamp(time_s):%H:%M:%S}"
