"""Whether a browser on this machine is run by the console's own user.

Where the daemon asks for no tokens, its socket is its owner's alone (mode 0600), but a TCP port on
127.0.0.1 is everybody's here: without this, the console would hand other users what the socket
keeps from them. Linux tells whose a connection is.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path

# proc_net_tcp(5): local address, remote address and uid, in this order among the columns.
LOCAL, UID = 1, 7
ROOT = 0


def is_ours(host: str, port: int, proc: Path = Path("/proc/net")) -> bool:
    """Whether the client at ``host:port`` is this user, or root, who may do anything anyway."""
    return owner(host, port, proc) in (os.getuid(), ROOT)


def owner(host: str, port: int, proc: Path = Path("/proc/net")) -> int | None:
    """The user id whose socket has that address here; ``None`` where nobody's has."""
    wanted = {f"{address}:{port:04X}" for address in _written(ip_address(host))}
    for table in ("tcp", "tcp6"):
        for columns in _rows(proc / table):
            if columns[LOCAL] in wanted:
                return int(columns[UID])
    return None


def _rows(table: Path) -> Iterator[list[str]]:
    try:
        lines = table.read_text().splitlines()[1:]
    except OSError:
        return
    yield from (line.split() for line in lines)


def _written(address: IPv4Address | IPv6Address) -> Iterator[str]:
    """As the kernel writes it: words of 32 bits as they lie in memory; IPv4 also within IPv6."""
    packed = [address.packed]
    if isinstance(address, IPv4Address):
        packed.append(IPv6Address(f"::ffff:{address}").packed)
    for each in packed:
        words = struct.unpack(f"={len(each) // 4}I", each)
        yield "".join(f"{word:08X}" for word in words)
