"""The Lease itself, on the API server."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from trimtab_controller.election.candidate import LeaseError
from trimtab_controller.election.election import Claim
from trimtab_controller.election.spec import LeaseSpec
from trimtab_controller.kubernetes.api import JSON, MERGE_PATCH, Api
from trimtab_controller.kubernetes.faults import ApiError, Fault
from trimtab_sim.schema import ConfigError

Json = Mapping[str, Any]

# New credentials may be asked for at any time, and be missing.
TROUBLE = (ApiError, ConfigError)


class KubernetesLease:
    """For one thread, with connections of its own: renewals wait for nobody's other calls."""

    def __init__(self, spec: LeaseSpec, api: Api) -> None:
        """Raises `ConfigError` when there is no way to an API server."""
        self._name = spec.name
        self._path = f"/apis/coordination.k8s.io/v1/namespaces/{spec.namespace}/leases"
        self._api = api
        self._runner = asyncio.Runner()
        self._runner.run(api.connect())

    def read(self) -> Claim | None:
        """What it says, or that it is not there; raises `LeaseError`."""
        try:
            return _claim(self._runner.run(self._api.get(f"{self._path}/{self._name}")))
        except TROUBLE as error:
            if isinstance(error, ApiError) and error.fault is Fault.NOT_FOUND:
                return None
            raise LeaseError(str(error)) from error

    def write(self, claim: Claim) -> Claim:
        """Write it, if it is still as in ``claim.version``, and return it; raises `LeaseError`."""
        body = _lease(claim, self._name)
        call = ("PATCH", f"{self._path}/{self._name}", body, MERGE_PATCH)
        if not claim.version:
            call = ("POST", self._path, body, JSON)
        try:
            return _claim(self._runner.run(self._api.write(*call)))
        except TROUBLE as error:
            raise LeaseError(str(error)) from error

    def close(self) -> None:
        """End the connections."""
        self._runner.run(self._api.close())
        self._runner.close()


def _claim(lease: Json) -> Claim:
    """Whatever is missing is as if nobody held it."""
    spec = lease.get("spec", {})
    return Claim(
        holder=spec.get("holderIdentity") or "",
        duration_s=spec.get("leaseDurationSeconds") or 0,
        transitions=spec.get("leaseTransitions") or 0,
        acquired=spec.get("acquireTime") or "",
        renewed=spec.get("renewTime") or "",
        version=lease["metadata"]["resourceVersion"],
    )


def _lease(claim: Claim, name: str) -> Json:
    metadata = {"name": name}
    if claim.version:
        metadata["resourceVersion"] = claim.version
    return {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": metadata,
        "spec": {
            "holderIdentity": claim.holder,
            "leaseDurationSeconds": claim.duration_s,
            "leaseTransitions": claim.transitions,
            "acquireTime": claim.acquired,
            "renewTime": claim.renewed,
        },
    }
