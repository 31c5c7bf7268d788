"""`trimtab` as a user of a daemon elsewhere: certificates, tokens, and one-line errors."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from trimtab_controller.security.roles import Role
from trimtab_controller.security.spec import ClientSpec, SecuritySpec

House = Any  # the class in conftest.py, which cannot be imported from here


@pytest.fixture
def home(house: House) -> House:
    """The files that a user has, beside those that do not fit."""
    (house.folder / "ca.pem").write_bytes(house.authority.pem)
    stranger = type(house.authority)()
    (house.folder / "other.pem").write_bytes(stranger.pem)
    house.install(house.authority.pair("keda"), of="keda")
    house.install(stranger.pair("keda"), of="eve")
    for name, role in (("ann", Role.VIEWER), ("bob", Role.ADMIN)):
        (house.folder / f"{name}.token").write_text(house.token(name, role) + "\n")
    (house.folder / "old.token").write_text(house.token("old", Role.ADMIN, days=-1.0))
    return house


def trimtab(house: House, *arguments: str, **environment: str) -> tuple[int, str]:
    """Exit code, and all that a real process says."""
    command = [sys.executable, "-c", "from trimtab_controller.cli import main; main()"]
    address = house.address.replace("127.0.0.1", "localhost")
    done = subprocess.run(
        [*command, *arguments, "--address", address],
        cwd=house.folder,
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60.0,
        check=False,
    )
    return done.returncode, done.stdout


FROM_FILE = "TRIMTAB_TOKEN_FILE"
CA = ("--ca", "ca.pem")
KEDA = ("--cert", "keda.crt", "--key", "keda.key")
NOTHING = (0, "nothing is pending\n")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        pytest.param(("pending",), "give --ca where it uses TLS", id="no CA"),
        pytest.param(("pending", "--ca", "other.pem"), "do not trust each other", id="other CA"),
        pytest.param(("pending", "--ca", "no.pem"), "no.pem: No such file", id="no such CA"),
        pytest.param(("pending", *CA), "no token: send", id="no token"),
        pytest.param(("pending", *CA, *KEDA[:2]), "--cert and --key belong", id="half a pair"),
        pytest.param(
            ("resume", *CA, "--token-file", "ann.token"),
            "ann is viewer, and this needs admin (PERMISSION_DENIED)",
            id="viewer",
        ),
        pytest.param(("pending", *CA, "--token-file", "old.token"), "has expired", id="expired"),
    ],
)
def test_what_is_wrong_is_one_line(home: House, arguments: tuple[str, ...], says: str) -> None:
    home.serve()
    code, said = trimtab(home, *arguments)
    assert code != 0
    assert says in said
    assert "Traceback" not in said
    assert said.splitlines()[-1].startswith("Error: ")
    assert sum("Error: " in line for line in said.splitlines()) == 1


def test_a_token_comes_from_a_file_or_the_environment(home: House) -> None:
    home.serve()
    assert trimtab(home, "pending", *CA, "--token-file", "ann.token") == NOTHING
    token = (home.folder / "ann.token").read_text()
    assert trimtab(home, "pending", TRIMTAB_CA="ca.pem", TRIMTAB_TOKEN=token) == NOTHING
    assert trimtab(home, "pending", *CA, **{FROM_FILE: "ann.token"}) == NOTHING


def test_no_option_takes_a_token_itself(home: House) -> None:
    """Every user of a machine can read every command line."""
    home.serve()
    code, said = trimtab(home, "pending", "--token", "trimtab_x")
    assert code == 2
    assert "No such option" in said


def test_a_certificate_is_shown(home: House) -> None:
    home.serve(home.mutual(ClientSpec("keda", Role.VIEWER)))
    assert trimtab(home, "pending", *CA, *KEDA) == NOTHING
    code, said = trimtab(home, "pending", *CA, "--cert", "eve.crt", "--key", "eve.key")
    assert code == 1
    assert said.startswith("Error: ")


def test_a_token_for_a_socket_of_this_machine(home: House) -> None:
    home.serve(SecuritySpec(tokens=str(home.tokens)), f"unix:{home.folder}/d.sock")
    assert trimtab(home, "pending")[0] == 1
    assert trimtab(home, "pending", **{FROM_FILE: "ann.token"}) == NOTHING
    assert Path(f"{home.folder}/d.sock").stat().st_mode & 0o077 == 0


def test_a_token_is_never_sent_abroad_in_the_clear(home: House) -> None:
    """Whoever answers at an address abroad must show a certificate before it sees anything."""
    with socket.create_server(("127.0.0.2", 0)) as eve:
        home.address = f"127.0.0.2:{eve.getsockname()[1]}"
        heard: list[bytes] = []

        def listen() -> None:
            with eve.accept()[0] as victim:
                heard.append(victim.recv(2**16))

        listener = threading.Thread(target=listen)
        listener.start()
        trimtab(home, "pending", **{FROM_FILE: "ann.token"})
        listener.join()
    tls_handshake = b"\x16\x03"
    assert heard[0].startswith(tls_handshake)
    assert b"trimtab_" not in heard[0]
