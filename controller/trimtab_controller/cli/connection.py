"""How a command finds the daemon, and what it says when that fails: one line, what to do."""

from __future__ import annotations

import getpass
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import TypeVar

import click
import grpc

from trimtab_controller.security.addresses import UNIX, is_local
from trimtab_controller.up.folder import default_path, running_address
from trimtab_proto.v1 import controller_pb2_grpc

DEADLINE_S = 5.0
# Where a refusal carries its reason.
DETAILS = "grpc-status-details-bin"
# Not an option: every user of a machine can read every command line (`ps`).
TOKEN = "TRIMTAB_TOKEN"  # noqa: S105  # the name of a variable, not a secret

Command = TypeVar("Command", bound=Callable[..., object])
Code = grpc.StatusCode


@dataclass(frozen=True, slots=True)
class Daemon:
    """Where the daemon is, and by what files it and we are known to each other."""

    address: str | None = None
    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None
    token_file: Path | None = None

    @property
    def token(self) -> str:
        """The token in the file, or else in the environment; empty for none."""
        if self.token_file is None:
            return os.environ.get(TOKEN, "").strip()
        return _content(self.token_file).decode(errors="replace").strip()


def daemon_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command ``daemon``, a `Daemon`, from ``--address`` and what secures it."""

    @wraps(command)
    def connected(
        *arguments: object,
        address: str | None,
        ca: Path | None,
        cert: Path | None,
        key: Path | None,
        token_file: Path | None,
        **options: object,
    ) -> None:
        daemon = Daemon(address, ca, cert, key, token_file)
        command(*arguments, daemon=daemon, **options)

    for option in reversed(OPTIONS):
        option(connected)
    return connected


def _file(name: str, text: str) -> Callable[[Command], Command]:
    return click.option(
        f"--{name}",
        type=click.Path(path_type=Path),
        envvar=f"TRIMTAB_{name.upper().replace('-', '_')}",
        show_envvar=True,
        help=text,
    )


OPTIONS = (
    click.option(
        "--address",
        envvar="TRIMTAB_ADDRESS",
        show_envvar=True,
        help="unix:PATH or HOST:PORT of the daemon; by default the demonstration's here.",
    ),
    _file("ca", "PEM file of the CA that vouches for the daemon; with it, or abroad, TLS is used."),
    _file("cert", "PEM file of the certificate to show to the daemon."),
    _file("key", "PEM file of its key."),
    _file("token-file", f"File with the token to show to the daemon, or put that into ${TOKEN}."),
)


def who_option(command: Command) -> Command:
    """Give a command ``--who``: every act of a human is journalled under a name."""
    return click.option(
        "--who",
        default=getpass.getuser,
        show_default="your user name",
        help="Who does it, for the journal; whom a token or certificate names is who it was.",
    )(command)


def why_option(command: Command) -> Command:
    """Give a command ``--why``."""
    return click.option("--why", default="", help="Why, for the journal.")(command)


@contextmanager
def controller(daemon: Daemon) -> Iterator[controller_pb2_grpc.ControllerStub]:
    """Connect to the daemon; its refusals become one-line errors."""
    found = address_of(daemon)
    with _channel(daemon, found) as channel:
        try:
            yield controller_pb2_grpc.ControllerStub(channel)
        except grpc.RpcError as error:
            raise click.ClickException(_explain(error, found)) from error


def address_of(daemon: Daemon) -> str:
    """Where it is, as was said or as the demonstration here has left it."""
    found = daemon.address or running_address(default_path())
    if found is None:
        raise click.ClickException(
            f"no demonstration runs in {default_path()}: start it with `trimtab up`, "
            "go to the folder where it runs, or give --address"
        )
    return found


def encrypted(daemon: Daemon, address: str) -> bool:
    """Whether TLS is used: always, where what is sent leaves this machine."""
    return bool(daemon.ca or daemon.cert or daemon.key) or not is_local(address)


def _channel(daemon: Daemon, address: str) -> grpc.Channel:
    """Encrypted, unless what is sent stays on this machine: a token is never sent in the clear."""
    if encrypted(daemon, address):
        credentials = tls(daemon)
    elif daemon.token:
        socket = address.startswith(UNIX)
        kind = grpc.LocalConnectionType.UDS if socket else grpc.LocalConnectionType.LOCAL_TCP
        credentials = grpc.local_channel_credentials(kind)
    else:
        return grpc.insecure_channel(address)
    if daemon.token:
        shown = grpc.access_token_call_credentials(daemon.token)
        credentials = grpc.composite_channel_credentials(credentials, shown)
    return grpc.secure_channel(address, credentials)


def tls(daemon: Daemon) -> grpc.ChannelCredentials:
    """What secures the way to the daemon."""
    if bool(daemon.cert) != bool(daemon.key):
        raise click.UsageError("--cert and --key belong together: give both, or neither")
    files = (daemon.ca, daemon.key, daemon.cert)
    return grpc.ssl_channel_credentials(*(_content(file) if file else None for file in files))


def _content(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise click.ClickException(f"{file}: {error.strerror}") from error


def _by_daemon(error: grpc.RpcError) -> bool:
    """Whether the daemon itself refused, such as a standby that names the leader."""
    return any(each.key == DETAILS for each in error.trailing_metadata() or ())


def _explain(error: grpc.RpcError, address: str) -> str:
    code, details = error.code(), error.details() or ""
    if code is Code.UNAVAILABLE and _by_daemon(error):
        return details
    if code is Code.UNAVAILABLE and "handshake" in details.lower():
        return (
            f"{address} and this command do not trust each other: is --ca the daemon's CA, does "
            f"its certificate name this host, and are --cert and --key what it wants? ({details})"
        )
    if code is Code.UNAVAILABLE:
        return (
            f"nothing answers at {address}: start it with `trimtab up`, give another --address, "
            "or give --ca where it uses TLS"
        )
    if code is Code.UNAUTHENTICATED:
        return f"{details}: give a token with --token-file or in ${TOKEN}, or --cert and --key"
    if code is Code.DEADLINE_EXCEEDED:
        return f"no answer from {address} within {DEADLINE_S:g} s: is the daemon busy or hung?"
    return f"{details} ({code.name})"
