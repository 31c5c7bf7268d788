"""Which store keeps the journal: a file, an export of one, or PostgreSQL."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import AbstractContextManager, contextmanager
from importlib import import_module
from pathlib import Path
from types import ModuleType

from trimtab_controller.journal import export, file
from trimtab_controller.journal.chain import (
    DamagedError,
    Entry,
    JournalError,
    Location,
    Snapshot,
    Store,
)
from trimtab_controller.journal.checkpoint import entries

_SCHEMES = ("postgresql://", "postgres://")


def is_url(location: Location) -> bool:
    """Whether this is a server and not a file."""
    return str(location).startswith(_SCHEMES)


def writable(location: Location, *, evict: bool) -> Store:
    """Open for writing and create what is missing.

    `JournalBusyError` when somebody else writes whom we do not, or cannot, ``evict``;
    `JournalError` when it is something else.
    """
    if is_url(location):
        opened: Store = _postgres().PostgresStore(str(location), evict=evict)
        return opened
    return file.FileStore(Path(location))


@contextmanager
def reading(location: Location) -> Iterator[Snapshot]:
    """One consistent state of a journal or of an export; never waits for the writer.

    `JournalError` when there is none, or when a record cannot be read.
    """
    with _opened(location) as snapshot:
        try:
            yield snapshot
        except DamagedError as error:
            raise JournalError(
                f"{snapshot.name}: {error}; `trimtab journal verify` names the record"
            ) from error


def read(
    location: Location,
    kinds: Collection[str] | None = None,
    since_s: float | None = None,
    after: int = 0,
) -> Iterator[Entry]:
    """Records in order: of these kinds, not before ``since_s``, with numbers above ``after``.

    Needs no writer and hinders none. `JournalError` when there is no journal or it is damaged.
    """
    with reading(location) as snapshot:
        yield from entries(snapshot, kinds, since_s, after)


def _opened(location: Location) -> AbstractContextManager[Snapshot]:
    if is_url(location):
        opened: AbstractContextManager[Snapshot] = _postgres().reading(str(location))
        return opened
    path = Path(location)
    if not path.is_file():
        raise JournalError(f"{path}: no journal here; the daemon creates one when it starts")
    with path.open("rb") as start:
        is_export = start.read(1) == b"{"
    return export.reading(path) if is_export else file.reading(path)


def _postgres() -> ModuleType:
    """Loaded when it is asked for: psycopg is an extra."""
    try:
        return import_module("trimtab_controller.journal.postgres")
    except ImportError as error:
        raise JournalError(
            f"a journal in PostgreSQL needs psycopg ({error}): pip install 'trimtab[postgres]'"
        ) from error
