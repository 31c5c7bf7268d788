"""Ties a process to its parent: `python -I -S tether.py PARENT COMMAND…` becomes COMMAND.

The kernel then kills it when the parent thread that spawned it ends, however that ends.
A script, because running Python between fork and exec in a process with gRPC threads is unsafe.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1

if __name__ == "__main__":
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != int(sys.argv[1]):
        sys.exit("the parent ended before its child began")
    os.execv(sys.argv[2], sys.argv[2:])  # noqa: S606 # no shell is wanted: the list is the command
