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

PROC = Path("/proc/net")
# proc_net_tcp(5): columns, and the state of a connection that is open. One that is over is listed
# for a while as root's, whosever it was.
LOCAL, REMOTE, STATE, UID = 1, 2, 3, 7
ESTABLISHED = "01"
ROOT = 0

Address = tuple[str, int]


def is_ours(client: Address, server: Address, proc: Path = PROC) -> bool:
    """Whether who called from ``client`` is this user, or root, who may do anything anyway."""
    return owner(client, server, proc) in (os.getuid(), ROOT)


def owner(client: Address, server: Address, proc: Path = PROC) -> int | None:
    """The user id at the client's end of a connection here; ``None`` where it has none here."""
    ends = set(zip(_written(client), _written(server), strict=True))
    for table in ("tcp", "tcp6"):
        for columns in _rows(proc / table):
            if columns[STATE] == ESTABLISHED and (columns[LOCAL], columns[REMOTE]) in ends:
                return int(columns[UID])
    return None


def _rows(table: Path) -> Iterator[list[str]]:
    try:
        lines = table.read_text().splitlines()[1:]
    except OSError:
        return
    yield from (line.split() for line in lines)


def _written(end: Address) -> Iterator[str]:
    """As the kernel writes it: words of 32 bits as they lie in memory; IPv4 also within IPv6."""
    host, port = ip_address(end[0]), end[1]
    packed = [host.packed]
    if isinstance(host, IPv4Address):
        packed.append(IPv6Address(f"::ffff:{host}").packed)
    for each in packed:
        words = struct.unpack(f"={len(each) // 4}I", each)
        yield "".join(f"{word:08X}" for word in words) + f":{port:04X}"
