"""The real daemon on the real stage, killed with SIGKILL again and again.

``make crash`` does it 200 times; TRIMTAB_KILLS and TRIMTAB_SEED choose otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from .checks import CHECKS
from .conftest import DEATHS, summary
from .life import Life
from .proxy import Point

pytestmark = [pytest.mark.stage, pytest.mark.timeout(120 + 30 * DEATHS)]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_no_death_breaks_a_promise(
    lives: list[Life], check: Callable[[Life], Iterator[str]]
) -> None:
    assert [fault for life in lives for fault in check(life)] == []


def test_the_lives_were_worth_living(lives: list[Life]) -> None:
    seen = summary(lives)
    due = ("applied", "granted", "renew")
    if DEATHS >= 100:
        due += (
            *Point,
            "SCALE_UP",
            "SCALE_DOWN",
            "ROUTE",
            "rejected",
            "expired",
            "stop",
            "abort",
            "resume",
        )
    assert sum(len(life.deaths) for life in lives) == DEATHS
    assert [what for what in due if not seen[what]] == []
