"""Both stores: a file, and a real PostgreSQL server of our own that is gone at the end."""

from __future__ import annotations

import getpass
import os
import shutil
import sqlite3
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, TypeVar

import psycopg
import pytest

from trimtab_controller.journal import Journal, is_url

SERVER_USER = "postgres" if os.getuid() == 0 else getpass.getuser()
DEBIAN = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
Where = TypeVar("Where", Path, str)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A journal in a file that is not there yet."""
    return tmp_path / "journal.db"


@pytest.fixture(params=["file", "postgres"])
def location(request: pytest.FixtureRequest, path: Path) -> str:
    """A journal that is not there yet, in either store."""
    if request.param == "file":
        return str(path)
    url: str = request.getfixturevalue("postgres_url")
    return url


@pytest.fixture
def journal(location: str) -> Iterator[Journal]:
    """An empty one, open."""
    with Journal.open(location) as opened:
        yield opened


@pytest.fixture
def postgres_url(server: str) -> str:
    """A database without a journal."""
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute("DROP SCHEMA IF EXISTS trimtab CASCADE")
    return server


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    """The URL of a cluster of our own, on a Unix socket."""
    folder = Path(tempfile.mkdtemp(prefix="trimtab-pg-"))
    shutil.chown(folder, SERVER_USER)
    data, options = str(folder / "data"), f"-k {folder} -c listen_addresses=''"
    try:
        run("initdb", "-D", data, "--auth", "trust", "--username", "trimtab", "--no-sync")
        run("pg_ctl", "-D", data, "-o", options, "-l", str(folder / "log"), "-w", "start")
        try:
            yield f"postgresql://trimtab@/postgres?host={folder}"
        finally:
            run("pg_ctl", "-D", data, "-m", "immediate", "-w", "stop")
    finally:
        shutil.rmtree(folder)


def run(tool: str, *arguments: str) -> None:
    """One of PostgreSQL's own commands; it refuses to work for root."""
    found = shutil.which(tool, path=os.pathsep.join([*map(str, DEBIAN), os.environ["PATH"]]))
    if found is None:
        pytest.skip("PostgreSQL is not installed: apt-get install postgresql")
    subprocess.run(
        [found, *arguments], user=SERVER_USER, check=True, cwd="/", stdout=subprocess.DEVNULL
    )


def filled(where: Where, records: int = 9) -> Where:
    """A journal with some records, every third an act."""
    with Journal.open(where) as journal:
        for number in range(records):
            journal.append("tick" if number % 3 else "act", {"n": number}, 1000.0 + number)
    return where


@contextmanager
def hands_on(where: Path | str, *, triggers: bool = False) -> Iterator[Callable[..., Any]]:
    """What somebody can do who owns the store: run SQL, with its triggers out of the way or not."""
    if is_url(where):
        with psycopg.connect(str(where), autocommit=True) as connection:
            role = "origin" if triggers else "replica"
            connection.execute(f"SET session_replication_role = {role}; SET search_path = trimtab")
            yield connection.execute
    else:
        with closing(sqlite3.connect(where, isolation_level=None)) as database:
            for trigger in () if triggers else ("entries_stay", "entries_remain"):
                database.execute(f"DROP TRIGGER IF EXISTS {trigger}")
            yield database.execute
