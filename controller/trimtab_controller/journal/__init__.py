"""The append-only memory: what was seen, proposed, allowed, approved and done, in that order.

Every record is on the disk before `Journal.append` returns, and carries a SHA-256 over the
record before it and its own canonical JSON: nothing can be altered, taken out or moved without
breaking the chain. One process writes; anybody may read meanwhile.

What the chain cannot show is that the whole file was put back to an older copy: for that, keep
the head's hash, which `verify` returns, somewhere else.
"""

from trimtab_controller.journal.file import (
    Entry,
    JournalBusyError,
    JournalError,
    read,
)
from trimtab_controller.journal.verification import Verification, verify
from trimtab_controller.journal.writer import Journal

__all__ = [
    "Entry",
    "Journal",
    "JournalBusyError",
    "JournalError",
    "Verification",
    "read",
    "verify",
]
