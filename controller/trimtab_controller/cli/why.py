"""`trimtab why`: what changed before misses rose."""

from __future__ import annotations

import time
from collections.abc import Iterator
from math import exp

import click

from trimtab_controller.cli.connection import Daemon, controller, daemon_options
from trimtab_controller.cli.number import Number
from trimtab_proto.v1 import controller_pb2

DEADLINE_S = 10.0


@click.command()
@click.argument("service")
@click.option(
    "--minutes",
    type=Number(min=0.1, max=1440.0),
    default=30.0,
    show_default=True,
    help="How far back to look.",
)
@daemon_options
def why(service: str, minutes: float, daemon: Daemon) -> None:
    """Tell what changed before the misses of SERVICE rose.

    The likeliest cause comes first. What trimtab did, what others wrote, rollouts, lost
    replicas, the load, holes in the metrics, slower replicas and errors are lined up with the
    rise, by when they happened and by how much more they gave the replicas to do.
    """
    now_s = time.time()
    request = controller_pb2.WhatChangedRequest(
        service=service, since_s=now_s - 60.0 * minutes, until_s=now_s
    )
    with controller(daemon) as stub:
        reply = stub.WhatChanged(request, timeout=DEADLINE_S)
    for line in told(reply):
        click.echo(line)


def told(reply: controller_pb2.WhatChangedReply) -> Iterator[str]:
    """The sentence, then each suspect with what it did to the work per replica."""
    yield f"{reply.service}: {reply.words}"
    for number, suspect in enumerate(reply.suspects, 1):
        more = f"{exp(suspect.effect):.1f} times the work"
        yield f"  {number}. {suspect.kind:16} {suspect.words}; {more}"
    for act in reply.also:
        yield f"     {'also':16} {act}"
