"""The part `security` of trimtab.yaml: certificates, tokens and who the clients are."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

from trimtab_controller.security.roles import Role
from trimtab_sim.schema import Range, check_unique


@dataclass(frozen=True, slots=True)
class TlsSpec:
    """PEM files: the daemon's certificate chain and key, and who vouches for its clients.

    With ``client_ca`` every client must show a certificate (mutual TLS).
    """

    certificate: str
    key: str
    client_ca: str = ""


@dataclass(frozen=True, slots=True)
class ClientSpec:
    """What the client may do whose certificate names ``certificate``.

    That is one of its subject alternative names, or its common name where it has none.
    Without ``services`` it is every service.
    """

    certificate: str
    role: Role
    services: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SecuritySpec:
    """Who may call; by default anybody on this machine, and nobody else.

    ``tokens`` is the file that `trimtab token` writes. ``rate_rps`` is how many calls, and
    messages of a stream, each caller may send per second.
    """

    tls: TlsSpec | None = None
    tokens: str = ""
    clients: tuple[ClientSpec, ...] = ()
    rate_rps: Annotated[float, Range(least=1.0)] = 1000.0

    def __post_init__(self) -> None:
        check_unique("client", [client.certificate for client in self.clients])
        if self.clients and not (self.tls and self.tls.client_ca):
            raise ValueError("clients have certificates: add tls.client_ca, which vouches for them")

    @property
    def authenticates(self) -> bool:
        """Whether callers must say who they are."""
        return bool(self.tokens or self.clients)

    @property
    def audience(self) -> str:
        """Who may call, in a few words."""
        known = [("tokens", self.tokens), ("client certificates", self.clients)]
        shown = " or ".join(name for name, given in known if given)
        return f"those with {shown}" if shown else "anybody on this machine"

    def check_services(self, known: Collection[str]) -> None:
        """``ValueError`` names a service of a client that does not exist."""
        for client in self.clients:
            for service in client.services:
                if service not in known:
                    raise ValueError(
                        f"client {client.certificate!r}: there is no service {service!r}"
                    )

    def within(self, folder: Path) -> SecuritySpec:
        """The same, with files relative to ``folder`` as they are from here."""

        def found(file: str) -> str:
            return str(folder / file) if file else ""

        tls = self.tls and TlsSpec(
            found(self.tls.certificate), found(self.tls.key), found(self.tls.client_ca)
        )
        return replace(self, tls=tls, tokens=found(self.tokens))
