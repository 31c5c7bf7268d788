"""Where the daemon may listen, and where a command may send a token."""

from __future__ import annotations

import os
import socket

from trimtab_controller.security.spec import SecuritySpec

UNIX = "unix:"
LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
SOCKET_PATH_MAX = 107


class AddressError(ValueError):
    """An address that the daemon must not, or cannot, listen on; the message says what to do."""


def is_local(address: str) -> bool:
    """Whether what is sent there stays on this machine."""
    return address.startswith(UNIX) or address.rpartition(":")[0] in LOOPBACK


def check_address(address: str, security: SecuritySpec) -> None:
    """Raise `AddressError` unless those, and only those, can reach ``address`` who may."""
    if address.startswith(UNIX):
        _check_socket(address.removeprefix(UNIX), security)
        return
    port = address.rpartition(":")[2]
    if not port.isdecimal() or int(port) > 65535:
        raise AddressError(f"{address!r} is no address: give HOST:PORT or unix:PATH")
    if not is_local(address) and not (security.tls and security.authenticates):
        raise AddressError(
            f"{address}: anything but this machine needs TLS and authentication: write security: "
            "{tls: {certificate: FILE, key: FILE}, tokens: FILE} in trimtab.yaml and make tokens "
            "with `trimtab token create`, or listen on 127.0.0.1:PORT or unix:PATH"
        )


def _check_socket(path: str, security: SecuritySpec) -> None:
    if not 0 < len(path.encode()) <= SOCKET_PATH_MAX:
        raise AddressError(
            f"unix:{path}: a socket's path has 1 to {SOCKET_PATH_MAX} bytes: choose another"
        )
    if not os.path.isdir(os.path.dirname(path) or "."):
        raise AddressError(f"unix:{path}: its folder does not exist: create it")
    if security.authenticates and not security.tokens:
        raise AddressError(
            f"unix:{path}: no certificates are shown there: add security.tokens, or remove clients"
        )
    # gRPC would take a living daemon's socket away from it without a word.
    with socket.socket(socket.AF_UNIX) as probe:
        if probe.connect_ex(path) == 0:
            raise AddressError(f"unix:{path} is in use: end who listens there, or choose another")
