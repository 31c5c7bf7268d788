"""Measure every choice of `trimtab tune postgres` in full: `python -m tools.measure_postgres FILE`.

In random order, so that a machine that drifts favours nobody; a row is written as soon as it is
known, and the same command goes on. The table is what `trimtab bench experiments` replays.
"""

from __future__ import annotations

import csv
import os
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, fields
from itertools import product
from pathlib import Path

import click

from trimtab_agents.bench.tuning import read
from trimtab_agents.tune_postgres.allowance import cell
from trimtab_agents.tune_postgres.server import ServerError, Tools, home, loaded
from trimtab_agents.tune_postgres.settings import Settings, space
from trimtab_agents.tune_postgres.trial import TRIAL_S, Rig
from trimtab_agents.tune_postgres.workload import shop

# As the command's default.
LATE_S = 0.25
COLUMNS = [
    *(field.name for field in fields(Settings)),
    *(f"latency_ms_{part}" for part in range(TRIAL_S)),
    *(f"late_{part}" for part in range(TRIAL_S)),
    "answers", "trial_s", "error",
]  # fmt: skip


@click.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "--best", "of", type=(click.Path(exists=True, path_type=Path), int, int),
    metavar="TABLE CHOICES TIMES", help="Only the best choices of a table, each so many times.",
)  # fmt: skip
def main(file: Path, of: tuple[Path, int, int] | None) -> None:
    """Append to FILE what it lacks."""
    done = set(read(file.read_text())) if file.exists() and not of else set()
    wanted = [settings for settings in (_best(*of) if of else _every()) if settings not in done]
    random.Random(0).shuffle(wanted)
    tools, workload = Tools(), shop()
    with home(tools) as folder, _ahead():
        rig = Rig(
            tools, folder, loaded(tools, folder, workload.schema), workload, LATE_S, held=True
        )
        with file.open("a", newline="") as out:
            rows = csv.DictWriter(out, COLUMNS, lineterminator="\n")
            if out.tell() == 0:
                rows.writeheader()
            for settings in wanted:
                rows.writerow(_measured(rig, settings))
                out.flush()


def _every() -> list[Settings]:
    dials = space().dials
    values = product(*(dial.values for dial in dials.values()))
    return [Settings.of(dict(zip(dials, each, strict=True))) for each in values]


def _best(table: Path, choices: int, times: int) -> list[Settings]:
    scores = read(table.read_text())
    return times * sorted(scores, key=lambda settings: scores[settings][-1])[:choices]


@contextmanager
def _ahead() -> Iterator[None]:
    """Copying and starting servers come before what else runs here, too."""
    with cell(f"trimtab-{os.getpid()}") as own:
        for door in own.doors:
            door.write_text(f"{os.getpid()}")
        try:
            yield
        finally:
            for door in own.doors:
                (door.parent.parent / door.name).write_text(f"{os.getpid()}")


def _measured(rig: Rig, settings: Settings) -> dict[str, object]:
    begun, row = time.monotonic(), dict[str, object](asdict(settings))
    try:
        for second, seen in enumerate(rig.seen(settings)):
            row[f"latency_ms_{second}"] = f"{1e3 * seen.latency_s:.3f}"
            row[f"late_{second}"] = f"{seen.late:.5f}"
            row["answers"] = seen.answers
    except ServerError as error:
        row["error"] = str(error)
    return row | {"trial_s": f"{time.monotonic() - begun:.1f}"}


if __name__ == "__main__":
    main()
