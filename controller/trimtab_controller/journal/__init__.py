"""The append-only memory: what was seen, proposed, allowed, approved and done, in that order.

Every record is on the disk before `Journal.append` returns, and carries a SHA-256 over the
record before it and its own canonical JSON: nothing can be altered, taken out or moved without
breaking the chain. One process writes; anybody may read meanwhile. It is kept in an SQLite
file, or in PostgreSQL where the daemon has several replicas; an export is read like either.

What the chain cannot show is that the whole was put back to an older copy: for that, keep
the head's hash, which `verify` returns, somewhere else.
"""

from trimtab_controller.journal.chain import (
    Entry,
    JournalBusyError,
    JournalError,
    Location,
    Record,
)
from trimtab_controller.journal.export import lines, whole_file
from trimtab_controller.journal.store import is_url, read, reading
from trimtab_controller.journal.verification import Verification, verify
from trimtab_controller.journal.writer import Journal

__all__ = [
    "Entry",
    "Journal",
    "JournalBusyError",
    "JournalError",
    "Location",
    "Record",
    "Verification",
    "is_url",
    "lines",
    "read",
    "reading",
    "verify",
    "whole_file",
]
