"""Where a demonstration keeps its state: journal, logs and sockets, for one run at a time."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

# A Unix socket's path has at most 107 bytes; the stage puts a few names below its folder.
SOCKET_PATH_LIMIT = 100
LONGEST_SOCKET = "stage/on-demand-0000.sock"
ADDRESS, JOURNAL = "address", "journal.db"


class FolderError(Exception):
    """The folder cannot be used; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Folder:
    """``path`` keeps journal and logs between runs; ``sockets`` is short and may be temporary."""

    path: Path
    sockets: Path

    @property
    def journal(self) -> Path:
        """The daemon's journal of this run."""
        return self.path / JOURNAL

    @property
    def config(self) -> Path:
        """The daemon's configuration for this run."""
        return self.path / "trimtab.yaml"

    @property
    def stage_socket(self) -> Path:
        """Where the stage answers."""
        return self.sockets / "stage.sock"

    @property
    def stage_dir(self) -> Path:
        """What the stage keeps for itself, sockets included."""
        return self.sockets / "stage"

    @property
    def daemon_socket(self) -> Path:
        """Where the daemon answers."""
        return self.sockets / "daemon.sock"

    @property
    def address(self) -> str:
        """The daemon's gRPC address."""
        return f"unix:{self.daemon_socket}"

    def log(self, child: str) -> Path:
        """What a child prints."""
        return self.path / f"{child}.log"


def default_path() -> Path:
    """``.run`` here when that can be written, else the user's state folder."""
    here = Path(".run")
    if os.access(here if here.exists() else here.parent, os.W_OK):
        return here
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(state) / "trimtab"


def running_address(path: Path) -> str | None:
    """The gRPC address that a demonstration with this folder has left there, if any."""
    try:
        return (path / ADDRESS).read_text().strip() or None
    except OSError:
        return None


@contextmanager
def claim(path: Path) -> Iterator[Folder]:
    """Make ``path`` ready for a fresh run and hold it; `FolderError` when that cannot be."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        lock = (path / "lock").open("a+")
    except OSError as error:
        raise FolderError(f"{path}: {error.strerror}; give another folder with --dir") from error
    with lock, _sockets(path.resolve()) as sockets:
        _hold(lock.fileno(), path)
        folder = Folder(path.resolve(), sockets)
        for child in ("stage", "daemon", "console"):
            folder.log(child).unlink(missing_ok=True)
        shutil.rmtree(folder.stage_dir, ignore_errors=True)
        set_aside(folder.journal)
        (path / ADDRESS).write_text(folder.address + "\n")
        try:
            yield folder
        finally:
            (path / ADDRESS).unlink(missing_ok=True)


def _hold(lock: int, path: Path) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise FolderError(
            f"{path}: a demonstration runs here already; end it with Ctrl-C in its terminal, "
            "or start this one with --dir ANOTHER"
        ) from None


@contextmanager
def _sockets(path: Path) -> Iterator[Path]:
    if len(os.fsencode(path / LONGEST_SOCKET)) <= SOCKET_PATH_LIMIT:
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="trimtab-", ignore_cleanup_errors=True) as short:
        yield Path(short)


def set_aside(journal: Path) -> Path | None:
    """Rename an earlier run's journal after the time of its last entry; it is never deleted.

    A demonstration starts a fresh one, because a journal remembers modes and stops, and the
    cluster that they were meant for is gone. Returns the new path.
    """
    parts = [journal.with_name(journal.name + suffix) for suffix in ("", "-wal", "-shm")]
    parts = [part for part in parts if part.exists()]
    if journal not in parts:
        return None
    written = datetime.fromtimestamp(max(part.stat().st_mtime for part in parts))
    stem = f"{journal.stem}-{written:%Y-%m-%d-%H%M%S}"
    same_second = len(list(journal.parent.glob(f"{stem}*{journal.suffix}")))
    aside = f"{stem}-{same_second + 1}" if same_second else stem
    # SQLite finds what it has not merged yet by the journal's own name, so all parts move alike.
    for part in parts:
        part.rename(part.with_name(part.name.replace(journal.stem, aside, 1)))
    return journal.with_stem(aside)
