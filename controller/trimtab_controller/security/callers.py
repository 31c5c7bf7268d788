"""Who is calling: a bearer token says so, or else the client's certificate."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Protocol

from trimtab_controller.protocols import Clock
from trimtab_controller.security.roles import Role, Rule
from trimtab_controller.security.spec import ClientSpec
from trimtab_controller.security.tokens import Tokens, UnknownTokenError

Metadata = Iterable[tuple[str, str | bytes]]

SHOWN_NAME = 80


@dataclass(frozen=True, slots=True)
class Caller:
    """Somebody who is known: under what name, by what, and what they may do."""

    name: str
    credential: str
    role: Role
    services: tuple[str, ...]

    def covers(self, service: str) -> bool:
        """Whether they may have to do with a service; an empty name is none in particular."""
        return not (service and self.services) or service in self.services


# Who calls, for whoever answers; `None` where nobody had to say.
calling: ContextVar[Caller | None] = ContextVar("calling", default=None)


class Denied(Exception):  # noqa: N818  # the answer to a call, not an error of the program
    """A call that must not be; ``str`` is the reason, for the caller and for the journal.

    ``caller`` and ``service`` are empty where nobody is known, or none is meant.
    """

    def __init__(self, reason: str, caller: str = "", service: str = "") -> None:
        super().__init__(reason)
        self.caller = caller
        self.service = service
        self.remembered = False


class Unidentified(Denied):
    """Nobody knows who calls."""


class Forbidden(Denied):
    """Whoever calls may not do this."""


class Context(Protocol):
    """What both kinds of gRPC's contexts have, as far as it is needed here."""

    def invocation_metadata(self) -> Metadata | None:
        """The headers of the call."""

    def auth_context(self) -> Mapping[str, Iterable[bytes]]:
        """What TLS has verified of the client."""

    def peer(self) -> str:
        """Where the call comes from."""


class Callers:
    """Everybody who may call at all."""

    def __init__(self, tokens: Tokens | None, clients: Sequence[ClientSpec], clock: Clock) -> None:
        self.clients = clients
        self._tokens = tokens
        self._clock = clock

    def identify(self, context: Context) -> Caller:
        """Who calls; raises `Unidentified`."""
        return self.by_token(context.invocation_metadata()) or self._by_certificate(context)

    def by_token(self, metadata: Metadata | None) -> Caller | None:
        """Who calls, from the headers alone; ``None`` when a certificate may still tell.

        Raises `Unidentified`.
        """
        text = _bearer(metadata or ())
        if text is None and self.clients:
            return None
        if text is None:
            raise Unidentified("no token: send `authorization: Bearer TOKEN`")
        if self._tokens is None:
            raise Unidentified("tokens are not accepted here: use a certificate")
        try:
            token = self._tokens.find(text, self._clock())
        except UnknownTokenError as error:
            raise Unidentified(str(error)) from None
        return Caller(token.name, f"token {token.id}", token.role, token.services)

    def _by_certificate(self, context: Context) -> Caller:
        names = _certified_names(context.auth_context())
        for client in self.clients:
            if client.certificate in names:
                return Caller(client.certificate, "certificate", client.role, client.services)
        shown = ", ".join(names)[:SHOWN_NAME]
        raise Unidentified(
            f"no client is configured with the certificate {shown!r}, and there is no token"
        )


def permit(caller: Caller, rule: Rule, request: Any, service: str) -> None:
    """Raise `Forbidden` unless ``caller`` may send this request, which is about ``service``."""
    needed = max(rule.role or Role.VIEWER, rule.stricter(request))
    if caller.role < needed:
        reason = f"{caller.name} is {caller.role}, and this needs {needed}"
        raise Forbidden(reason, caller.name, service)
    if not caller.covers(service):
        reason = f"{caller.name} may only have to do with {', '.join(caller.services)}"
        raise Forbidden(reason, caller.name, service)


def _bearer(metadata: Metadata) -> str | None:
    for key, value in metadata:
        if key == "authorization":
            scheme, _, token = str(value).partition(" ")
            return token.strip() if scheme.lower() == "bearer" else ""
    return None


def _certified_names(verified: Mapping[str, Iterable[bytes]]) -> list[str]:
    """Alternative names, or the common one where there is none: what is more exact counts."""
    found = verified.get("x509_subject_alternative_name") or verified.get("x509_common_name") or ()
    return [name.decode(errors="replace") for name in found]
