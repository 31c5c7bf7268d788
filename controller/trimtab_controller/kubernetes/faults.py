"""What can go wrong with the API server, under the names that Kubernetes gives it.

Each fault has one effect (docs/KUBERNETES.md lists them), and each says whether a write may have
happened all the same: only what surely changed nothing may be taken for a refusal.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

NO_HEADERS: Mapping[str, str] = MappingProxyType({})


class Fault(StrEnum):
    """The reason code, as humans and events see it."""

    UNAUTHORIZED = "Unauthorized"
    FORBIDDEN = "Forbidden"
    NOT_FOUND = "NotFound"
    CONFLICT = "Conflict"
    EXPIRED = "Expired"
    INVALID = "Invalid"
    THROTTLED = "TooManyRequests"
    BROKEN = "InternalError"
    TIMEOUT = "Timeout"
    UNREACHABLE = "Unreachable"


BY_STATUS = {
    401: Fault.UNAUTHORIZED,
    403: Fault.FORBIDDEN,
    404: Fault.NOT_FOUND,
    409: Fault.CONFLICT,
    410: Fault.EXPIRED,
    429: Fault.THROTTLED,
    504: Fault.TIMEOUT,
}
WAYS_OUT = {
    Fault.UNAUTHORIZED: "the credentials are not accepted: renew the token or the kubeconfig",
    Fault.FORBIDDEN: "apply the role of deploy/ for this mode",
    Fault.NOT_FOUND: "correct trimtab.yaml, or create it",
}


class ApiError(Exception):
    """A call failed. ``certain``: nothing was changed by it; ``status`` is 0 without an answer.

    ``headers`` are the answer's: the client's back-off reads ``Retry-After`` there.
    """

    def __init__(
        self,
        fault: Fault,
        message: str,
        *,
        status: int = 0,
        certain: bool = True,
        headers: Mapping[str, str] = NO_HEADERS,
    ) -> None:
        way_out = WAYS_OUT.get(fault)
        super().__init__(f"{fault}: {message}" + (f" ({way_out})" if way_out else ""))
        self.fault = fault
        self.status = status
        self.certain = certain
        self.headers = headers


def answered(status: int, body: bytes, headers: Mapping[str, str], call: str) -> ApiError:
    """The error in an answer; a server error leaves it open what a write did."""
    broken = status >= 500
    fault = BY_STATUS.get(status, Fault.BROKEN if broken else Fault.INVALID)
    message = f"{call}: {told(body) or f'HTTP {status}'}"
    return ApiError(fault, message, status=status, certain=not broken, headers=headers)


def told(body: bytes) -> str:
    """The message of a ``Status`` object, or the beginning of whatever else came."""
    try:
        return str(json.loads(body)["message"])
    except (ValueError, KeyError, TypeError):
        return body[:200].decode(errors="replace").strip()
