"""A real tune of a real server, a few seconds long; what it prints a real server takes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest
from click.testing import CliRunner

from trimtab_agents.tune_command import tune
from trimtab_agents.tune_postgres.allowance import ROOT
from trimtab_agents.tune_postgres.patch import patch
from trimtab_agents.tune_postgres.server import PLACE, PREFIX, ServerError, Tools, home
from trimtab_agents.tune_postgres.settings import Settings

SCHEMA = """CREATE TABLE t (id int PRIMARY KEY, v text NOT NULL);
INSERT INTO t SELECT n, md5(n::text) FROM generate_series(1, 20000) n;
"""
READ = "\\set id random(1, 20000)\nSELECT v FROM t WHERE id = :id;\n"
WRITE = "\\set id random(1, 20000)\nUPDATE t SET v = md5(v) WHERE id = :id;\n"
SIZES = "--cpus", "0.5,1", "--memory-mb", "128,256", "--clients", "2,4"


def installed() -> bool:
    try:
        Tools()
    except ServerError:
        return False
    return True


pytestmark = pytest.mark.skipif(not installed(), reason="PostgreSQL is not installed")


@dataclass(frozen=True, slots=True)
class Inputs:
    folder: Path

    def arguments(self, *more: object) -> list[str]:
        asked = "--schema", self.folder / "schema.sql", "--script", f"{self.folder}/read.sql@4"
        usual = "--script", self.folder / "write.sql", "--study", self.folder / "study.db"
        return [str(each) for each in ("postgres", *asked, *usual, "--trial-s", 1, *more)]

    def run(self, *more: object) -> tuple[int, str, str]:
        result = CliRunner().invoke(tune, self.arguments(*more))
        return result.exit_code, result.stdout, result.stderr


@pytest.fixture
def inputs(tmp_path: Path) -> Inputs:
    for name, text in {"schema": SCHEMA, "read": READ, "write": WRITE}.items():
        (tmp_path / f"{name}.sql").write_text(text)
    return Inputs(tmp_path)


def left() -> list[Path]:
    """Folders and control groups of ours."""
    return [
        *PLACE.glob(f"{PREFIX}{os.getpid()}*"),
        *ROOT.glob(f"**/trimtab-{os.getpid()}-*"),
    ]


def as_root(sizes: tuple[str, ...]) -> tuple[str, ...]:
    return sizes if os.getuid() == 0 else ("--no-allowance",)


def test_a_real_tune_goes_on_and_leaves_nothing(inputs: Inputs) -> None:
    told = inputs.folder / "found.json"
    code, printed, report = inputs.run(*as_root(SIZES), "--trials", 1, "--json", told)
    assert (code, printed) == (3, ""), report
    assert "  1 a new server's settings: " in report
    assert "leave them" in report
    facts = json.loads(told.read_text())
    assert facts["found"] == facts["usual"]
    assert (facts["saving"], facts["better"]) == (0.0, False)
    code, printed, report = inputs.run(*as_root(SIZES), "--trials", 2, "--json", told)
    assert code in (0, 3), report
    assert (code == 0) == printed.startswith("-- By trimtab tune postgres")
    assert "  1 a new" not in report, "what was tried is not tried again"
    assert "2 of " in report
    assert json.loads(told.read_text())["better"] is (code == 0)
    assert not left()


def test_a_patch_is_taken_by_a_server(server: str) -> None:
    usual, other = Settings(), Settings(0.5, 1024, 4, 40, 32, 1.1, "plain")
    with psycopg.connect(server, autocommit=True) as connection:
        for settings in (usual, other):
            for line in patch(settings, "why", held=True).splitlines():
                connection.execute(line.encode())
            rows = connection.execute("SELECT name, setting FROM pg_file_settings").fetchall()
            assert settings.configuration.items() <= dict(rows).items()
        connection.execute("ALTER SYSTEM RESET ALL")


def broken_schema(folder: Path) -> None:
    (folder / "schema.sql").write_text("CREATE TABEL t (id int);")


def broken_script(folder: Path) -> None:
    (folder / "read.sql").write_text("SELECT v FROM nowhere;")


@pytest.mark.parametrize(
    ("spoil", "more", "message"),
    [
        pytest.param(broken_schema, (), 'syntax error at or near "TABEL"', id="schema"),
        pytest.param(broken_script, (), 'relation "nowhere" does not exist', id="script"),
        pytest.param(None, ("--script", "no.sql"), "there is no such script", id="missing"),
        pytest.param(None, ("--cpus", "1,x"), "could not convert", id="cpus"),
        pytest.param(None, ("--clients", "0,4"), "numbers above 0", id="clients"),
    ],
)
def test_what_cannot_be_is_said_in_a_sentence(
    spoil: Callable[[Path], None] | None, more: tuple[str, ...], message: str, inputs: Inputs
) -> None:
    if spoil:
        spoil(inputs.folder)
    code, printed, report = inputs.run("--no-allowance", "--trials", 1, *more)
    assert code in (1, 2)
    assert printed == ""
    assert message in report
    assert "Traceback" not in report
    assert not left()


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_no_server_outlives_the_command(how: signal.Signals, inputs: Inputs) -> None:
    command = [sys.executable, "-m", "trimtab_agents.tune_command"]
    arguments = inputs.arguments("--no-allowance", "--trial-s", 60)
    with subprocess.Popen([*command, *arguments], stderr=subprocess.PIPE, text=True) as tuning:
        folder = PLACE / f"{PREFIX}{tuning.pid}"
        until(lambda: any(asking(folder)))
        tuning.send_signal(how)
        _, said = tuning.communicate()
    until(lambda: not any(of(folder)))
    if how == signal.SIGTERM:
        assert "interrupted; the same command goes on" in said
        assert not folder.exists()
    else:
        assert folder.exists()
        with home(Tools()):
            assert not folder.exists(), "the next one cleans up"


def of(folder: Path) -> list[Any]:
    """The processes of a server in a folder."""
    found = psutil.process_iter(["cmdline"])
    return [each for each in found if str(folder) in " ".join(each.info["cmdline"] or [])]


def asking(folder: Path) -> list[Any]:
    return [each for each in of(folder) if "--time=60" in each.info["cmdline"]]


def until(true: Callable[[], bool]) -> None:
    while not true():  # Pytest's time limit ends what never comes.
        time.sleep(0.05)
