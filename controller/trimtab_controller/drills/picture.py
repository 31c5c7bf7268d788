"""A drill as a picture of letters: what was broken, and how the service fared meanwhile."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence

from trimtab_controller.drills.course import Course, Look
from trimtab_controller.up.words import BLOCKS

# It is no wider: of a longer drill, several looks share a column.
COLUMNS = 100


def picture(course: Course, looks: Sequence[Look]) -> Iterator[str]:
    """The course of it, a column for each look or for some."""
    if not looks:
        return
    size = math.ceil(len(looks) / COLUMNS)
    groups = [looks[start : start + size] for start in range(0, len(looks), size)]
    yield "```"
    yield f"{'faults':30} {''.join(_broken(course, group) for group in groups)}"
    for name, of in (
        ("missed, %", lambda look: 100.0 * look.miss_share),
        ("95 % within, ms", lambda look: look.p95_ms),
        ("requests/s", lambda look: look.rate_rps),
    ):
        yield _strip(name, groups, of, max)
    for number, backend in enumerate(next((x.backends for x in looks if x.backends), ())):
        yield _strip(f"{backend.name} ready", groups, _ready(number), min)
    yield "```"


def _broken(course: Course, group: Sequence[Look]) -> str:
    """Whether a fault was begun or in force then."""
    end_s = course.ended_s if math.isnan(course.last_s) else course.last_s
    return "█" if any(course.first_s <= look.time_s <= end_s for look in group) else "·"


def _ready(number: int) -> Callable[[Look], float]:
    return lambda look: look.backends[number].ready if look.backends else math.nan


def _strip(
    name: str,
    groups: Iterable[Sequence[Look]],
    of: Callable[[Look], float],
    worst: Callable[[Iterable[float]], float],
) -> str:
    """A row of blocks from the least to the most, both named; ``?`` where nobody saw it."""
    values = [worst(map(of, group)) for group in groups]
    known = [value for value in values if math.isfinite(value)]
    if not known:
        return f"{name:30} {'?' * len(values)}"
    low, high = min(known), max(known)
    scale = (len(BLOCKS) - 1) / ((high - low) or 1.0)
    blocks = (
        BLOCKS[round((value - low) * scale)] if math.isfinite(value) else "?" for value in values
    )
    return f"{f'{name} ({low:.3g} to {high:.3g})':30} {''.join(blocks)}"
