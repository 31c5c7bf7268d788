"""Every refusal carries details that a program can act on, and no bug shows its insides."""

from __future__ import annotations

from typing import Any

import grpc
import pytest
from google.protobuf.message import Message
from google.rpc import error_details_pb2 as details

from trimtab_controller.mandate import UnknownError
from trimtab_controller.protocols import PolicyError
from trimtab_controller.refusals import (
    BUG_TEXT,
    MEANINGS,
    FullError,
    InDoubtError,
    InvalidRequest,
    status_of,
)

KINDS = (details.ErrorInfo, details.BadRequest, details.ResourceInfo, details.RetryInfo)


def found(status: Any) -> dict[str, Message]:
    """The details of a status, by the name of their type."""
    unpacked = {}
    for packed in status.details:
        (kind,) = (kind for kind in KINDS if packed.Is(kind.DESCRIPTOR))
        packed.Unpack(message := kind())
        unpacked[kind.DESCRIPTOR.name] = message
    return unpacked


@pytest.mark.parametrize(
    ("error", "code", "reason", "more"),
    [
        (InvalidRequest("time_s", "is late"), "INVALID_ARGUMENT", "INVALID_FIELD", {"BadRequest"}),
        (UnknownError("service", "x", "see y"), "NOT_FOUND", "UNKNOWN", {"ResourceInfo"}),
        (FullError("8 watch"), "RESOURCE_EXHAUSTED", "FULL", {"RetryInfo"}),
        (InDoubtError("STALE", "12 s old"), "UNAVAILABLE", "STALE", {"RetryInfo"}),
        (PolicyError("hangs"), "UNAVAILABLE", "POLICY_FAILED", {"RetryInfo"}),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_what_an_error_means(error: Exception, code: str, reason: str, more: set[str]) -> None:
    status = status_of(error)
    told = found(status)
    assert status.code == grpc.StatusCode[code].value[0]
    assert status.message == str(error)
    assert (told["ErrorInfo"].reason, told["ErrorInfo"].domain) == (reason, "trimtab")  # type: ignore[attr-defined]  # found by name
    assert told.keys() - {"ErrorInfo"} == more


def test_a_bug_shows_nothing_of_itself() -> None:
    status = status_of(KeyError("secret"))
    assert (status.code, status.message) == (grpc.StatusCode.INTERNAL.value[0], BUG_TEXT)
    assert b"secret" not in status.SerializeToString()
    assert not any(kind in KeyError.__mro__ for kind in MEANINGS)
