"""A human takes or gives authority: mode, stop, resume."""

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
from trimtab_controller.up.words import clock_time, mode_name
from trimtab_guard.modes import Mode
from trimtab_proto.v1 import controller_pb2

# The daemon takes up to 10 s to undo.
ABORT_DEADLINE_S = 15.0


@click.command()
@click.argument("service")
@click.argument("mode", type=click.Choice([mode.value for mode in Mode]))
@who_option
@daemon_options
def mode(service: str, mode: str, who: str, daemon: Daemon) -> None:
    """Set how far SERVICE is trusted to trimtab.

    shadow: it only recommends. approve: a human grants each change. assist: it adds capacity on
    its own, the rest it asks. guarded: it acts both ways, inside the limits.
    """
    wanted = f"MODE_{mode.upper()}"
    with controller(daemon) as stub:
        reply = stub.SetMode(
            controller_pb2.SetModeRequest(service=service, mode=wanted, who=who),
            timeout=DEADLINE_S,
        )
    until = clock_time(reply.lease_until_s)
    click.echo(f"{service}: {mode_name(reply.mode)}; `trimtab renew {service}` before {until}")


@click.command()
@click.argument("service")
@who_option
@daemon_options
def renew(service: str, who: str, daemon: Daemon) -> None:
    """Let trimtab go on with SERVICE for another lease.

    When a lease ends, the service falls to approve.
    """
    with controller(daemon) as stub:
        request = controller_pb2.RenewRequest(service=service, who=who)
        reply = stub.Renew(request, timeout=DEADLINE_S)
    click.echo(f"{service}: the lease holds until {clock_time(reply.lease_until_s)}")


@click.command()
@who_option
@why_option
@daemon_options
def stop(who: str, why: str, daemon: Daemon) -> None:
    """Stop all writes at once.

    A restart does not undo it, only `trimtab resume` does.
    """
    with controller(daemon) as stub:
        stub.Stop(controller_pb2.StopRequest(who=who, why=why), timeout=DEADLINE_S)
    click.echo("stopped: nothing is written any more; undo with `trimtab resume`")


@click.command()
@who_option
@why_option
@daemon_options
def abort(who: str, why: str, daemon: Daemon) -> None:
    """Undo what trimtab changed in the last minute, then stop.

    Replicas come back to the most there were before or are now, the route to what it was.
    """
    with controller(daemon) as stub:
        request = controller_pb2.AbortRequest(who=who, why=why)
        reply = stub.Abort(request, timeout=ABORT_DEADLINE_S)
    if not reply.stopped:
        raise click.ClickException("the daemon is not done yet: `trimtab stop` stops it now")
    if reply.not_undone:
        raise click.ClickException(f"stopped, but not everything is undone: {reply.not_undone}")
    click.echo("undone and stopped: nothing is written any more; go on with `trimtab resume`")


@click.command()
@who_option
@daemon_options
def resume(who: str, daemon: Daemon) -> None:
    """Undo `trimtab stop`; services come back in shadow."""
    with controller(daemon) as stub:
        stub.Resume(controller_pb2.ResumeRequest(who=who), timeout=DEADLINE_S)
    click.echo("nothing is stopped now; what was is in shadow until `trimtab mode SERVICE MODE`")
