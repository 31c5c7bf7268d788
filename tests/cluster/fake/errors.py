"""The refusals of an API server, in its own words and codes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

Object = dict[str, Any]


class ApiError(Exception):
    """What is answered instead of an object: a `Status`."""

    def __init__(self, code: int, reason: str, message: str, **details: Any) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.details = {name: value for name, value in details.items() if value}

    def status(self) -> Object:
        """The body of the answer."""
        return {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": str(self),
            "reason": self.reason,
            "details": self.details,
            "code": self.code,
        }


def not_found(resource: str, name: str) -> ApiError:
    return ApiError(404, "NotFound", f'{resource} "{name}" not found', name=name, kind=resource)


def unknown_path() -> ApiError:
    """What nobody serves: a kind whose CRD is missing, too. Answered in plain text."""
    return ApiError(404, "", "404 page not found")


def already_exists(resource: str, name: str) -> ApiError:
    return ApiError(
        409, "AlreadyExists", f'{resource} "{name}" already exists', name=name, kind=resource
    )


def conflict(resource: str, name: str) -> ApiError:
    why = "the object has been modified; please apply your changes to the latest version"
    return ApiError(
        409,
        "Conflict",
        f'Operation cannot be fulfilled on {resource} "{name}": {why} and try again',
        name=name,
        kind=resource,
    )


def apply_conflict(fields: Iterable[tuple[str, str]]) -> ApiError:
    """``fields``: whose each is, and its path."""
    causes = [
        {"reason": "FieldManagerConflict", "message": f"conflict with {owner}", "field": field}
        for owner, field in fields
    ]
    lines = "; ".join(f"{cause['message']}: {cause['field']}" for cause in causes)
    noun = "conflict" if len(causes) == 1 else "conflicts"
    message = f"Apply failed with {len(causes)} {noun}: {lines}"
    return ApiError(409, "Conflict", message, causes=causes)


def invalid(resource: str, name: str, field: str, why: str) -> ApiError:
    message = f'{resource} "{name}" is invalid: {field}: Invalid value: {why}'
    causes = [{"reason": "FieldValueInvalid", "message": why, "field": field}]
    return ApiError(422, "Invalid", message, name=name, kind=resource, causes=causes)


def rejected_patch(why: str) -> ApiError:
    """A JSON patch that cannot be applied; a failed ``test`` is answered with this, too."""
    return ApiError(
        422,
        "Invalid",
        "the server rejected our request due to an error in our request",
        causes=[{"reason": "UnexpectedServerResponse", "message": why}],
    )


def bad_request(why: str) -> ApiError:
    return ApiError(400, "BadRequest", why)


def expired(asked: int, oldest: int) -> ApiError:
    return ApiError(410, "Expired", f"too old resource version: {asked} ({oldest})")


def unsupported(media_type: str, allowed: Iterable[str]) -> ApiError:
    supported = ", ".join(allowed)
    why = f"the body of the request was in an unknown format ({media_type})"
    message = f"{why} - accepted media types include: {supported}"
    return ApiError(415, "UnsupportedMediaType", message)


def not_allowed() -> ApiError:
    why = "the server does not allow this method on the requested resource"
    return ApiError(405, "MethodNotAllowed", why)


def unauthorized() -> ApiError:
    return ApiError(401, "Unauthorized", "Unauthorized")


def forbidden(resource: str, name: str, why: str) -> ApiError:
    named = f' "{name}"' if name else ""
    message = f"{resource}{named} is forbidden: {why}"
    return ApiError(403, "Forbidden", message, name=name, kind=resource)
