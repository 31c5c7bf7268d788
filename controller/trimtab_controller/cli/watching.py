"""Look without touching: what every service is doing, once or as it happens."""

from __future__ import annotations

from collections.abc import Iterator

import click
import grpc

from trimtab_controller.cli.connection import Daemon, controller, daemon_options
from trimtab_controller.up.words import change, clock_time, mode_name, percent, reasons
from trimtab_proto.v1 import controller_pb2, controller_pb2_grpc

STATUS_S = 2.0


@click.command()
@daemon_options
def status(daemon: Daemon) -> None:
    """Show every service as it is now."""
    with controller(daemon) as stub:
        ticks = list(_each_once(stub))
    for error in {tick.config_error for tick in ticks} - {""}:
        click.echo(f"not reloaded, the last good limits hold: {error}")
    for tick in ticks:
        for line in _described(tick):
            click.echo(line)


@click.command()
@click.argument("service", default="")
@daemon_options
def watch(service: str, daemon: Daemon) -> None:
    """Print a line per tick, until Ctrl-C.

    Of SERVICE, or of every service.
    """
    with controller(daemon) as stub:
        for tick in stub.WatchDecisions(controller_pb2.WatchDecisionsRequest(service=service)):
            click.echo(f"{clock_time(tick.time_s)}  {tick.service}  {_outcome(tick)}")


def _each_once(stub: controller_pb2_grpc.ControllerStub) -> Iterator[controller_pb2.ServiceStatus]:
    """The first status of every service; they come at once, and nothing says which is the last."""
    seen: set[str] = set()
    try:
        request = controller_pb2.WatchDecisionsRequest()
        for tick in stub.WatchDecisions(request, timeout=STATUS_S):
            if tick.service in seen:
                return
            seen.add(tick.service)
            yield tick
    except grpc.RpcError as error:
        if not seen or error.code() is not grpc.StatusCode.DEADLINE_EXCEEDED:
            raise


def _described(tick: controller_pb2.ServiceStatus) -> Iterator[str]:
    mode = "STOPPED (undo: trimtab resume)" if tick.stopped else mode_name(tick.mode)
    yield f"{tick.service}: {mode}, policy {tick.policy}, {tick.pending} pending"
    if tick.lowered and not tick.stopped:
        yield f"  lowered: {tick.lowered}"
    for backend in tick.backends:
        yield (
            f"  {backend.name:12} {backend.ready} ready, {backend.starting} starting, "
            f"{backend.draining} draining of {backend.wanted} wanted, "
            f"{backend.weight * 100:.0f} % of the route"
        )
    if tick.backends:
        yield (
            f"  p50 {tick.p50_ms:.0f} ms, p95 {tick.p95_ms:.0f} ms, "
            f"misses {percent(tick.miss_share)}"
        )
    yield f"  {_outcome(tick)}"


def _outcome(tick: controller_pb2.ServiceStatus) -> str:
    if tick.error and not tick.decision:
        return f"no decision: {tick.error}"
    parts = [f"{tick.outcome}: {change(tick)}", tick.error, tick.why]
    parts += [f"guard: {reasons(tick.reasons)}"] if tick.reasons else []
    return "; ".join(part for part in parts if part)
