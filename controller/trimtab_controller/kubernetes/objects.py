"""What is kept of each object: the few fields that trimtab goes by, made of raw JSON on receipt.

A field that is missing has the default that the API server gives it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, NamedTuple, Protocol

from trimtab_guard.authority import NO_EPOCH, Epoch

Json = Mapping[str, Any]
Labels = Mapping[str, str]

EPOCH = "trimtab.dev/epoch"
REQUEST = "trimtab.dev/request-id"
# What `kubectl describe` shows of the last write.
WRITTEN = "trimtab.dev/last-write"

UPDATED = "NewReplicaSetAvailable"
COMMA = re.compile(r",(?![^(]*\))")
TERM = re.compile(r"(!?)([\w./-]+)\s*(?:(==?|!=)\s*([\w.-]*)|(in|notin)\s*\(([^)]*)\))?")


@dataclass(frozen=True, slots=True)
class Meta:
    """An object's identity and version; the epoch and request of trimtab's last write to it."""

    name: str
    uid: str
    version: str
    epoch: Epoch = NO_EPOCH
    request_id: str = ""
    annotated: bool = False

    def newer(self, than: Meta) -> bool:
        """Whether it is another object, or a later state of the same; equal counts as later.

        Versions of one resource compare as numbers since Kubernetes 1.35, which only wrote down
        what had been so.
        """
        return self.uid != than.uid or _number(self.version) >= _number(than.version)


class Kept(Protocol):
    """What is kept of an object knows which one it is."""

    @property
    def meta(self) -> Meta:
        """Its identity and version."""


class Writer(NamedTuple):
    """A field manager that owns a field, and when it last wrote (RFC 3339, sorts as text)."""

    name: str
    time: str


@dataclass(frozen=True, slots=True)
class Selector:
    """A label selector: all of ``equal``, and all of ``terms``, must hold; an empty one is all."""

    equal: Labels
    terms: tuple[tuple[str, str, tuple[str, ...]], ...] = ()

    @property
    def chooses(self) -> bool:
        """Whether it says anything at all: to say nothing would be to pick everything."""
        return bool(self.equal or self.terms)

    @property
    def key(self) -> tuple[str, str] | None:
        """A label that all it selects must have; ``None`` when it asks for none in particular."""
        return next(iter(self.equal.items()), None)

    def picks(self, labels: Labels) -> bool:
        """Whether it selects an object with these labels."""
        return all(labels.get(key) == value for key, value in self.equal.items()) and all(
            TERMS[operator](labels.get(key), values) for key, operator, values in self.terms
        )


TERMS: Mapping[str, Callable[[str | None, Sequence[str]], bool]] = {
    "In": lambda value, values: value in values,
    "NotIn": lambda value, values: value not in values,
    "Exists": lambda value, _: value is not None,
    "DoesNotExist": lambda value, _: value is None,
}


class Phase(Enum):
    """What a pod is to its backend."""

    STARTING = "starting"
    READY = "ready"
    DRAINING = "draining"
    OVER = "over"


@dataclass(frozen=True, slots=True)
class Pod:
    """One replica; ``unschedulable`` is why no node takes it."""

    meta: Meta
    labels: Labels
    phase: Phase
    unschedulable: str = ""


@dataclass(frozen=True, slots=True)
class Workload:
    """What holds the replicas. ``rolling``: some of them are not of the newest template."""

    meta: Meta
    replicas: int
    selector: Selector
    rolling: bool
    writers: tuple[Writer, ...] = ()


class Reference(NamedTuple):
    """Another object of the namespace: its API group, kind and name."""

    group: str
    kind: str
    name: str


@dataclass(frozen=True, slots=True)
class Autoscaler:
    """A HorizontalPodAutoscaler."""

    meta: Meta
    target: Reference
    least: int
    most: int
    writers: tuple[Writer, ...] = ()


@dataclass(frozen=True, slots=True)
class Owner:
    """Something else that steers a target: a ScaledObject or a VerticalPodAutoscaler."""

    meta: Meta
    kind: str
    target: Reference
    idle: bool = False


@dataclass(frozen=True, slots=True)
class Weight:
    """What a rule of a route gives to one Service: its place in the object, and its weight."""

    rule: int
    place: int
    service: str
    weight: int


@dataclass(frozen=True, slots=True)
class Route:
    """An HTTPRoute."""

    meta: Meta
    weights: tuple[Weight, ...]
    writers: tuple[Writer, ...] = ()


@dataclass(frozen=True, slots=True)
class Budget:
    """A PodDisruptionBudget; ``least`` is 0 where it is relative to what is there."""

    meta: Meta
    selector: Selector | None
    least: int


def meta(raw: Json) -> Meta:
    """The identity of any object."""
    own: Json = raw["metadata"]
    notes: Labels = own.get("annotations") or {}
    return Meta(
        own["name"],
        own.get("uid", ""),
        own.get("resourceVersion", ""),
        epoch(notes.get(EPOCH, "")),
        notes.get(REQUEST, ""),
        bool(notes),
    )


def epoch(text: str) -> Epoch:
    """The leadership in an annotation; what is none counts as none."""
    number, _, leader = text.partition(" ")
    return Epoch(int(number), leader) if number.isdecimal() else NO_EPOCH


def pod(raw: Json) -> Pod:
    """A pod, without its containers."""
    status: Json = raw.get("status") or {}
    conditions = {each["type"]: each for each in status.get("conditions") or ()}
    placed: Json = conditions.get("PodScheduled") or {}
    stuck = placed.get("status") == "False" and placed.get("reason") == "Unschedulable"
    return Pod(
        meta(raw),
        raw["metadata"].get("labels") or {},
        _phase(raw, status, conditions),
        (placed.get("message") or "no node takes it") if stuck else "",
    )


def _phase(raw: Json, status: Json, conditions: Mapping[str, Json]) -> Phase:
    if status.get("phase") in ("Succeeded", "Failed"):
        return Phase.OVER
    if raw["metadata"].get("deletionTimestamp"):
        return Phase.DRAINING
    ready = conditions.get("Ready", {}).get("status") == "True"
    return Phase.READY if ready else Phase.STARTING


def workload(raw: Json) -> Workload:
    """A Deployment, a StatefulSet, or anything else together with its ``scale``."""
    spec: Json = raw.get("spec") or {}
    scale: Json | None = raw.get("scale")
    if scale is None:
        replicas, chosen = spec.get("replicas", 1), selector(spec.get("selector") or {})
    else:
        replicas = (scale.get("spec") or {}).get("replicas", 0)
        chosen = written_selector((scale.get("status") or {}).get("selector", ""))
    return Workload(
        meta(raw), replicas, chosen, rolling(raw), (*writers(raw, "f:spec", "f:replicas"),)
    )


def rolling(raw: Json) -> bool:
    """Whether replicas are being replaced, or the controller has not seen the newest template."""
    status: Json = raw.get("status") or {}
    # A count of 0 is left out; but a kind of one's own may not count at all.
    counts = "scale" not in raw or "updatedReplicas" in status
    outdated = counts and status.get("replicas", 0) > status.get("updatedReplicas", 0)
    behind = status.get("observedGeneration", math.inf) < raw["metadata"].get("generation", 0)
    under_way = any(
        each["type"] == "Progressing" and each.get("reason", UPDATED) != UPDATED
        for each in status.get("conditions") or ()
    )
    return outdated or behind or under_way


def selector(raw: Json) -> Selector:
    """A LabelSelector."""
    return Selector(
        raw.get("matchLabels") or {},
        tuple(
            (term["key"], term["operator"], tuple(term.get("values") or ()))
            for term in raw.get("matchExpressions") or ()
        ),
    )


def written_selector(text: str) -> Selector:
    """A selector in its written form, as ``scale`` has it; `ValueError` when it is none."""
    equal, terms = {}, []
    for written in COMMA.split(text) if text else ():
        term = TERM.fullmatch(written.strip())
        if not term:
            raise ValueError(f"{text!r} is no label selector")
        no, key, sign, value, operator, values = term.groups()
        if sign in ("=", "=="):
            equal[key] = value
        elif sign or operator:
            among = (value,) if sign else tuple(each.strip() for each in values.split(","))
            terms.append((key, "In" if operator == "in" else "NotIn", among))
        else:
            terms.append((key, "DoesNotExist" if no else "Exists", ()))
    return Selector(equal, tuple(terms))


def autoscaler(raw: Json) -> Autoscaler:
    """A HorizontalPodAutoscaler."""
    spec: Json = raw["spec"]
    return Autoscaler(
        meta(raw),
        reference(spec["scaleTargetRef"]),
        spec.get("minReplicas", 1),
        spec["maxReplicas"],
        (*writers(raw, "f:spec", "f:minReplicas"),),
    )


def scaled_object(raw: Json) -> Owner:
    """KEDA's, which makes an autoscaler of its own."""
    target = reference(raw["spec"].get("scaleTargetRef") or {})
    return Owner(meta(raw), "ScaledObject", target)


