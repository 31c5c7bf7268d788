"""What must be known of a service to recommend for it: configured here, or described by the caller.

A description has the keys of a service in trimtab.yaml and is read by the same code, so that it
is checked alike and its errors name the field alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any

import yaml
from google.protobuf.json_format import MessageToDict

from trimtab_controller.config import BackendSpec, Config
from trimtab_controller.refusals import InvalidRequest
from trimtab_guard.limits import Limits
from trimtab_proto.v1 import controller_pb2 as pb
from trimtab_sim.profile import Profile
from trimtab_sim.profile_file import Described
from trimtab_sim.schema import ConfigError, Place, Positive, Range, parse, read_mapping

DESCRIPTIONS = 1000
DESCRIPTION_BYTES_MAX = 2**15
PLACE = Path("description")
# What an error calls the place that has no path.
WHOLE = "the file"


@dataclass(frozen=True, slots=True)
class Subject:
    """One service. ``miss_price`` is lambda of the score; ``speed`` above 1 is for replays."""

    profile: Profile
    limits: Limits
    miss_price: float
    speed: float = 1.0

    @property
    def backends(self) -> tuple[str, ...]:
        """The backends' names, in order."""
        return tuple(backend.name for backend in self.profile.backends)


@dataclass(frozen=True, slots=True, kw_only=True)
class Description(Described):
    """A service as a caller describes it."""

    backends: tuple[BackendSpec, ...]
    miss_price: Annotated[float, Range(least=1.0, most=1000.0)]
    tick_s: Positive
    limits: Place | None = None


def configured(config: Config) -> dict[str, Subject]:
    """The configuration's services by name."""
    return {
        service.name: Subject(
            service.profile, service.limits, service.spec.miss_price, config.speed
        )
        for service in config.services
    }


@lru_cache(DESCRIPTIONS)
def described(service: str, raw: bytes) -> Subject:
    """What a serialized `ServiceDescription` says; `InvalidRequest`.

    Callers repeat it with every report.
    """
    if len(raw) > DESCRIPTION_BYTES_MAX:
        most = f"{DESCRIPTION_BYTES_MAX} bytes at most"
        raise InvalidRequest("description", f"has {len(raw)} bytes: {most}")
    try:
        return _subject(parse(_text(service, raw), PLACE, Description))
    except ConfigError as error:
        _, path, problem = str(error).split(": ", 2)
        field = "description" if path == WHOLE else f"description.{path}"
        raise InvalidRequest(field, problem) from error


def _text(service: str, raw: bytes) -> str:
    message = pb.ServiceDescription.FromString(raw)
    document: dict[str, Any] = MessageToDict(message, preserving_proto_field_name=True)
    # A message has one type for all limits, but some count whole things.
    for name, value in message.limits.items():
        document["limits"][name] = int(value) if value.is_integer() else value
    return str(yaml.safe_dump({"name": service, **document}))


def _subject(read: Description) -> Subject:
    given: dict[str, Any] = {
        "service": read.name,
        "backends": tuple(backend.limits for backend in read.backends),
        "interval_s": read.tick_s,
    }
    limits = read_mapping(read.limits, Limits, given) if read.limits else _defaults(given)
    return Subject(read.profile, limits, read.miss_price)


def _defaults(given: dict[str, Any]) -> Limits:
    try:
        return Limits(**given)
    except ValueError as error:
        raise ConfigError(f"{PLACE}:1: limits: {error}") from error
