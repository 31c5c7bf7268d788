"""PostgreSQL servers of our own: loaded once, started afresh for every trial, gone at the end."""

from __future__ import annotations

import getpass
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from trimtab_agents.tune_postgres.allowance import Cell, forgotten

DEBIAN = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
TOOLS = "initdb", "pg_isready", "pgbench", "postgres", "psql", "setpriv"
# On a disk, which /tmp need not be.
PLACE, PREFIX = Path("/var/tmp"), "trimtab-pg-"  # noqa: S108  # a folder of our own in it
ROLE, DATABASE = "trimtab", "postgres"
# Nobody can connect from outside.
PRIVATE = "listen_addresses = ''\n"
# A load that is copied for every trial: next to no log beside its data.
LOADING = "wal_level = minimal\nmax_wal_senders = 0\nmin_wal_size = 32MB\nmax_wal_size = 64MB\n"
# Recovery of a copy takes no time: nothing ever crashed in it.
READY_S, POLL_S = 60.0, 0.02
FAILED = re.compile("error:|fatal:", re.IGNORECASE)
# Enters the groups whose files are named first, up to a lone dash, then becomes the rest.
ENTER = 'while [ "$1" != - ]; do echo $$ > "$1" || exit; shift; done; shift; exec "$@"'


class ServerError(Exception):
    """A server that cannot be had, or does not do what it should; the message is PostgreSQL's."""


@dataclass(frozen=True, slots=True)
class Tools:
    """PostgreSQL's own commands, run by a user whom it accepts: it refuses to work for root."""

    path: str = field(
        default_factory=lambda: os.pathsep.join([*map(str, DEBIAN), os.environ.get("PATH", "")])
    )
    user: str = field(default_factory=lambda: "postgres" if os.getuid() == 0 else getpass.getuser())

    def __post_init__(self) -> None:
        for name in TOOLS:
            if shutil.which(name, path=self.path) is None:
                raise ServerError(f"{name} is not installed: apt-get install postgresql")

    def command(self, name: str, *arguments: str, cell: Cell | None = None) -> list[str]:
        """What runs a tool, in a cell if there is one; it dies with us, however we die."""
        become = ["--reuid", self.user, "--regid", self.user, "--init-groups"]
        doors = [str(door) for door in cell.doors] if cell else []
        return [
            "sh", "-c", ENTER, "sh", *doors, "-",
            "setpriv", *(become if os.getuid() == 0 else ()), "--pdeathsig", "KILL",
            str(shutil.which(name, path=self.path)), *arguments,
        ]  # fmt: skip

    def run(self, name: str, *arguments: str, folder: Path) -> str:
        """Run a tool to its end and return what it printed. Raises `ServerError`."""
        done = subprocess.run(
            self.command(name, *arguments),
            cwd="/",
            env=environment(folder),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise ServerError(f"{name}: {gist(done.stderr or done.stdout)}")
        return done.stdout


def environment(folder: Path) -> dict[str, str]:
    """How PostgreSQL's clients find the server whose socket is in ``folder``."""
    return {**os.environ, "PGHOST": str(folder), "PGUSER": ROLE, "PGDATABASE": DATABASE}


def gist(text: str) -> str:
    """What went wrong: the first line that says error, or else the last."""
    lines = text.strip().splitlines() or ["it said nothing"]
    return next((line for line in lines if FAILED.search(line)), lines[-1])


@dataclass(frozen=True, slots=True)
class Server:
    """A running server, reached through a socket in ``folder``."""

    tools: Tools
    folder: Path

    def sql(self, *arguments: str) -> str:
        """What psql prints, values only. Raises `ServerError`."""
        quiet = "-XqAt", "-v", "ON_ERROR_STOP=1"
        return self.tools.run("psql", *quiet, *arguments, folder=self.folder)


@contextmanager
def home(tools: Tools) -> Iterator[Path]:
    """A folder of the server's user, removed at the end, as are those of who was killed before."""
    for old in PLACE.glob(f"{PREFIX}[0-9]*"):
        owner = old.name.removeprefix(PREFIX)
        if owner.isdigit() and not Path("/proc", owner).exists():
            shutil.rmtree(old, ignore_errors=True)
    folder = PLACE / f"{PREFIX}{os.getpid()}"
    folder.mkdir(mode=0o700)
    try:
        shutil.chown(folder, tools.user)
        yield folder
    finally:
        shutil.rmtree(folder)


def loaded(tools: Tools, folder: Path, schema: Path) -> Path:
    """A data directory in ``folder`` with what ``schema`` makes, at rest. Raises `ServerError`."""
    data = folder / "loaded"
    trust = "--auth", "trust", "--username", ROLE
    tools.run("initdb", "-D", str(data), *trust, "--no-sync", folder=folder)
    with running(tools, folder, data, LOADING, signal.SIGINT) as server:
        server.sql("-f", str(schema))
        server.sql("-c", "CREATE EXTENSION IF NOT EXISTS pg_prewarm")
        server.sql("-c", "VACUUM (ANALYZE, FREEZE)")
    return data


@contextmanager
def fresh(
    tools: Tools, folder: Path, data: Path, configuration: str, cell: Cell | None
) -> Iterator[Server]:
    """A server on a copy of ``data``: whatever ran before left it nothing, on disk or in memory.

    Raises `ServerError`.
    """
    copy = folder / "copy"
    try:
        tools.run("cp", "-a", str(data), str(copy), folder=folder)
        forgotten(copy)
        with running(tools, folder, copy, configuration, signal.SIGQUIT, cell) as server:
            yield server
    finally:
        shutil.rmtree(copy, ignore_errors=True)


@contextmanager
def running(
    tools: Tools,
    folder: Path,
    data: Path,
    configuration: str,
    end: signal.Signals,
    cell: Cell | None = None,
) -> Iterator[Server]:
    """A server on a data directory, to which ``end`` is sent at the end. Raises `ServerError`."""
    (data / "postgresql.auto.conf").write_text(PRIVATE + configuration)
    log = folder / "log"
    command = tools.command("postgres", "-D", str(data), "-k", str(folder), cell=cell)
    with log.open("w") as said, subprocess.Popen(command, cwd="/", stderr=said) as postgres:
        try:
            _await(tools, folder, postgres, log)
            yield Server(tools, folder)
        finally:
            postgres.send_signal(end)


def _await(tools: Tools, folder: Path, postgres: subprocess.Popen[bytes], log: Path) -> None:
    """Until it answers, or died, or will never."""
    asked = tools.command("pg_isready", "--quiet")
    for _ in range(int(READY_S / POLL_S)):
        if postgres.poll() is not None:
            break
        if subprocess.run(asked, cwd="/", env=environment(folder), check=False).returncode == 0:
            return
        time.sleep(POLL_S)
    raise ServerError(f"postgres did not start: {gist(log.read_text())}")
