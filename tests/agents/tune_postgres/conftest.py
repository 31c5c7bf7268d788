"""A real PostgreSQL, as for the journal's own tests."""

from tests.journal.conftest import server

__all__ = ["server"]
