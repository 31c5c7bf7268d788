"""Events on the objects that are written to, so that `kubectl describe` tells who did what and why.

Only a write is told so: in shadow nothing is written at all, events included.
"""

from __future__ import annotations

from typing import Any

from trimtab_controller.kubernetes.writes import Thing
from trimtab_controller.protocols import WRITER

# What an event may hold of a message.
LONGEST = 1024


def event(
    thing: Thing, reason: str, message: str, now: str, *, warns: bool = False
) -> dict[str, Any]:
    """An event of the core API, at ``now`` (RFC 3339)."""
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"generateName": f"{thing.meta.name}.", "namespace": thing.namespace},
        "involvedObject": {
            "apiVersion": thing.resource.api_version,
            "kind": thing.kind,
            "namespace": thing.namespace,
            "name": thing.meta.name,
            "uid": thing.meta.uid,
        },
        "reason": reason,
        "message": message[:LONGEST],
        "type": "Warning" if warns else "Normal",
        "source": {"component": WRITER},
        "firstTimestamp": now,
        "lastTimestamp": now,
        "count": 1,
        "reportingComponent": f"{WRITER}.dev/{WRITER}",
        "reportingInstance": WRITER,
    }
