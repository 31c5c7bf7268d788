"""Metrics for those who may look: TLS, a token for every service; denials are journalled."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import urllib3

from trimtab_controller.security.roles import Role
from trimtab_controller.security.spec import SecuritySpec
from trimtab_controller.telemetry.exposition import Exposition
from trimtab_controller.telemetry.metrics import Metrics

House = Any  # the class in conftest.py, which cannot be imported from here


@pytest.fixture
def ask(house: House) -> Iterator[Callable[[str], tuple[int, str]]]:
    """Scrape with a token, or with none for an empty one: status and body."""
    house.serve(SecuritySpec(house.tls, str(house.tokens)))
    registry = Metrics(house.world.board, "fixed", 1000, house.world.clock).registry
    exposition = Exposition(registry, "127.0.0.1:0", house.served.entrance)

    def scrape(token: str = "", authority: bytes = house.authority.pem) -> tuple[int, str]:
        context = ssl.create_default_context(cadata=authority.decode())
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        pool = urllib3.PoolManager(ssl_context=context, retries=False, timeout=5.0)
        reply = pool.request("GET", f"https://{exposition.address}/metrics", headers=headers)
        return reply.status, reply.data.decode()

    yield scrape
    exposition.close()


def test_any_role_may_look_at_all_services(house: House, ask: Any) -> None:
    status, body = ask(house.token("prometheus", Role.VIEWER))
    assert status == 200
    assert "trimtab_stopped 0.0" in body


@pytest.mark.parametrize(
    ("name", "services", "status", "says"),
    [
        pytest.param("", (), 401, "no token", id="no token"),
        pytest.param("ben", ("web",), 403, "ben may not see every service", id="one service"),
    ],
)
def test_others_may_not_and_are_remembered(
    house: House, ask: Any, name: str, services: tuple[str, ...], status: int, says: str
) -> None:
    token = house.token(name, Role.ADMIN, *services) if name else ""
    found, body = ask(token)
    assert (found, says in body) == (status, True)
    (denial,) = house.denials()
    assert (denial["method"], denial["caller"]) == ("/metrics", name)
    assert says in denial["reason"]


def test_a_revoked_token_is_told(house: House, ask: Any) -> None:
    token = house.token("ann", Role.VIEWER)
    house.revoke("ann")
    assert ask(token)[0] == 401


def test_nothing_is_served_in_the_clear(house: House, ask: Any) -> None:
    token = house.token("prometheus", Role.VIEWER)
    ask(token)
    with pytest.raises(urllib3.exceptions.SSLError):
        ask(token, authority=type(house.authority)().pem)


def test_a_renewed_certificate_counts_at_the_next_connection(house: House, ask: Any) -> None:
    other = type(house.authority)()
    token = house.token("prometheus", Role.VIEWER)
    house.install(other.pair("localhost", "127.0.0.1"))
    assert ask(token, authority=other.pem)[0] == 200
