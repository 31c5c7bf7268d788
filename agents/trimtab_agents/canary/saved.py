"""The parts of a comparison as JSON and back: a daemon that starts again goes on with them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from trimtab_agents.canary.clumps import Clumps
from trimtab_agents.canary.past import Past
from trimtab_agents.canary.trust import Seen, Trust
from trimtab_agents.canary.verdict import Reason


def plain(value: Any) -> Any:
    """Dicts, lists, numbers and strings; reasons by name, keys as text: there are infinite ones."""
    if isinstance(value, Mapping):
        return {str(key): plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [plain(part) for part in value]
    if isinstance(value, Reason):
        return value.name
    return value.tolist() if isinstance(value, np.ndarray) else value


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
