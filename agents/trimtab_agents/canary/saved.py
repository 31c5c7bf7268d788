"""The parts of a comparison as JSON and back: a daemon that starts again goes on with them."""

from __future__ import annotations

from collections.abc import Mapping
from math import inf
from typing import Any

import numpy as np

from trimtab_agents.canary.clumps import Clumps
from trimtab_agents.canary.gathered import Gathered
from trimtab_agents.canary.past import Past
from trimtab_agents.canary.reading import Histogram, Side
from trimtab_agents.canary.trust import Seen, Trust
from trimtab_agents.canary.verdict import Reason


def plain(value: Any) -> Any:
    """Dicts, lists, numbers and strings; reasons by name, keys and infinity as text."""
    if isinstance(value, Mapping):
        return {str(key): plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [plain(part) for part in value]
    if isinstance(value, Reason):
        return value.name
    if isinstance(value, float) and value == inf:
        return str(value)
    return value.tolist() if isinstance(value, np.ndarray) else value


def gathered(data: Mapping[str, Any]) -> Gathered:
    """As they were."""
    return Gathered(data["since_s"], data["ticks"], _side(data["old"]), _side(data["new"]))


def _side(data: Mapping[str, Any]) -> Side:
    latency = data["latency"]
    edges_s = tuple(float(edge) for edge in latency["edges_s"])
    return Side(**{**data, "latency": Histogram(edges_s, tuple(latency["counts"]))})


def trust(data: Mapping[str, Any]) -> Trust:
    """As it was."""
    recent = tuple(flaw and Reason[flaw] for flaw in data["recent"])
    return Trust(recent, *(data[side] and Seen(**data[side]) for side in ("old", "new")))


def past(data: Mapping[str, Any]) -> Past:
    """As it was."""
    latency = {float(edge): weight for edge, weight in data["latency"].items()}
    return Past(**{**data, "latency": latency})


def clumps(data: Mapping[str, Any]) -> Clumps:
    """As they were."""
    found: dict[str, Any] = {
        name: np.array(part) if isinstance(part, list) else part for name, part in data.items()
    }
    return Clumps(**found)
