"""What holds for every test."""

from __future__ import annotations

import pytest
from hypothesis import settings
from tests.cluster.fixtures import cluster, fake

# The clusters that tests of any folder may ask for.
__all__ = ["cluster", "fake"]

# No test is about how long it takes: a machine that is busy otherwise fails none.
settings.register_profile("trimtab", deadline=None)
settings.load_profile("trimtab")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give tests on the real stage a second try: its processes share two cores with CI.

    Pytest's summary counts what was run again. Not for kills: a promise broken once is broken.
    """
    for item in items:
        if item.get_closest_marker("stage") and "crash" not in item.path.parts:
            item.add_marker(pytest.mark.flaky(reruns=1))
