"""What goes wrong on the way to an API server, when a test asks for it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum
from http import HTTPStatus

from tests.cluster.fake.api import Call
from tests.cluster.fake.errors import ApiError

WRITES = frozenset({"create", "update", "patch", "delete", "deletecollection"})
READS = frozenset({"get", "list", "watch"})

# The reasons of a `Status` by its code, where they are not the words of HTTP.
_REASONS = {409: "Conflict", 410: "Expired", 422: "Invalid", 500: "InternalError", 504: "Timeout"}


@dataclass(frozen=True, slots=True)
class Refusal:
    """An answer with an error's code, before anything is done."""

    code: int
    retry_after_s: int | None = None

    @property
    def error(self) -> ApiError:
        phrase = HTTPStatus(self.code).phrase
        reason = _REASONS.get(self.code, phrase.title().replace(" ", ""))
        return ApiError(
            self.code, reason, f"{phrase} (asked for)", retryAfterSeconds=self.retry_after_s
        )


class Silence(Enum):
    """No answer: the connection hangs or is reset, before the request is carried out or after."""

    HUNG = "nothing is done, nothing is answered"
    LOST = "it is done, nothing is answered"
    RESET = "nothing is done, the connection is cut"
    CUT = "it is done, the connection is cut"

    @property
    def done(self) -> bool:
        return self in (Silence.LOST, Silence.CUT)

    @property
    def cut(self) -> bool:
        return self in (Silence.RESET, Silence.CUT)


Trouble = Refusal | Silence


@dataclass(slots=True)
class Fault:
    """Trouble for the calls that it matches; ``times``: for so many of them.

    ``agent`` is how the caller's User-Agent begins; an empty one, plural or name is any.
    """

    trouble: Trouble
    verbs: frozenset[str] = READS | WRITES
    plural: str = ""
    name: str = ""
    agent: str = ""
    times: int = 1_000_000_000
    met: int = 0

    def meets(self, call: Call) -> bool:
        return (
            self.met < self.times
            and call.verb in self.verbs
            and self.plural in ("", call.kind.plural)
            and self.name in ("", call.name)
            and call.agent.startswith(self.agent)
        )


@dataclass(slots=True)
class Faults:
    """Those that are in force, oldest first."""

    active: list[Fault] = field(default_factory=list)

    def meet(self, call: Call) -> Trouble | None:
        """The trouble of the first fault that ``call`` meets."""
        for fault in self.active:
            if fault.meets(call):
                fault.met += 1
                return fault.trouble
        return None

    @contextmanager
    def present(self, fault: Fault) -> Iterator[Fault]:
        """In force inside the ``with``."""
        self.active.append(fault)
        try:
            yield fault
        finally:
            self.active.remove(fault)
