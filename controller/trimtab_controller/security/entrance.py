"""What stands between the network and the API, put together from the configuration."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from trimtab_controller.protocols import Clock
from trimtab_controller.security.callers import Callers
from trimtab_controller.security.certificates import Certificates
from trimtab_controller.security.denials import Appendable, Denials
from trimtab_controller.security.gate import Gate
from trimtab_controller.security.quotas import Quotas
from trimtab_controller.security.roles import Envelopes
from trimtab_controller.security.spec import ClientSpec, SecuritySpec
from trimtab_controller.security.tokens import Tokens, kept


class Entrance:
    """The gate before every call, and the certificates below it, where there are any."""

    def __init__(
        self,
        spec: SecuritySpec,
        envelopes: Envelopes,
        journal: Appendable,
        clock: Clock,
        monotonic: Clock = time.monotonic,
    ) -> None:
        """`ConfigError` when a file that ``spec`` names cannot be used."""
        self.spec = spec
        self.certificates = Certificates(spec.tls) if spec.tls else None
        self.denials = Denials(journal, clock)
        quotas = Quotas(spec.rate_rps, monotonic)
        self.gate = Gate(_callers(spec, clock), quotas, self.denials, envelopes)

    @property
    def callers(self) -> Callers | None:
        """Who may come in; ``None`` where nobody has to say who they are."""
        return self.gate.callers

    def follow(self, clients: Sequence[ClientSpec]) -> None:
        """Go by these from the next call, or message of a stream, on."""
        if self.callers:
            self.callers.clients = clients

    def close(self) -> None:
        """Write down what was denied and only counted."""
        self.denials.close()


def _callers(spec: SecuritySpec, clock: Clock) -> Callers | None:
    if not spec.authenticates:
        return None
    tokens = Path(spec.tokens) if spec.tokens else None
    if tokens:
        kept(tokens)  # what is wrong with it is said before anybody calls
    return Callers(Tokens(tokens) if tokens else None, spec.clients, clock)
