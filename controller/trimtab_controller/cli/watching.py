"""Look without touching: what every service is doing, as it happens."""

from __future__ import annotations

import click

from trimtab_controller.cli.connection import Daemon, controller, daemon_options
from trimtab_controller.up.words import change, clock_time, reasons
from trimtab_proto.v1 import controller_pb2


@click.command()
@click.argument("service", default="")
@daemon_options
def watch(service: str, daemon: Daemon) -> None:
    """Print a line per tick, until Ctrl-C.

    Of SERVICE, or of every service.
    """
    with controller(daemon) as stub:
        for tick in stub.WatchDecisions(controller_pb2.WatchDecisionsRequest(service=service)):
            click.echo(f"{clock_time(tick.time_s)}  {tick.service}  {outcome(tick)}")


def outcome(tick: controller_pb2.ServiceStatus) -> str:
    """What became of the tick's decision, and why."""
    if tick.error and not tick.decision:
        return f"no decision: {tick.error}"
    parts = [f"{tick.outcome}: {change(tick)}", tick.error, tick.why]
    parts += [f"guard: {reasons(tick.reasons)}"] if tick.reasons else []
    return "; ".join(part for part in parts if part)
