"""What a server is asked to do: pgbench scripts by weight, and how long each answer took."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Self

import numpy as np

from trimtab_agents.tune_postgres.allowance import Cell
from trimtab_agents.tune_postgres.server import Server, ServerError, environment, gist
from trimtab_sim.profile import Floats

SHOP = Path(str(files("trimtab_agents.tune_postgres") / "shop"))


class WorkloadError(ValueError):
    """A workload that cannot be; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Script:
    """A pgbench script and how often it is drawn, against the others."""

    file: Path
    weight: int = 1

    @classmethod
    def of(cls, text: str) -> Self:
        """As on the command line: ``read.sql@50``, or just ``read.sql``. Raises `WorkloadError`."""
        name, _, weight = text.partition("@")
        if not Path(name).is_file():
            raise WorkloadError(f"{name}: there is no such script")
        if weight and not (weight.isdigit() and int(weight)):
            raise WorkloadError(f"{text}: a weight is a whole number above 0")
        return cls(Path(name), int(weight or 1))


@dataclass(frozen=True, slots=True)
class Workload:
    """schema: SQL that makes and fills the tables; scripts: drawn by weight."""

    schema: Path
    scripts: tuple[Script, ...]

    @property
    def shares(self) -> Floats:
        """Of each script among all transactions."""
        weights = np.array([script.weight for script in self.scripts], dtype=np.float64)
        shares: Floats = weights / weights.sum()
        return shares

    @property
    def contents(self) -> list[str]:
        """What all its files say, with weights."""
        scripts = [f"{script.weight} {script.file.read_text()}" for script in self.scripts]
        return [self.schema.read_text(), *scripts]

    def copied(self, folder: Path) -> Workload:
        """The same in files that the server's user can read, wherever these are."""
        scripts = [
            Script(_copy(script.file, folder / f"{place}.sql"), script.weight)
            for place, script in enumerate(self.scripts)
        ]
        return Workload(_copy(self.schema, folder / "schema.sql"), tuple(scripts))


def _copy(file: Path, to: Path) -> Path:
    shutil.copyfile(file, to)
    to.chmod(0o644)
    return to


def shop() -> Workload:
    """The workload that comes with trimtab: mostly small reads and orders, some reports."""
    weights = {"read": 50, "latest": 25, "order": 20, "region": 3, "report": 2}
    scripts = tuple(Script(SHOP / f"{name}.sql", weight) for name, weight in weights.items())
    return Workload(SHOP / "schema.sql", scripts)


@dataclass(frozen=True, slots=True)
class Seen:
    """What was seen so far.

    latency_s: mean; late: share of answers later than the bound. Both weigh each script by its
    share of the workload, not by how often chance drew it.
    """

    latency_s: float
    late: float
    answers: int


def play(
    server: Server, workload: Workload, clients: int, seconds: int, bound_s: float,
    cell: Cell | None,
) -> Iterator[Seen]:  # fmt: skip
    """Keep ``clients`` asking for some seconds; what was seen after each, at last with all answers.

    Every server is asked the same in the same order. Raises `ServerError` when it refuses.
    """
    scripts = [f"--file={script.file}@{script.weight}" for script in workload.scripts]
    log = server.folder / "answers"
    command = server.tools.command(
        "pgbench", "--no-vacuum", *scripts, f"--client={clients}", f"--time={seconds}",
        "--random-seed=0", "--max-tries=10", "--log", f"--log-prefix={log}", cell=cell,
    )  # fmt: skip
    with subprocess.Popen(
        command, cwd="/", env=environment(server.folder), text=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
    ) as pgbench:  # fmt: skip
        try:
            for _ in range(seconds - 1):
                with suppress(subprocess.TimeoutExpired):
                    pgbench.wait(1.0)
                    break
                yield weighed(answers(server.folder), workload, bound_s)
            _, said = pgbench.communicate()
            if pgbench.returncode:
                raise ServerError(f"pgbench: {gist(said)}")
            yield weighed(answers(server.folder), workload, bound_s)
        finally:
            pgbench.kill()
            for file in server.folder.glob("answers.*"):
                file.unlink()


def answers(folder: Path) -> Floats:
    """Microseconds and the script's place, of each answer in pgbench's log: shape [answer, 2].

    One that failed, all tries over, took for ever.
    """
    lines = "".join(file.read_text() for file in folder.glob("answers.*")).splitlines(True)
    whole = [line.split() for line in lines if line.endswith("\n")]
    return np.array(
        [(row[2].replace("failed", "inf"), row[3]) for row in whole], dtype=np.float64
    ).reshape(-1, 2)


def weighed(rows: Floats, workload: Workload, bound_s: float) -> Seen:
    """Means over scripts by their shares; one that nobody has answered yet says nothing.

    What failed is late, and taken to have been given up at the bound.
    """
    seconds, script, count = rows[:, 0] / 1e6, rows[:, 1].astype(int), len(workload.scripts)
    drawn = np.bincount(script, minlength=count)
    shares = np.where(drawn > 0, workload.shares, 0.0)
    shares = shares / max(shares.sum(), 1e-9) / np.maximum(drawn, 1)
    late = np.bincount(script, seconds > bound_s, count) @ shares
    waited = np.where(np.isinf(seconds), bound_s, seconds)
    return Seen(float(np.bincount(script, waited, count) @ shares), float(late), len(seconds))
