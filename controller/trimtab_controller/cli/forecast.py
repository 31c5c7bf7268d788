"""`trimtab forecast`: when what grows will meet its limit, and how good such calls have been."""

from __future__ import annotations

import json
from collections.abc import Iterator

import click
from google.protobuf.json_format import MessageToDict

from trimtab_controller.cli.connection import Daemon, controller, daemon_options
from trimtab_proto.v1 import controller_pb2 as pb

DEADLINE_S = 30.0


@click.command()
@click.argument("service")
@click.option("--json", "as_json", is_flag=True, help="For programs, with all numbers.")
@daemon_options
def forecast(service: str, as_json: bool, daemon: Daemon) -> None:
    """Tell when memory or latency of SERVICE will meet its limit.

    Each call names an interval that holds the truth nine times of ten, and how often such calls
    have been right on the service's own record. What is proposed waits in `trimtab pending`.
    """
    with controller(daemon) as stub:
        reply = stub.GetForecast(pb.GetForecastRequest(service=service), timeout=DEADLINE_S)
    if as_json:
        found = MessageToDict(
            reply, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
        )
        click.echo(json.dumps(found, indent=2))
        return
    for outlook in reply.outlooks:
        for line in told(outlook):
            click.echo(line)


def told(outlook: pb.Outlook) -> Iterator[str]:
    """One outlook: the sentence, and what is proposed."""
    yield outlook.words
    if outlook.command:
        yield f"  proposed: {outlook.command}"
    elif outlook.remedy:
        yield f"  proposed: {outlook.remedy}"
