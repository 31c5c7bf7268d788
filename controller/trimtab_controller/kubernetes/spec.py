"""The part `kubernetes` of a service in trimtab.yaml, and what its backends say of themselves."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Acting(Enum):
    """What trimtab writes of a target.

    The floor of the autoscaler that stays underneath (`minReplicas`), or its replicas themselves.
    """

    FLOOR = "floor"
    SCALE = "scale"


@dataclass(frozen=True, slots=True)
class TargetSpec:
    """What holds the replicas: a Deployment, or anything else with a ``scale`` subresource."""

    kind: str
    name: str
    api_version: str = "apps/v1"

    def __post_init__(self) -> None:
        if not (self.kind and self.name):
            raise ValueError("kind and name must not be empty: write those of the Deployment")
        # "v1" itself has nothing that scales but ReplicationControllers, which may be named so.
        if self.api_version.count("/") > 1 or not all(self.api_version.split("/")):
            raise ValueError(f"api_version is {self.api_version!r}: write GROUP/VERSION")

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


@dataclass(frozen=True, slots=True)
class KubernetesSpec:
    """Where the service lives: its namespace, and the HTTPRoute that weighs its backends.

    Without a ``route`` all weight is on the only backend.
    """

    namespace: str
    route: str = ""

    def __post_init__(self) -> None:
        if not self.namespace:
            raise ValueError("namespace is empty: write the one that the targets are in")


@dataclass(frozen=True, slots=True)
class ApiSpec:
    """Which cluster: a ``context`` of the kubeconfig.

    Left out it is the one that this runs in, or else the kubeconfig's current context.
    """

    context: str = ""
