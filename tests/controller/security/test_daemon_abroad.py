"""The daemon as a process that others can reach: what it needs to start, and whom it obeys."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from trimtab_controller.journal import read, verify
from trimtab_controller.security.roles import Role
from trimtab_controller.security.tokens import changing, issue

Processes = Any  # the classes in the conftest.py files, which cannot be imported from here
Authority = Any
PATIENCE_S = 30.0
DEMO = (files("trimtab_controller") / "demo.yaml").read_text()
SECURITY = "security: {tls: {certificate: s.crt, key: s.key}, tokens: tokens.yaml}\n"


@pytest.fixture
def folder(processes: Processes, authority: Authority) -> Path:
    """A configuration with all that the daemon needs abroad, and a viewer's token."""
    pair = authority.pair("localhost")
    folder: Path = processes.folder
    (folder / "ca.pem").write_bytes(authority.pem)
    (folder / "s.crt").write_bytes(pair.cert)
    (folder / "s.key").write_bytes(pair.key)
    (folder / "trimtab.yaml").write_text(DEMO + SECURITY)
    text, token = issue("ann", Role.OPERATOR, (), 1e12, 0.0)
    (folder / "ann.token").write_text(text)
    with changing(folder / "tokens.yaml") as tokens:
        tokens.append(token)
    return folder


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def trimtab(folder: Path, *arguments: str) -> str:
    command = [sys.executable, "-c", "from trimtab_controller.cli import main; main()", *arguments]
    return subprocess.run(
        command,
        cwd=folder,
        env=os.environ | {"TRIMTAB_CA": "ca.pem", "TRIMTAB_TOKEN_FILE": "ann.token"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    ).stdout


def test_it_obeys_those_who_may_and_remembers_the_others(
    processes: Processes, folder: Path
) -> None:
    port = free_port()
    daemon = processes.start_daemon(
        "--config", f"{folder}/trimtab.yaml", "--listen", f"0.0.0.0:{port}"
    )
    address = ("--address", f"localhost:{port}")
    while "nothing answers" in (said := trimtab(folder, "stop", "--why", "smoke", *address)):
        assert daemon.poll() is None
    assert said.startswith("stopped")
    assert "ann is operator, and this needs admin" in trimtab(folder, "resume", *address)
    daemon.terminate()
    assert daemon.wait(PATIENCE_S) == 0
    journal = folder / "j.db"
    assert verify(journal).ok
    found = {entry.kind: entry.body for entry in read(journal, kinds=("stop", "denied"))}
    assert found["stop"] == {"who": "ann", "why": "smoke"}
    assert found["denied"]["caller"] == "ann"
    log = (folder / "trimtab_controller.daemon.log").read_text()
    assert f"listening at 0.0.0.0:{port} for those with tokens" in log
    assert "Traceback" not in log


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        pytest.param(SECURITY, "", "needs TLS and authentication", id="nothing configured"),
        pytest.param("tokens.yaml", "no.yaml", "no.yaml: there is no such file", id="no tokens"),
        pytest.param("s.key", "no.key", "no.key: No such file", id="no key"),
        pytest.param("s.key", "ca.pem", "not a PEM certificate chain and its", id="no key in it"),
    ],
)
def test_what_it_does_not_start_with(
    processes: Processes, folder: Path, old: str, new: str, message: str
) -> None:
    file = folder / "trimtab.yaml"
    file.write_text(file.read_text().replace(old, new))
    daemon = processes.start_daemon("--config", str(file), "--listen", "0.0.0.0:0")
    assert daemon.wait(PATIENCE_S) != 0
    log = (folder / "trimtab_controller.daemon.log").read_text()
    assert message in log
    assert "Traceback" not in log
