"""Real certificates, real tokens, and a daemon's API that asks for them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc
import pytest
import trustme

from trimtab_controller.security.roles import Role
from trimtab_controller.security.spec import ClientSpec, SecuritySpec, TlsSpec
from trimtab_controller.security.tokens import changing, issue
from trimtab_guard.modes import Mode
from trimtab_proto.v1 import controller_pb2_grpc

World = Any  # the class in the conftest.py above, which cannot be imported from here
NOW_S = 1_800_000_000.0
DAY_S = 86_400.0
LONG_AGO, FAR = datetime(2001, 1, 1, tzinfo=UTC), datetime(2099, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Pair:
    """A certificate and its key, in memory."""

    cert: bytes
    key: bytes


class Authority:
    """A CA that certifies whom the test says."""

    def __init__(self) -> None:
        self._ca = trustme.CA()
        self.pem = self._ca.cert_pem.bytes()

    def pair(self, *names: str, common_name: str | None = None, not_after: datetime = FAR) -> Pair:
        made = self._ca.issue_cert(
            *names, common_name=common_name, not_before=LONG_AGO, not_after=not_after
        )
        chain = b"".join(blob.bytes() for blob in made.cert_chain_pems)
        return Pair(chain, made.private_key_pem.bytes())


class House:
    """A served world, its keys and those who have some."""

    def __init__(self, world: World, authority: Authority) -> None:
        self.world = world
        self.authority = authority
        self.folder: Path = world.folder
        self.tokens: Path = self.folder / "tokens.yaml"
        self.tls = TlsSpec(*(str(self.folder / name) for name in ("s.crt", "s.key")))
        self.install(authority.pair("localhost", "127.0.0.1"))
        self.token("nobody", Role.VIEWER, days=0.0)
        self._open: list[Any] = []

    def install(self, pair: Pair, of: str = "s") -> None:
        """Write a certificate and key as the daemon finds them."""
        (self.folder / f"{of}.crt").write_bytes(pair.cert)
        (self.folder / f"{of}.key").write_bytes(pair.key)

    def token(self, name: str, role: Role, *services: str, days: float = 1.0) -> str:
        text, token = issue(name, role, services, NOW_S + days * DAY_S, NOW_S)
        with changing(self.tokens) as tokens:
            tokens.append(token)
        return text

    def revoke(self, name: str) -> None:
        with changing(self.tokens) as tokens:
            tokens[:] = [token for token in tokens if token.name != name]

    def mutual(self, *clients: ClientSpec) -> SecuritySpec:
        """Of a daemon that wants certificates of our authority."""
        (self.folder / "ca.crt").write_bytes(self.authority.pem)
        tls = TlsSpec(self.tls.certificate, self.tls.key, str(self.folder / "ca.crt"))
        return SecuritySpec(tls, clients=clients)

    def serve(self, spec: SecuritySpec | None = None, address: str = "127.0.0.1:0") -> None:
        """With TLS and tokens, unless ``spec`` says otherwise."""
        spec = spec or SecuritySpec(self.tls, str(self.tokens))
        self.served = self.world.serve(address, spec)
        self._open.append(self.served)
        self.address: str = self.served.server.address

    @property
    def port(self) -> int:
        return int(self.address.rpartition(":")[2])

    def channel(self, token: str = "", pair: Pair | None = None, ca: bytes = b"") -> grpc.Channel:
        """A connection of its own, to a name that the daemon's certificate has."""
        credentials = grpc.ssl_channel_credentials(
            ca or self.authority.pem, pair and pair.key, pair and pair.cert
        )
        if token:
            shown = grpc.access_token_call_credentials(token)
            credentials = grpc.composite_channel_credentials(credentials, shown)
        own = [("grpc.use_local_subchannel_pool", 1)]
        channel = grpc.secure_channel(f"localhost:{self.port}", credentials, own)
        self._open.append(channel)
        return channel

    def stub(self, token: str = "", pair: Pair | None = None, ca: bytes = b"") -> Any:
        return controller_pb2_grpc.ControllerStub(self.channel(token, pair, ca))

    def denials(self) -> list[dict[str, Any]]:
        return [entry.body for entry in self.world.journal.entries(kinds=("denied",))]

    def close(self) -> None:
        for each in reversed(self._open):
            each.close()


@pytest.fixture(scope="session")
def authority() -> Authority:
    return Authority()


@pytest.fixture
def house(new_world: Callable[..., World], authority: Authority) -> Iterator[House]:
    """A world in approve that nobody is served yet."""
    house = House(new_world(Mode.APPROVE, warm=False), authority)
    house.world.tick()
    yield house
    house.close()
