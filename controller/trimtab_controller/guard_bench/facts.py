"""What a mode depends on apart from the state: calendars, and facts of which one is bad."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from random import Random
from typing import Any, NamedTuple

from trimtab_controller.guard_bench.copies import Guard

EPOCHS = ("epoch", "newest_epoch")
BAD_FACTS: tuple[dict[str, Any], ...] = (
    {"stopped": True},
    {"foreign_writer": "kubectl"},
    {"not_leading": "no Lease"},
    {"epoch": (3, "us"), "newest_epoch": (4, "them")},
    {"epoch": (3, "us"), "newest_epoch": (3, "them")},
    {"deadline_s": 0.0},
    {"lease": (0.0, 1.0)},
    {"lease": (1e11, 2e11)},
    {"cooling_until_s": 2e11},
)


class Calendar(NamedTuple):
    """A schedule, and the same as a plain function of the time: whether autonomy is allowed."""

    schedule: Any
    is_open: Callable[[float], bool]


def make_calendar(rng: Random, guard: Guard, now_s: float) -> Calendar:
    """Always, week nights, or not in a freeze that is to come; ``now_s`` is a whole second."""
    make = guard.schedule
    from_s, until_s = now_s + 100, now_s + 200
    freeze = make.Freeze(_iso(from_s), _iso(until_s))
    nights = make.Window("22:00", "06:00", tuple(make.Day)[:5])
    calendars = (
        Calendar(make.Schedule(), lambda _: True),
        Calendar(make.Schedule(windows=(nights,)), _is_week_night),
        Calendar(make.Schedule(freezes=(freeze,)), lambda at_s: not from_s <= at_s < until_s),
    )
    return rng.choice((*calendars[:1] * 2, *calendars))


def make_facts(rng: Random, guard: Guard, now_s: float, cooling_until_s: float) -> Any:
    """Mostly all is well; now and then one fact is bad."""
    well: dict[str, Any] = {"lease": (now_s - 10, now_s + 10), "cooling_until_s": cooling_until_s}
    facts = well | (rng.choice(BAD_FACTS) if rng.random() < 0.05 else {})
    kinds = {"lease": guard.authority.Lease} | dict.fromkeys(EPOCHS, guard.authority.Epoch)
    made = {name: kinds[name](*facts[name]) for name in kinds if name in facts}
    return guard.authority.Facts(**facts | made)


def _is_week_night(now_s: float) -> bool:
    """The morning belongs to the day before."""
    clock = time.gmtime(now_s)
    evening = clock.tm_hour >= 22 and clock.tm_wday < 5
    return evening or (clock.tm_hour < 6 and (clock.tm_wday - 1) % 7 < 5)


def _iso(now_s: float) -> str:
    return datetime.fromtimestamp(now_s, UTC).replace(tzinfo=None).isoformat()
