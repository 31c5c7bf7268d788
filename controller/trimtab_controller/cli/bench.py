"""``trimtab bench``: the benchmarks of policies, simulator, guard, real stage, API and canaries."""

from __future__ import annotations

import json
import time
from itertools import count
from pathlib import Path

import click
from rich.console import Console
from rich.progress import Progress

from trimtab_agents.bench_command import bench as of_policies
from trimtab_agents.model_command import bench as of_the_simulator
from trimtab_controller.cli.experiments import experiments
from trimtab_controller.cli.live import live
from trimtab_controller.cli.rpc import rpc
from trimtab_controller.guard_bench.bench import described, hunt, judged, report
from trimtab_controller.guard_bench.copies import BUGS


@click.command()
@click.option("--proposals", type=click.IntRange(1), default=1_000_000, show_default=True)
@click.option("--seed", default=0, show_default=True)
@click.option("--life", type=click.IntRange(0), help="Only the life with this number.")
@click.option("--json", "json_path", type=click.Path(dir_okay=False, path_type=Path))
@click.pass_context
def guard(
    ctx: click.Context, proposals: int, seed: int, life: int | None, json_path: Path | None
) -> None:
    """Throw hostile proposals, sensors and clocks at the guard, and count broken promises.

    The checker shares no code with the guard, and must find each of ten bugs planted in copies
    of it. Exits with 1 when a promise was broken or a bug was not found. A broken promise comes
    with the number of a life; --life N repeats just that one, and plants no bugs.
    """
    numbers, bugs = (count(), BUGS) if life is None else ((life,), ())
    with Progress(console=Console(stderr=True)) as progress:
        bar = progress.add_task("judge", total=proposals)
        # Processor time: judging waits for nothing, and other programs are not the guard's fault.
        tally = judged(
            seed,
            numbers,
            proposals,
            time.thread_time,
            lambda done: progress.update(bar, completed=done),
        )
        finds = [hunt(bug, seed) for bug in progress.track(bugs, description="planted bugs")]
    data = report(tally, finds)
    click.echo("\n".join(described(data, finds)))
    if json_path:
        json_path.write_text(json.dumps(data, indent=2) + "\n")
    if data["violations"] or data["planted_found"] < data["planted"]:
        ctx.exit(1)


bench = click.CommandCollection(
    name="bench",
    sources=[of_policies, of_the_simulator, click.Group(commands=[guard, live, rpc, experiments])],
    help="Judge policies (simulated and on the real stage), the simulator, the guard, the API, and "
    "the canary's verdict.",
)
