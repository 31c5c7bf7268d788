"""`trimtab bench live`: what can be refused is refused before anything starts."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Column

from trimtab_agents.bundle import BundleError
from trimtab_controller.cli.number import Number
from trimtab_controller.cli.up import Refused, check_folder_of
from trimtab_controller.live_bench import bench
from trimtab_controller.live_bench.bench import HPA_TARGET, TRACE, Begin, Choices, Trial
from trimtab_controller.live_bench.report import Result
from trimtab_controller.live_bench.watch import Interrupted
from trimtab_controller.up.folder import FolderError, default_path
from trimtab_controller.up.supervisor import UpError
from trimtab_sim.traces import shipped_traces
from trimtab_stage.config import DEMO

NOT_MET, INTERRUPTED = 3, 130


@click.command()
@click.option(
    "--trace",
    type=click.Path(path_type=Path),
    default=TRACE.stem,
    show_default=True,
    help="CSV with seconds,requests_per_second, or the name of a shipped trace.",
)
@click.option(
    "--seconds",
    type=Number(10.0, 600.0),
    default=100.0,
    show_default=True,
    help="How long each of the two is judged, 10 s of warm-up not counted.",
)
@click.option(
    "--hpa-target",
    type=Number(0.05, 1.0),
    default=HPA_TARGET,
    show_default=True,
    help=f"Utilisation that HPA alone holds; under the policy it is {DEMO.hpa_target:g}.",
)
@click.option(
    "--policy",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Policy bundle.  [default: the shipped one]",
)
@click.option("--seed", default=DEMO.seed, show_default=True, help="Seed of the arrivals.")
@click.option(
    "--json",
    "json_path",
    type=click.Path(path_type=Path, dir_okay=False, writable=True),
    help="Write the result there.",
)
@click.option(
    "--dir",
    "path",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where journals and logs go.  [default: .run/live]",
)
def live(json_path: Path | None, path: Path | None, **chosen: Any) -> None:
    """Run HPA and policy on the real local stage in turn, beside the simulator's prediction.

    Both meet the same arrivals: a real trace, sixty times faster than life. Then the load climbs
    stairs, to see how soon the policy acts. It takes about five minutes, needs nothing but this
    machine, and uses 127.0.0.1 only; other work on the machine shows as a larger gap.

    Exits with 0 when every bar is met, 3 when one is not, 1 when it could not be measured,
    2 when it was asked for something impossible, and 130 when it was interrupted.
    """
    chosen["trace"] = shipped_traces().get(str(chosen["trace"]), chosen["trace"])
    check_folder_of(json_path)
    try:
        result = _result(Choices(path or default_path() / "live", **chosen))
    except UpError as error:
        raise click.ClickException(str(error)) from error
    except (Interrupted, KeyboardInterrupt):
        click.echo("Interrupted: nothing was measured, and nothing is left running.", err=True)
        sys.exit(INTERRUPTED)
    console = Console()
    for table in result.tables():
        console.print(table)
    if result.caveat:
        console.print(result.caveat)
    if json_path is not None:
        json_path.write_text(json.dumps(result.as_json(), indent=2) + "\n")
    if not all(bar.met for bar in result.bars()):
        sys.exit(NOT_MET)


def _result(choices: Choices) -> Result:
    with ExitStack() as held:
        try:
            trial = Trial.of(choices)
            folders = held.enter_context(trial.folders())
            begin = held.enter_context(progress())
            predicted = bench.predict(trial, begin)
        except (ValueError, BundleError, FolderError) as error:  # TraceError is a ValueError
            raise Refused(str(error)) from error
        return bench.measure(trial, predicted, folders, begin)


@contextmanager
def progress() -> Iterator[Begin]:
    """A bar for each part, with what is going on behind it; anywhere else a line for each."""
    console, whole = Console(stderr=True), Column(no_wrap=True)
    columns = (
        TextColumn("{task.description}", table_column=whole),
        BarColumn(20),
        TimeElapsedColumn(),
        TextColumn("{task.fields[now]}", table_column=whole),
    )
    # Elsewhere rich would print each bar once more.
    with Progress(*columns, console=console, disable=not console.is_terminal) as bars:

        def begin(part: str, total: float) -> Any:
            if not console.is_terminal:
                console.print(part)
            task = bars.add_task(part, total=total, now="")
            return lambda done, now: bars.update(task, completed=done, now=now)

        yield begin
