"""`trimtab console`: where it may listen, and who gets in from elsewhere."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import trustme
from click.testing import CliRunner

from trimtab_controller.cli.console import console
from trimtab_controller.security.roles import Role
from trimtab_controller.security.spec import SecuritySpec
from trimtab_controller.security.tokens import changing, issue

World, Processes = Any, Any  # the classes in the conftest.py above


@pytest.fixture
def pem(tmp_path: Path) -> Path:
    """A certificate and key of this machine, in one file each."""
    authority = trustme.CA()
    made = authority.issue_cert("127.0.0.1", "localhost")
    made.cert_chain_pems[0].write_to_path(tmp_path / "c.crt")
    made.private_key_pem.write_to_path(tmp_path / "c.key")
    authority.cert_pem.write_to_path(tmp_path / "ca.crt")
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--listen", "0.0.0.0:8088"], "needs --tls-certificate and --tls-key"),
        (["--listen", "8088"], "give HOST:PORT"),
        (["--listen", "127.0.0.1:0"], "give HOST:PORT"),
        (["--listen", "127.0.0.1:http"], "give HOST:PORT"),
        (["--tls-certificate", "c.crt"], "belong together"),
        (["--token-file", "token"], "sign in with tokens of their own"),
    ],
    ids=["abroad in the clear", "no host", "port 0", "a name", "half a pair", "one for all"],
)
def test_what_it_does_not_start_with(
    pem: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], said: str
) -> None:
    monkeypatch.chdir(pem)
    result = CliRunner().invoke(console, ["--address", "unix:/nowhere", *arguments])
    assert result.exit_code == 2
    assert said in " ".join(result.output.split()).replace("│ ", "")


def test_a_port_that_is_taken_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        result = CliRunner().invoke(console, ["--address", "unix:/x", "--listen", address])
    assert result.exit_code == 1
    assert f"{address} cannot be used: Address already in use" in result.output


class Abroad:
    """A console at https on every address of this machine, before a daemon as ``security`` says."""

    def __init__(
        self, world: World, processes: Processes, pem: Path, security: SecuritySpec
    ) -> None:
        world.tick()
        self.served = world.serve(f"unix:{pem}/d.sock", security)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        processes.start(
            "trimtab_controller.cli.console", f"--address=unix:{pem}/d.sock",
            f"--listen=0.0.0.0:{port}", f"--tls-certificate={pem}/c.crt", f"--tls-key={pem}/c.key",
        )  # fmt: skip
        self.url = f"https://localhost:{port}"
        self.browser = httpx.Client(
            verify=ssl.create_default_context(cafile=pem / "ca.crt"), base_url=self.url
        )
        self.wait()

    def wait(self) -> None:
        for _ in range(300):
            try:
                self.browser.get("/login")
                return
            except httpx.TransportError:
                time.sleep(0.1)
        raise AssertionError(f"{self.url} does not answer")

    def enter(self, token: str) -> httpx.Response:
        sent = {"token": token}
        return self.browser.post("/login", data=sent, headers={"origin": self.url})


@pytest.fixture
def abroad(world: World, processes: Processes, pem: Path) -> Iterator[Any]:
    started: list[Abroad] = []

    def start(security: SecuritySpec) -> Abroad:
        started.append(Abroad(world, processes, pem, security))
        return started[0]

    yield start
    for each in started:
        each.browser.close()
        each.served.close()


def test_from_elsewhere_nobody_gets_in_without_a_token(
    abroad: Any, world: World, pem: Path
) -> None:
    now_s = world.clock()
    text, token = issue("ann", Role.VIEWER, (), now_s + 3600.0, now_s)
    with changing(pem / "tokens.yaml") as tokens:
        tokens.append(token)
    house = abroad(SecuritySpec(tokens=str(pem / "tokens.yaml")))
    assert house.browser.get("/").headers["location"] == "/login"
    first = house.browser.get("/login")
    assert (first.status_code, "Paste the token" in first.text) == (200, True)
    assert "set-cookie" not in first.headers
    assert house.enter("trimtab_guess").status_code == 401
    entered = house.enter(text)
    assert (entered.status_code, entered.headers["location"]) == (303, "/")
    assert "Secure" in entered.headers["set-cookie"]
    assert "HttpOnly" in entered.headers["set-cookie"]
    assert "ann, viewer" in house.browser.get("/").text
    left = house.browser.post("/logout", headers={"origin": house.url, "content-length": "0"})
    assert left.headers["location"] == "/login"
    assert house.browser.get("/").headers["location"] == "/login"


def test_from_elsewhere_a_daemon_that_asks_for_nothing_is_not_shown(abroad: Any) -> None:
    house = abroad(SecuritySpec())
    refused = house.enter("anything")
    assert refused.status_code == 403
    assert "must not be reached from elsewhere" in refused.text
    assert "set-cookie" not in refused.headers
