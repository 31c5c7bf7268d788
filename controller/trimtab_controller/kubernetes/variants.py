"""Variants of a backend on a cluster: the objects that each is made of, and a route's copies.

A variant is a Job of the pods that the backend's target has, set otherwise: unlike a Deployment it
ends by itself, so that a daemon which dies leaves nothing running for longer than a round may take.
Its labels are its own, or the live Service would send to it; a Service of its own gets the copies.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trimtab_controller.kubernetes.api import Json
from trimtab_controller.kubernetes.kinds import Resource
from trimtab_controller.kubernetes.objects import EPOCH
from trimtab_controller.protocols import WRITER
from trimtab_controller.variants.plan import LONGEST_S, Setting, Variant
from trimtab_guard.authority import Epoch

JOBS = Resource("batch/v1", "jobs")
SERVICES = Resource("v1", "services")
# Whose variants, by the HTTPRoute that copies for them, and which one.
ROUTE = "trimtab.dev/copies-of"
VARIANT = "trimtab.dev/variant"
# Copies for a share of all requests, in parts of so many.
PARTS = 10_000
# A Service's name may have 63 characters, with what tells the variants apart.
STEM = 48
OURS = re.compile(r"-trimtab-(r\d+-\d+)$")
# It is the round that decides how many are too many.
CRASHES = 1000
RESOURCES = {"cpu": "", "memory_mib": "Mi"}


class UnsettableError(ValueError):
    """There is no place for a setting, or no pod to put it in."""


@dataclass(frozen=True, slots=True)
class Origin:
    """What variants are made from: the raw ``target`` and ``service`` of a backend."""

    route: str
    target: Json
    service: Json

    def named(self, known_as: str) -> str:
        """The name of a variant's objects."""
        return named(self.service["metadata"]["name"], known_as)

    def job(self, known_as: str, variant: Variant, epoch: Epoch) -> Json:
        """Its pods; `UnsettableError` for a setting that they cannot have."""
        if not (pods := self.target["spec"].get("template")):
            raise UnsettableError(f"{self.target['kind']} has no pod template to make variants of")
        template = copy.deepcopy(dict(pods))
        spec = template["spec"]
        for setting in variant.settings:
            put(spec["containers"][0], setting)
        # One that fails is counted, and made anew, by the Job.
        spec["restartPolicy"] = "Never"
        notes = (template.get("metadata") or {}).get("annotations") or {}
        template["metadata"] = {"annotations": notes, "labels": self._labels(known_as)}
        return {
            "apiVersion": JOBS.api_version,
            "kind": "Job",
            "metadata": self._meta(known_as, epoch),
            "spec": {
                "parallelism": variant.replicas,
                "backoffLimit": CRASHES,
                "activeDeadlineSeconds": round(LONGEST_S),
                "ttlSecondsAfterFinished": 0,
                "template": template,
            },
        }

    def entrance(self, known_as: str, epoch: Epoch) -> Json:
        """The Service that its copies go to, with the ports of the backend's."""
        kept = ("name", "port", "targetPort", "protocol", "appProtocol")
        ports = [
            {key: port[key] for key in kept if key in port}
            for port in self.service["spec"].get("ports") or ()
        ]
        return {
            "apiVersion": SERVICES.api_version,
            "kind": "Service",
            "metadata": self._meta(known_as, epoch),
            "spec": {"selector": self._labels(known_as), "ports": ports},
        }

    def _labels(self, known_as: str) -> dict[str, str]:
        own = {ROUTE: self.route, VARIANT: self.named(known_as)}
        return {**own, "app.kubernetes.io/managed-by": WRITER}

    def _meta(self, known_as: str, epoch: Epoch) -> Json:
        return {
            "name": self.named(known_as),
            "labels": self._labels(known_as),
            "annotations": {EPOCH: f"{epoch.number} {epoch.leader}"},
        }


def named(service: str, known_as: str) -> str:
    """The name of the objects of a variant, which says that they are trimtab's."""
    return f"{service[:STEM].rstrip('-')}-trimtab-{known_as}"


def put(container: dict[str, Any], setting: Setting) -> None:
    """Set one container otherwise: `env.NAME`, `--flag`, `cpu` in cores, or `memory_mib`."""
    name, value = setting.name, f"{setting.value:.15g}"
    where, _, variable = name.partition(".")
    if where == "env" and variable:
        others = [each for each in container.get("env") or () if each["name"] != variable]
        # First: the others may refer to it.
        container["env"] = [{"name": variable, "value": value}, *others]
    elif name.startswith("--"):
        container["args"] = [
            *_other_arguments(container.get("args") or (), name),
            f"{name}={value}",
        ]
    elif name in RESOURCES:
        kind, amount = name.removesuffix("_mib"), value + RESOURCES[name]
        had = container.get("resources") or {}
        container["resources"] = {
            **had,
            **{part: {**(had.get(part) or {}), kind: amount} for part in ("requests", "limits")},
        }
    else:
        raise UnsettableError(
            f"setting {name}: on Kubernetes write env.NAME, --flag, cpu (cores) or memory_mib"
        )


def _other_arguments(arguments: Sequence[str], flag: str) -> Iterator[str]:
    """All but ``flag`` and its value, which may be an argument of its own."""
    of_flag = False
    for each in arguments:
        if of_flag and (not each.startswith("-") or each[1:].isdecimal()):
            of_flag = False
            continue
        of_flag = each == flag
        if not of_flag and not each.startswith(f"{flag}="):
            yield each


def variant_in(filter_: Json) -> str:
    """The name of the variant whose copies a filter of a route makes; empty for any other."""
    name = ((filter_.get("requestMirror") or {}).get("backendRef") or {}).get("name", "")
    return name if OURS.search(name) else ""


def mirrored(filters: Sequence[Json], port: int, names: Sequence[str], share: float) -> list[Json]:
    """The ``filters`` of a rule, with copies of a ``share`` for the Services ``names``.

    What is not trimtab's stays as it is, and in front. The place of a filter is what Envoy Gateway
    counts its copies under: so what ended keeps its place, with no copies, until its round is over.
    """
    foreign = [each for each in filters if not variant_in(each)]
    rounds = {_round(name) for name in names}
    before = [name for each in filters if _round(name := variant_in(each)) in rounds]
    if share <= 0.0 and not before:
        return foreign
    places = dict.fromkeys((*before, *names))
    return foreign + [_copies(name, port, share * (name in names)) for name in places]


def _round(name: str) -> str:
    return name.rpartition("-")[0]


def _copies(name: str, port: int, share: float) -> Json:
    return {
        "type": "RequestMirror",
        "requestMirror": {
            "backendRef": {"group": "", "kind": "Service", "name": name, "port": port},
            "fraction": {"numerator": round(share * PARTS), "denominator": PARTS},
        },
    }


def clusters(route: Json, name: str) -> str:
    """What Envoy Gateway calls the clusters that get a variant's copies, with | between them."""
    own: Mapping[str, Any] = route["metadata"]
    return "|".join(
        f"httproute/{own['namespace']}/{own['name']}/rule/{number}-mirror-{place}"
        for number, rule in enumerate(route["spec"].get("rules") or ())
        for place, each in enumerate(rule.get("filters") or ())
        if variant_in(each) == name
    )
