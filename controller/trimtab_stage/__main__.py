"""`python -m trimtab_stage`: the local stage by itself; `trimtab up` starts it as its child."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from trimtab_stage.config import DEMO, StageError
from trimtab_stage.stage import serve


@click.command(context_settings={"show_default": True, "help_option_names": ["-h", "--help"]})
@click.option("--port", default=DEMO.port, help="TCP port on 127.0.0.1; 0 takes any free one.")
@click.option(
    "--dir",
    "directory",
    type=click.Path(path_type=Path, file_okay=False),
    help="Directory for sockets and logs.  [default: a fresh temporary one]",
)
@click.option(
    "--socket",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Unix socket of the trimtab.v1.Stage service.  [default: stage.sock in --dir]",
)
@click.option(
    "--trace",
    type=click.Path(path_type=Path, dir_okay=False),
    help=f"CSV with seconds,requests_per_second.  [default: {DEMO.trace.stem}]",
)
@click.option("--speed", default=DEMO.speed, help="Trace seconds replayed per second.")
@click.option(
    "--start-s",
    type=float,
    help="Where in the trace to start, seconds.  [default: 130 s of replay before its peak]",
)
@click.option(
    "--peak-rps",
    default=DEMO.peak_rps,
    help="Requests per second that the highest rate of the first three minutes is scaled to.",
)
@click.option(
    "--hpa-target", default=DEMO.hpa_target, help="Utilisation that the HPA underneath holds."
)
@click.option(
    "--initial-replicas", default=DEMO.initial_replicas, help="Ready replicas of each at first."
)
@click.option(
    "--memory-limit-mib",
    default=DEMO.memory_limit_mib,
    help="Memory that a replica may hold; with more it is killed.",
)
@click.option("--seed", default=DEMO.seed, help="Seed of arrivals and of start-up delays.")
def main(**options: Any) -> None:
    """Run a small real cluster on this machine until Ctrl-C or SIGTERM.

    Envoy listens on 127.0.0.1, two backends of real processes answer, a load generator replays
    a trace, and the Kubernetes HPA's rule scales. Clients steer it over the Unix socket.
    """
    given = {name: value for name, value in options.items() if value is not None}
    try:
        serve(replace(DEMO, **given))
    except StageError as error:
        raise click.ClickException(str(error)) from error


if __name__ == "__main__":
    main(prog_name="python -m trimtab_stage")
