"""`trimtab bench rpc`: the API's speed, and that of a tick of ten thousand services."""

from __future__ import annotations

import json
from pathlib import Path

import click

from trimtab_controller.cli.up import check_folder_of
from trimtab_controller.rpc_bench.bench import BARS, bench

NOT_MET = 3


@click.command()
@click.option(
    "--services",
    type=click.IntRange(1, 100_000),
    default=10_000,
    show_default=True,
    help="How many are ticked.",
)
@click.option(
    "--ticks",
    type=click.IntRange(1, 1000),
    default=18,
    show_default=True,
    help="How many ticks of them; every sixth counts, for there the policy decides.",
)
@click.option(
    "--json",
    "json_path",
    type=click.Path(path_type=Path, dir_okay=False, writable=True),
    help="Write the result there.",
)
@click.pass_context
def rpc(ctx: click.Context, services: int, ticks: int, json_path: Path | None) -> None:
    """Time Recommend beside a bare gRPC echo, watchers, and whole ticks of many services.

    Everything is real but the services, which are simulated: server (in a process of its own),
    policy, guard, and a journal on this disk. It takes some minutes and uses Unix sockets only.

    Exits with 0 when every bar is met, and 3 when one is not; other work on the machine counts.
    """
    check_folder_of(json_path)
    result = bench(services, ticks, lambda part: click.echo(f"{part} …", err=True))
    text = json.dumps(result.as_json(), indent=2)
    click.echo(text)
    if json_path:
        json_path.write_text(text + "\n")
    for name in result.missed():
        click.echo(f"{name} does not meet its bar, {BARS[name]:g}", err=True)
    if result.missed():
        ctx.exit(NOT_MET)
