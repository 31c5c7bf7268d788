"""One running stage for all tests that leave it running."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from .client import Stage, eventually, running_stage


@pytest.fixture(scope="session")
def flat_trace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("trace") / "flat.csv"
    path.write_text("seconds,requests_per_second\n0,1\n60,1\n")
    return path


@pytest.fixture(scope="session")
def stage(tmp_path_factory: pytest.TempPathFactory, flat_trace: Path) -> Iterator[Stage]:
    """A hundred requests per second, without end."""
    directory = tmp_path_factory.mktemp("stage")
    with running_stage(directory, "--trace", str(flat_trace), "--peak-rps", "100") as stage:
        eventually(stage.is_serving)
        yield stage
