"""TLS on the daemon's port: who is let in, and what a rotation does, by real handshakes."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import grpc
import pytest

from trimtab_controller.security.addresses import AddressError, check_address
from trimtab_controller.security.certificates import Certificates
from trimtab_controller.security.roles import Role
from trimtab_controller.security.spec import ClientSpec, SecuritySpec, TlsSpec
from trimtab_proto.v1 import controller_pb2 as pb
from trimtab_sim.schema import ConfigError

House = Any  # the class in conftest.py, which cannot be imported from here
Authority = Any
Code = grpc.StatusCode
PENDING = pb.ListPendingRequest()


def code(call: Any, request: Any = PENDING) -> Code:
    with pytest.raises(grpc.RpcError) as refused:
        call(request, timeout=5.0)
    return refused.value.code()


def test_the_daemon_shows_a_certificate_and_only_then_is_spoken_to(house: House) -> None:
    token = house.token("ann", Role.VIEWER)
    house.serve()
    assert house.stub(token).ListPending(PENDING, timeout=5.0) == pb.ListPendingReply()
    stranger = type(house.authority)()
    assert code(house.stub(token, ca=stranger.pem).ListPending) is Code.UNAVAILABLE
    with grpc.insecure_channel(house.address) as plain:
        call = plain.unary_unary("/trimtab.v1.Controller/ListPending")
        assert code(call, b"") is Code.UNAVAILABLE


def test_with_mutual_tls_only_certified_clients_get_a_connection(house: House) -> None:
    house.serve(house.mutual(ClientSpec("keda", Role.VIEWER)))
    mine, stranger = house.authority.pair("keda"), type(house.authority)().pair("keda")
    assert house.stub(pair=mine).ListPending(PENDING, timeout=5.0) == pb.ListPendingReply()
    assert code(house.stub().ListPending) is Code.UNAVAILABLE
    assert code(house.stub(pair=stranger).ListPending) is Code.UNAVAILABLE
    assert house.denials() == []  # TLS itself refused them: there was no call


@pytest.mark.parametrize(
    ("names", "common_name", "known"),
    [
        pytest.param(["keda"], None, True, id="alternative name"),
        pytest.param(["other", "keda"], None, True, id="one of several"),
        pytest.param([], "keda", True, id="common name alone"),
        pytest.param(["keda@example.org"], None, False, id="mail address"),
        pytest.param(["kedaa"], None, False, id="longer"),
        pytest.param(["other"], "keda", False, id="common name beside an alternative one"),
    ],
)
def test_whom_a_certificate_names(
    house: House, names: list[str], common_name: str | None, known: bool
) -> None:
    house.serve(house.mutual(ClientSpec("keda", Role.VIEWER)))
    pair = house.authority.pair(*names, common_name=common_name)
    call = house.stub(pair=pair).ListPending
    if known:
        call(PENDING, timeout=5.0)
        return
    assert code(call) is Code.UNAUTHENTICATED
    assert repr(names[0]) in house.denials()[0]["reason"]


def subject(house: House) -> Any:
    """What a new connection is shown."""
    context = ssl.create_default_context(cadata=house.authority.pem.decode())
    with (
        socket.create_connection(("127.0.0.1", house.port), 5.0) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as secure,
    ):
        return secure.getpeercert()["serialNumber"]  # type: ignore[index]


def test_a_rotation_is_followed_while_a_watch_goes_on(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    token = house.token("ann", Role.VIEWER)
    house.serve()
    watch = house.stub(token).WatchDecisions(pb.WatchDecisionsRequest(), timeout=30.0)
    next(watch)
    first = subject(house)
    house.install(house.authority.pair("localhost"))
    second = subject(house)
    assert second != first
    (house.folder / "s.crt").write_text("half a certifi")
    assert [subject(house), subject(house)] == [second, second]
    expired(house)
    assert [subject(house), subject(house)] == [second, second]
    told = [r.getMessage() for r in caplog.records if "the last good one stays" in r.getMessage()]
    assert len(told) == 2
    assert "s.crt" in told[0]
    assert "expired" in told[1]
    house.install(house.authority.pair("localhost"))
    assert subject(house) not in (first, second)
    house.world.tick()
    assert next(watch).service == "web"
    watch.cancel()


def test_the_clients_ca_is_rotated_too(house: House) -> None:
    house.serve(house.mutual(ClientSpec("keda", Role.VIEWER)))
    newer = type(house.authority)()
    pair = newer.pair("keda")
    assert code(house.stub(pair=pair).ListPending) is Code.UNAVAILABLE
    (house.folder / "ca.crt").write_bytes(newer.pem)
    house.stub(pair=pair).ListPending(PENDING, timeout=5.0)
    assert code(house.stub(pair=house.authority.pair("keda")).ListPending) is Code.UNAVAILABLE


def missing(house: House) -> None:
    (house.folder / "s.key").unlink()


def swapped(house: House) -> None:
    other = house.authority.pair("localhost")
    (house.folder / "s.key").write_bytes(other.key)


def empty(house: House) -> None:
    (house.folder / "s.crt").write_text("")


def expired(house: House) -> None:
    house.install(house.authority.pair("localhost", not_after=datetime(2020, 1, 1, tzinfo=UTC)))


def foreign_ca(house: House) -> None:
    (house.folder / "ca.crt").write_text("no CA")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        pytest.param(missing, r"s\.key: No such file", id="missing"),
        pytest.param(swapped, r"s\.crt and .*s\.key: .*KEY_VALUES_MISMATCH", id="another key"),
        pytest.param(empty, r"s\.crt and .*s\.key: not a PEM", id="empty"),
        pytest.param(expired, r"s\.crt: certificate has expired: renew it", id="expired"),
        pytest.param(foreign_ca, r"ca\.crt: not the PEM certificate of a CA", id="no CA"),
    ],
)
def test_files_that_cannot_be_used(
    house: House, spoil: Callable[[House], None], message: str
) -> None:
    spec = house.mutual(ClientSpec("keda", Role.VIEWER))
    spoil(house)
    with pytest.raises(ConfigError, match=message):
        Certificates(spec.tls)


def test_an_encrypted_key_asks_nobody(house: House) -> None:
    from cryptography.hazmat.primitives import serialization as pem

    key = pem.load_pem_private_key((house.folder / "s.key").read_bytes(), None)
    locked = pem.BestAvailableEncryption(b"x")
    text = key.private_bytes(pem.Encoding.PEM, pem.PrivateFormat.PKCS8, locked)
    (house.folder / "s.key").write_bytes(text)
    with pytest.raises(ConfigError, match="the key is encrypted"):
        Certificates(house.tls)


TLS, MUTUAL = TlsSpec("c", "k"), TlsSpec("c", "k", "a")
CLIENTS = (ClientSpec("keda", Role.VIEWER),)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        pytest.param(SecuritySpec(), "needs TLS and authentication", id="nothing"),
        pytest.param(SecuritySpec(TLS), "make tokens with `trimtab token", id="TLS alone"),
        pytest.param(SecuritySpec(MUTUAL), "tokens: FILE", id="nobody is known"),
        pytest.param(SecuritySpec(tokens="t"), "tls: {certificate: FILE", id="in the clear"),
        pytest.param(SecuritySpec(TLS, tokens="t"), "", id="TLS and tokens"),
        pytest.param(SecuritySpec(MUTUAL, clients=CLIENTS), "", id="mutual TLS"),
    ],
)
@pytest.mark.parametrize("host", ["0.0.0.0", "[::]", "192.168.1.1", "example.org", ""])
def test_what_an_address_that_others_reach_needs(
    spec: SecuritySpec, message: str, host: str
) -> None:
    if not message:
        check_address(f"{host}:7070", spec)
        return
    with pytest.raises(AddressError, match=message):
        check_address(f"{host}:7070", spec)


def test_clients_with_certificates_cannot_come_by_socket(house: House) -> None:
    with pytest.raises(AddressError, match="no certificates are shown there"):
        check_address(f"unix:{house.folder}/d.sock", SecuritySpec(MUTUAL, clients=CLIENTS))