def vertical_autoscaler(raw: Json) -> Owner:
    """One that only recommends is idle."""
    spec: Json = raw["spec"]
    mode = (spec.get("updatePolicy") or {}).get("updateMode", "Auto")
    target = reference(spec.get("targetRef") or {})
    return Owner(meta(raw), "VerticalPodAutoscaler", target, idle=mode == "Off")


def reference(raw: Json) -> Reference:
    """What a ``scaleTargetRef`` points to: KEDA's need not say that it is a Deployment."""
    group = raw.get("apiVersion", "apps/v1").rpartition("/")[0]
    return Reference(group, raw.get("kind", "Deployment"), raw.get("name", ""))


def budget(raw: Json) -> Budget:
    """A PodDisruptionBudget: percentages and ``maxUnavailable`` follow the number that is there."""
    spec: Json = raw["spec"]
    least, chosen = spec.get("minAvailable"), spec.get("selector")
    return Budget(
        meta(raw),
        None if chosen is None else selector(chosen),
        least if isinstance(least, int) else 0,
    )


def route(raw: Json) -> Route:
    """An HTTPRoute: what its rules send to what."""
    return Route(meta(raw), tuple(_weights(raw)), (*writers(raw, "f:spec", "f:rules"),))


def _weights(raw: Json) -> Iterator[Weight]:
    here = raw["metadata"].get("namespace", "")
    for number, rule in enumerate(raw["spec"].get("rules") or ()):
        for place, ref in enumerate(rule.get("backendRefs") or ()):
            kind, namespace = ref.get("kind", "Service"), ref.get("namespace", here)
            ours = (kind, namespace) == ("Service", here)
            # What is no Service of this namespace has a name that none of them can have.
            name = ref["name"] if ours else f"{kind} {namespace}/{ref['name']}"
            yield Weight(number, place, name, ref.get("weight", 1))


def writers(raw: Json, *path: str) -> Iterator[Writer]:
    """Who owns the field at ``path``, by the object's ``managedFields``."""
    for entry in raw["metadata"].get("managedFields") or ():
        owned: Any = entry.get("fieldsV1") or {}
        for step in path:
            owned = owned.get(step) if isinstance(owned, Mapping) else None
        if owned is not None:
            yield Writer(entry.get("manager", "unknown"), entry.get("time", ""))


def _number(version: str) -> int:
    return int(version) if version.isdecimal() else 0
