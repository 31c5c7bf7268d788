"""`trimtab bench experiments`: is the canary's verdict right, and does the search find the best?"""

from __future__ import annotations

import json
from pathlib import Path

import click
from rich.console import Console
from rich.progress import Progress

from trimtab_agents.bench import canary_runs, tuning
from trimtab_agents.outputs import OutputFile


@click.command()
@click.option(
    "--runs", type=click.IntRange(10), default=400, show_default=True, help="Services whose "
    "truth is known.",
)  # fmt: skip
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@click.option(
    "--slots", type=click.IntRange(1, 1024), multiple=True, default=(4, 8, 16, 32),
    show_default=True, help="Requests that a replica works on at once; give it once for each.",
)  # fmt: skip
@click.option("--json", "json_path", type=OutputFile())
@click.pass_context
def experiments(
    ctx: click.Context, runs: int, seed: int, slots: tuple[int, ...], json_path: Path | None
) -> None:
    """Try the canary's verdict where the truth is known, and the search on what was measured.

    Every service is played request by request, twice: with the same version on both sides, and
    with one whose p95 is a fifth higher at the same load. A Mann-Whitney test at a fixed horizon
    sees the same answers. Then the search tries a twentieth of the settings of a PostgreSQL server,
    all of which were measured before, with 20 seeds, random choice beside it. Some minutes of one
    core. Exits with 1 when a bar is not met.
    """
    with Progress(console=Console(stderr=True)) as progress:
        bar = progress.add_task("canaries", total=runs)
        result = canary_runs.prove(runs, seed, slots, lambda: progress.advance(bar))
        bar = progress.add_task("searches", total=2 * tuning.SEEDS)
        result |= tuning.replayed(tuning.measured(), lambda: progress.advance(bar))
    click.echo(text := json.dumps(result, indent=2))
    if json_path:
        json_path.write_text(text + "\n")
    missed = [(n, most) for n, most in (canary_runs.MOST | tuning.MOST).items() if result[n] > most]
    missed += [(n, least) for n, least in canary_runs.LEAST.items() if result[n] < least]
    for name, limit in missed:
        click.echo(f"{name} does not meet its bar, {limit:g}", err=True)
    if missed:
        ctx.exit(1)
