"""How a command finds the daemon, and what it says when that fails: one line, what to do."""

from __future__ import annotations

import getpass
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import click
import grpc

from trimtab_controller.up.folder import default_path, running_address
from trimtab_proto.v1 import controller_pb2_grpc

DEADLINE_S = 5.0

Command = TypeVar("Command", bound=Callable[..., object])


def address_option(command: Command) -> Command:
    """Give a command ``--address``."""
    return click.option(
        "--address",
        envvar="TRIMTAB_ADDRESS",
        show_envvar=True,
        help="unix:PATH or 127.0.0.1:PORT of the daemon; by default the demonstration's here.",
    )(command)


def who_option(command: Command) -> Command:
    """Give a command ``--who``: every act of a human is journalled under a name."""
    return click.option(
        "--who",
        default=getpass.getuser,
        show_default="your user name",
        help="Who does it, for the journal.",
    )(command)


def why_option(command: Command) -> Command:
    """Give a command ``--why``."""
    return click.option("--why", default="", help="Why, for the journal.")(command)


@contextmanager
def controller(address: str | None) -> Iterator[controller_pb2_grpc.ControllerStub]:
    """Connect to the daemon; its refusals become one-line errors."""
    found = address or running_address(default_path())
    if found is None:
        raise click.ClickException(
            f"no demonstration runs in {default_path()}: start it with `trimtab up`, "
            "go to the folder where it runs, or give --address"
        )
    with grpc.insecure_channel(found) as channel:
        try:
            yield controller_pb2_grpc.ControllerStub(channel)
        except grpc.RpcError as error:
            raise click.ClickException(_explain(error, found)) from error


def _explain(error: grpc.RpcError, address: str) -> str:
    code, details = error.code(), error.details()
    if code is grpc.StatusCode.UNAVAILABLE:
        return (
            f"nothing answers at {address}: start it with `trimtab up`, or give another --address"
        )
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return f"no answer from {address} within {DEADLINE_S:g} s: is the daemon busy or hung?"
    return f"{details} ({code.name})"
