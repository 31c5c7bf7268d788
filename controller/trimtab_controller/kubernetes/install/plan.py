"""What is to be done, as values: to be shown first, and then carried out one by one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from trimtab_controller.kubernetes.api import JSON, MERGE_PATCH, Api, Json
from trimtab_controller.kubernetes.kinds import Resource

# Everything that trimtab leaves on an object begins with this.
OURS = "trimtab.dev/"
# What was before, as JSON.
BEFORE = f"{OURS}before"


@dataclass(frozen=True, slots=True)
class Step:
    """One call that writes, and what it does, in words."""

    words: str
    method: str
    path: str
    body: Any
    kind: str = MERGE_PATCH

    async def take(self, api: Api) -> None:
        """Carry it out, if the object is still as it was; raises `ApiError`."""
        await api.write(self.method, self.path, self.body, self.kind)


@dataclass(frozen=True, slots=True)
class Plan:
    """The steps in their order, what else to know of them, and what cannot be done, and why."""

    steps: tuple[Step, ...] = ()
    notes: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()

    def __add__(self, other: Plan) -> Plan:
        """Both, one after the other."""
        return Plan(
            self.steps + other.steps, self.notes + other.notes, self.problems + other.problems
        )


def remembered(raw: Json) -> Mapping[str, Any] | None:
    """What was before, as an object itself says; ``None`` when nobody has written it down."""
    text = (raw["metadata"].get("annotations") or {}).get(BEFORE)
    return None if text is None else json.loads(text)


def remember(raw: Json, what: Mapping[str, Any]) -> Json:
    """The patch that writes down what is, on the version that was seen."""
    annotations = {BEFORE: json.dumps(what)}
    return {
        "metadata": {
            "resourceVersion": raw["metadata"]["resourceVersion"],
            "annotations": annotations,
        }
    }


def forgotten(raw: Json) -> Json:
    """The patch that takes away all that trimtab has left in the annotations."""
    version = raw["metadata"]["resourceVersion"]
    return {"metadata": {"resourceVersion": version, "annotations": unannotated(raw)}}


def unannotated(raw: Json) -> Mapping[str, None]:
    """All that trimtab has left in the annotations, with nothing in its place."""
    kept = raw["metadata"].get("annotations") or {}
    return dict.fromkeys(key for key in kept if key.startswith(OURS))


def deletion(raw: Json, resource: Resource, words: str) -> Step:
    """Delete just this object, as it was seen."""
    own = raw["metadata"]
    same = {"uid": own["uid"], "resourceVersion": own["resourceVersion"]}
    options = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": same}
    path = resource.path(own["namespace"], own["name"])
    return Step(words, "DELETE", path, options, JSON)
