"""The demonstration's stage itself, to see what trimtab does when it goes bad."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
import grpc

from trimtab_controller.cli.connection import DEADLINE_S
from trimtab_controller.cli.number import Number
from trimtab_controller.up.folder import default_path, running_address
from trimtab_proto.v1 import stage_pb2, stage_pb2_grpc


@click.group()
def stage() -> None:
    """Make the demonstration's cluster worse, and well again."""


socket_option = click.option(
    "--socket",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The stage's Unix socket; by default that of the demonstration here.",
)


@stage.command()
@click.argument("backend")
@click.option(
    "--factor",
    default=5.0,
    show_default=True,
    help="Times its usual service time; 1 makes it well again.",
)
@socket_option
def slow(backend: str, factor: float, socket: Path | None) -> None:
    """Make BACKEND's replicas slower, as a bad version would."""
    with connected(socket or running_socket()) as stub:
        request = stage_pb2.SlowRequest(backend=backend, factor=factor)
        stub.Slow(request, timeout=DEADLINE_S)
    click.echo(f"{backend} takes {factor:g} times its usual service time from now on")


@stage.command()
@click.argument("backend")
@click.option(
    "--mb-per-minute",
    type=Number(min=0),
    default=10.0,
    show_default=True,
    help="What each replica takes and keeps; 0 ends it, and a rollout frees what was taken.",
)
@socket_option
def leak(backend: str, mb_per_minute: float, socket: Path | None) -> None:
    """Make BACKEND's replicas leak memory, until they are killed at their limit of 64 MiB.

    Those to come leak as well, as a bug would have it. `trimtab forecast` sees it.
    """
    with connected(socket or running_socket()) as stub:
        request = stage_pb2.LeakRequest(backend=backend, mb_per_minute=mb_per_minute)
        stub.Leak(request, timeout=DEADLINE_S)
    click.echo(f"{backend}'s replicas leak {mb_per_minute:g} MB a minute each from now on")


@stage.command()
@click.argument("backend")
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="NAME=VALUE",
    help="What the new version is tuned to: threads, queue, cache, batch, linger_ms; what is not "
    "named is as profiled.",
)
@socket_option
def roll(backend: str, settings: tuple[str, ...], socket: Path | None) -> None:
    """Replace BACKEND's replicas one by one, as a new version would.

    Meanwhile trimtab scales nothing down and leaves the route alone.
    """
    request = stage_pb2.RollRequest(backend=backend, settings=_values(settings))
    with connected(socket or running_socket()) as stub:
        stub.Roll(request, timeout=DEADLINE_S)
    click.echo(f"{backend}'s replicas are being replaced")


def _values(settings: tuple[str, ...]) -> dict[str, float]:
    try:
        pairs = (setting.split("=") for setting in settings)
        return {name: float(value) for name, value in pairs}
    except ValueError:
        raise click.BadParameter(
            f"{' '.join(settings)!r}: give NAME=NUMBER, such as threads=8", param_hint="--set"
        ) from None


@contextmanager
def connected(socket: Path) -> Iterator[stage_pb2_grpc.StageStub]:
    """The stage there; its refusals become one-line errors."""
    with grpc.insecure_channel(f"unix:{socket}") as channel:
        try:
            yield stage_pb2_grpc.StageStub(channel)
        except grpc.RpcError as error:
            raise click.ClickException(f"stage at {socket}: {error.details()}") from error


def running_socket() -> Path:
    """The stage's socket of the demonstration that runs here."""
    address = running_address(default_path())
    if address is None:
        raise click.ClickException(
            f"no demonstration runs in {default_path()}: start it with `trimtab up`, "
            "go to the folder where it runs, or give --socket"
        )
    return Path(address.removeprefix("unix:")).with_name("stage.sock")
