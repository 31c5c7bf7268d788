"""`trimtab console`: the daemon in a browser."""

from __future__ import annotations

import os
import socket
import webbrowser
from functools import partial
from pathlib import Path

import click
import grpc
from click.core import ParameterSource

from trimtab_controller.cli.connection import Daemon, address_of, daemon_options, encrypted, tls
from trimtab_controller.security.addresses import is_local
from trimtab_controller.up.feeds import RECONNECT

PEM = click.Path(path_type=Path, exists=True, dir_okay=False)


@click.command()
@click.option(
    "--listen", default="127.0.0.1:8088", show_default=True, help="HOST:PORT of the page."
)
@click.option("--tls-certificate", type=PEM, help="PEM file for https; must be given abroad.")
@click.option("--tls-key", type=PEM, help="PEM file of its key.")
@click.option("--open", "opened", is_flag=True, help="Open it here, where there is a display.")
@daemon_options
def console(
    listen: str,
    tls_certificate: Path | None,
    tls_key: Path | None,
    opened: bool,
    daemon: Daemon,
) -> None:
    """Serve the console: watch, approve and stop, in a browser.

    Where the daemon asks for tokens, each person signs in with their own, and may do there what
    they may do here. It is a process of its own: the daemon goes on without it, and it without
    the daemon.
    """
    from trimtab_controller.console.serve import Listening, serve  # NiceGUI takes a second

    # One in the environment is for the other commands.
    source = click.get_current_context().get_parameter_source("token_file")
    if source is ParameterSource.COMMANDLINE:
        raise click.UsageError("people sign in with tokens of their own: leave --token-file out")
    if bool(tls_certificate) != bool(tls_key):
        raise click.UsageError("--tls-certificate and --tls-key belong together: give both")
    host, port = _checked(listen, secure=tls_certificate is not None)
    address = address_of(daemon)
    # Our certificate proves who we are, not who is at the browser.
    strict = not is_local(listen) or daemon.cert is not None
    listening = Listening(host, port, tls_certificate, tls_key, strict)
    click.echo(f"console of {address}: {listening.url}")
    serve(listening, partial(_connect, daemon, address), _show if opened else lambda _url: None)


def _show(url: str) -> None:
    if os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"):
        webbrowser.open(url)


def _connect(daemon: Daemon, address: str) -> grpc.aio.Channel:
    if encrypted(daemon, address):
        return grpc.aio.secure_channel(address, tls(daemon), options=RECONNECT)
    return grpc.aio.insecure_channel(address, options=RECONNECT)


def _checked(listen: str, *, secure: bool) -> tuple[str, int]:
    host, _, port = listen.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise click.UsageError(f"--listen {listen!r}: give HOST:PORT, such as 127.0.0.1:8088")
    if not is_local(listen) and not secure:
        raise click.UsageError(
            f"--listen {listen}: anything but this machine needs --tls-certificate and --tls-key, "
            "and a daemon that asks for tokens; or listen on 127.0.0.1"
        )
    host = host.strip("[]")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, int(port)))
    except OSError as error:
        raise click.ClickException(f"{listen} cannot be used: {error.strerror}") from error
    return host, int(port)


if __name__ == "__main__":
    console(prog_name="trimtab console")
