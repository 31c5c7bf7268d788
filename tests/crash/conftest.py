"""The lives that all tests here look at: lived once."""

from __future__ import annotations

import logging
import os
import time
from collections import Counter
from random import Random

import pytest

from . import evidence
from .checks import COMMANDS, changes
from .life import Life, Worlds

log = logging.getLogger(__name__)

SEED = int(os.environ.get("TRIMTAB_SEED", "1"))
DEATHS = int(os.environ.get("TRIMTAB_KILLS", "8"))
DEATHS_PER_LIFE = 8 if DEATHS > 8 else 4


@pytest.fixture(scope="session")
def lives(tmp_path_factory: pytest.TempPathFactory) -> list[Life]:
    started_s = time.monotonic()
    worlds = Worlds(tmp_path_factory.mktemp("crash"), Random(SEED))
    try:
        lives = [worlds.live(n, DEATHS_PER_LIFE) for n in range(DEATHS // DEATHS_PER_LIFE)]
    finally:
        worlds.end()
    log.info("seed %d, %.0f s: %s", SEED, time.monotonic() - started_s, dict(summary(lives)))
    return lives


def summary(lives: list[Life]) -> Counter[str]:
    """How much has happened, for SAFETY.md and for doubts."""
    counts = Counter[str]()
    for life in lives:
        counts.update(point.value for point in life.deaths)
        counts.update(records=len(life.records), lives=1, writes=len(life.proxy.writes))
        counts.update("applied" for write in life.proxy.writes if write.applied)
        counts.update(row.kind for row in life.records if row.kind in COMMANDS)
        counts.update(e.answer.value for e in evidence.envelopes(life.records))
        for decision in evidence.decisions(life.records):
            counts.update(change for _, change, _ in changes(life, decision))
    return counts
