"""Whether a file is still what it was: cheap enough to ask before every call."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple


class Stamp(NamedTuple):
    """What changes when a file is replaced, written to, or given other permissions."""

    inode: int
    mtime_ns: int
    size_bytes: int
    mode: int


def stamp(file: Path) -> Stamp | None:
    """A file's stamp; ``None`` while it cannot be seen."""
    try:
        found = file.stat()
    except OSError:
        return None
    return Stamp(found.st_ino, found.st_mtime_ns, found.st_size, found.st_mode)
