"""The envelopes that wait for a human, the two answers, and taking one back."""

from __future__ import annotations

import click

from trimtab_controller.cli.connection import (
    DEADLINE_S,
    Daemon,
    controller,
    daemon_options,
    who_option,
    why_option,
)
from trimtab_controller.up.words import asked
from trimtab_proto.v1 import controller_pb2


@click.command()
@daemon_options
def pending(daemon: Daemon) -> None:
    """List what waits for an approval, and what was granted."""
    with controller(daemon) as stub:
        reply = stub.ListPending(controller_pb2.ListPendingRequest(), timeout=DEADLINE_S)
    for envelope in reply.pending:
        click.echo(f"{envelope.id}  {asked(envelope)}")
        if envelope.why:
            click.echo(f"{'':{len(envelope.id)}}  {envelope.why}")
    for envelope in reply.granted:
        click.echo(f"{envelope.id}  granted: {asked(envelope)}")
    if not reply.pending:
        click.echo("nothing is pending")


@click.command()
@click.argument("envelopes", metavar="ID...", nargs=-1, required=True)
@who_option
@why_option
@daemon_options
def approve(envelopes: tuple[str, ...], who: str, why: str, daemon: Daemon) -> None:
    """Grant each envelope ID.

    trimtab may then act within its bounds, until the grant ends.
    """
    with controller(daemon) as stub:
        for envelope in envelopes:
            request = controller_pb2.ApproveRequest(id=envelope, who=who, why=why)
            granted = stub.Approve(request, timeout=DEADLINE_S).envelope
            click.echo(f"granted: {asked(granted)}")


@click.command()
@click.argument("envelopes", metavar="ID...", nargs=-1, required=True)
@who_option
@why_option
@daemon_options
def reject(envelopes: tuple[str, ...], who: str, why: str, daemon: Daemon) -> None:
    """Refuse each envelope ID."""
    with controller(daemon) as stub:
        for envelope in envelopes:
            request = controller_pb2.RejectRequest(id=envelope, who=who, why=why)
            stub.Reject(request, timeout=DEADLINE_S)
            click.echo(f"rejected: {envelope}")


@click.command()
@click.argument("envelopes", metavar="ID...", nargs=-1, required=True)
@who_option
@why_option
@daemon_options
def revoke(envelopes: tuple[str, ...], who: str, why: str, daemon: Daemon) -> None:
    """Take back each granted envelope ID."""
    with controller(daemon) as stub:
        for envelope in envelopes:
            request = controller_pb2.RevokeRequest(id=envelope, who=who, why=why)
            stub.Revoke(request, timeout=DEADLINE_S)
            click.echo(f"revoked: {envelope}")
