"""``trimtab bench fidelity`` and ``speed``: is the simulator true, and is it fast?"""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path

import click
from rich.console import Console
from rich.progress import Progress

from trimtab_agents.bench.fidelity.changes import change_rows, pairs
from trimtab_agents.bench.fidelity.report import data, table
from trimtab_agents.bench.fidelity.steady import steady_rows
from trimtab_agents.bench.speed import RUNS, event_model, paces, pieces, speed_data, speed_table
from trimtab_agents.outputs import OutputFile, OutputFolder

json_option = click.option("--json", "json_path", type=OutputFile())


@click.group()
def bench() -> None:
    """Measure the simulator."""


@bench.command()
@click.option(
    "--tick", "tick_s", type=click.FloatRange(0.0, 5.0, min_open=True), default=5.0,
    show_default=True, help="Seconds per tick of the simulator; must divide 5.",
)  # fmt: skip
@json_option
@click.option("--out", type=OutputFolder(), help="Folder for two pictures.")
@click.pass_context
def fidelity(ctx: click.Context, tick_s: float, json_path: Path | None, out: Path | None) -> None:
    """Compare the simulator with queueing theory and a request-level event model.

    Waits may be off by 5 % or 1 % of the service time, shares late by 5 % or half a point,
    beyond the confidence intervals of both sides. Exits with 1 when any is off by more.
    """
    if not tick_s > 0.0 or abs(round(5.0 / tick_s) * tick_s - 5.0) > 1e-9:
        raise click.BadParameter(f"5 is not a multiple of {tick_s:g}", param_hint="--tick")
    if out and find_spec("matplotlib") is None:
        raise click.ClickException("--out needs matplotlib: pip install 'trimtab[train]'")
    steady, changes = list(steady_rows(tick_s)), pairs(tick_s)
    rows = [*steady, *change_rows(changes)]
    click.echo(table(rows))
    if json_path:
        json_path.write_text(json.dumps(data(rows), indent=2) + "\n")
    if out:
        from trimtab_agents.bench.fidelity.plots import draw  # matplotlib is an extra

        for path in draw(steady, changes, out):
            click.echo(path, err=True)
    if not all(row.is_within for row in rows):
        ctx.exit(1)


@bench.command()
@json_option
def speed(json_path: Path | None) -> None:
    """Time simulator, environment and training beside a plain event model.

    About a minute of one core. Each number is the median over runs; its spread is that of
    the middle half of them.
    """
    with Progress(console=Console(stderr=True)) as progress:
        event, measured = event_model(), pieces()
        bar = progress.add_task("speed", total=len(measured) * (RUNS + 1))
        found = [paces(piece, event, RUNS, lambda: progress.advance(bar)) for piece in measured]
    click.echo(speed_table(found))
    if json_path:
        json_path.write_text(json.dumps(speed_data(found), indent=2) + "\n")
