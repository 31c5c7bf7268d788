"""Studies in a file, and in a real PostgreSQL."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest
from tests.journal.conftest import server

__all__ = ["server"]


@pytest.fixture(params=["file", "postgres"])
def location(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where nobody has kept a study yet."""
    return str(tmp_path / "study.db") if request.param == "file" else shared(request)


def shared(request: pytest.FixtureRequest) -> str:
    url: str = request.getfixturevalue("server")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("DROP SCHEMA public CASCADE")
        connection.execute("CREATE SCHEMA public")
    return url


@pytest.fixture
def shared_location(request: pytest.FixtureRequest) -> str:
    """A database without a study."""
    return shared(request)
