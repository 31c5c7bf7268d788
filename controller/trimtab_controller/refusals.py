"""What a call that fails is told: a status code that means it, one sentence, `google.rpc` details.

Every code carries an `ErrorInfo` whose reason a program can switch on; a field that is wrong, a
thing that does not exist and a time to wait come as the detail that the field's libraries know.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, NamedTuple

import grpc
from google.protobuf.any_pb2 import Any as Packed
from google.protobuf.message import Message
from google.rpc import error_details_pb2 as details
from google.rpc.status_pb2 import Status
from grpc_status import rpc_status

from trimtab_controller.journal import JournalError
from trimtab_controller.mandate import Refusal, UnknownError
from trimtab_controller.protocols import PolicyError
from trimtab_controller.security.callers import Forbidden, Unidentified
from trimtab_controller.security.quotas import TooMany

log = logging.getLogger(__name__)

DOMAIN = "trimtab"
Code = grpc.StatusCode


class InvalidRequest(ValueError):  # noqa: N818  # the caller's error, named as gRPC names it
    """A ``field`` of a request is missing or out of range."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field}: {problem}")
        self.field = field
        self.problem = problem


class FullError(Exception):
    """More at once than there is room for."""


class InDoubtError(Exception):
    """There is no decision that anybody should act on; ``reason`` says why in one word."""

    def __init__(self, reason: str, why: str) -> None:
        super().__init__(why)
        self.reason = reason


class Meaning(NamedTuple):
    """What an exception means: ``retry_s`` is when to try again, where that may help."""

    code: Code
    reason: str
    retry_s: float | None = None


MEANINGS: dict[type[Exception], Meaning] = {
    InvalidRequest: Meaning(Code.INVALID_ARGUMENT, "INVALID_FIELD"),
    UnknownError: Meaning(Code.NOT_FOUND, "UNKNOWN"),
    Refusal: Meaning(Code.FAILED_PRECONDITION, "NOT_NOW"),
    FullError: Meaning(Code.RESOURCE_EXHAUSTED, "FULL", retry_s=10.0),
    InDoubtError: Meaning(Code.UNAVAILABLE, "IN_DOUBT", retry_s=5.0),
    PolicyError: Meaning(Code.UNAVAILABLE, "POLICY_FAILED", retry_s=1.0),
    JournalError: Meaning(Code.UNAVAILABLE, "JOURNAL_FAILED", retry_s=1.0),
    # What generated code raises for methods that gRPC's own servicers leave out.
    NotImplementedError: Meaning(Code.UNIMPLEMENTED, "NOT_SERVED"),
    Unidentified: Meaning(Code.UNAUTHENTICATED, "UNIDENTIFIED"),
    Forbidden: Meaning(Code.PERMISSION_DENIED, "FORBIDDEN"),
    TooMany: Meaning(Code.RESOURCE_EXHAUSTED, "TOO_MANY", retry_s=1.0),
}
BUG = Meaning(Code.INTERNAL, "BUG")
BUG_TEXT = "a bug in trimtab: its log says more"


@contextmanager
def answering(context: grpc.ServicerContext) -> Iterator[None]:
    """Turn what a call raises into its status."""
    try:
        yield
    except grpc.aio.AbortError:
        raise  # it is answered already
    except Exception as error:  # what nobody foresaw must not reach the caller as it is
        # types-grpcio knows the blocking server's context; asyncio's takes the details as well.
        context.abort(*_abort(error))  # type: ignore[call-arg]


@asynccontextmanager
async def answering_async(context: grpc.aio.ServicerContext[Any, Any]) -> AsyncIterator[None]:
    """As `answering`, for calls that are coroutines."""
    try:
        yield
    except grpc.aio.AbortError:
        raise
    except Exception as error:  # as there
        await context.abort(*_abort(error))


def _abort(error: Exception) -> tuple[Code, str, Any]:
    """What `abort` takes: code, sentence, and the trailing metadata that carries the details."""
    status = rpc_status.to_status(status_of(error))
    return status.code, status.details, status.trailing_metadata


def status_of(error: Exception) -> Status:
    """The whole answer to a call that raised ``error``."""
    meaning = next((m for kind, m in MEANINGS.items() if isinstance(error, kind)), BUG)
    if meaning is BUG:
        log.exception("a call failed", exc_info=error)
    text = BUG_TEXT if meaning is BUG else str(error)
    packed = map(_packed, _details(error, meaning))
    return Status(code=meaning.code.value[0], message=text, details=packed)


def _packed(detail: Message) -> Packed:
    packed = Packed()
    packed.Pack(detail)
    return packed


def _details(error: Exception, meaning: Meaning) -> Iterator[Message]:
    reason = error.reason if isinstance(error, InDoubtError) else meaning.reason
    yield details.ErrorInfo(reason=reason, domain=DOMAIN)
    if isinstance(error, InvalidRequest):
        violation = details.BadRequest.FieldViolation(field=error.field, description=error.problem)
        yield details.BadRequest(field_violations=[violation])
    if isinstance(error, UnknownError):
        yield details.ResourceInfo(resource_type=error.kind, resource_name=error.name)
    if meaning.retry_s is not None:
        retry = details.RetryInfo()
        retry.retry_delay.FromMilliseconds(round(1e3 * meaning.retry_s))
        yield retry
