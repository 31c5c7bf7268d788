"""The policies, with and without variants."""

from __future__ import annotations

import pytest

from .writes import Server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Server:
    return Server(tmp_path_factory.mktemp("server"))


@pytest.fixture(scope="module")
def lenient(tmp_path_factory: pytest.TempPathFactory) -> Server:
    """One that lets variants be."""
    return Server(tmp_path_factory.mktemp("lenient"), variants=True)
