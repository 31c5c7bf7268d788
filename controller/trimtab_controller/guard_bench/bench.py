"""The bench itself: lives until enough proposals were judged, and a hunt for each planted bug."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import count
from random import Random
from typing import Any, NamedTuple

from trimtab_controller.guard_bench.copies import Bug, Guard, planted, real
from trimtab_controller.guard_bench.life import TICKS, Life
from trimtab_controller.guard_bench.tally import Tally

HUNT = 100_000
"""Proposals within which a planted bug must be found."""


class Find(NamedTuple):
    """What the checker first said of a copy with ``bug``, if anything; after so many proposals."""

    bug: Bug
    promise: str
    proposals: int


def torment(guard: Guard, seed: int, numbers: Iterable[int], tally: Tally) -> Iterator[int]:
    """How many proposals were judged, after every tick of these lives; same seed, same lives."""
    for number in numbers:
        tally.life = number
        life = Life(guard, Random(f"{seed} {number}"), tally)
        for _ in range(TICKS):
            life.tick()
            yield tally.proposals


def judged(
    seed: int,
    numbers: Iterable[int],
    proposals: int,
    clock_s: Callable[[], float],
    advance: Callable[[int], object],
) -> Tally:
    """What the guard made of so many proposals, or of all that there are in these lives."""
    tally = Tally(clock_s)
    for done in torment(real(), seed, numbers, tally):
        advance(done)
        if done >= proposals:
            break
    return tally


def hunt(bug: Bug, seed: int) -> Find:
    """Until the checker finds it, or gives up; ``ValueError`` as `planted`."""
    tally = Tally(clock_s=float)
    for done in torment(planted(bug), seed, count(), tally):
        if tally.broken or done >= HUNT:
            break
    found = next(iter(tally.broken), None)
    return Find(bug, found.promise if found else "", tally.proposals)


def report(tally: Tally, finds: list[Find]) -> dict[str, Any]:
    """The numbers, as JSON takes them; times are of ``judge`` alone, on its own processor time."""
    took_s = sorted(tally.took_s)
    return {
        "proposals": tally.proposals,
        "violations": tally.broken.total(),
        "planted_found": sum(bool(find.promise) for find in finds),
        "planted": len(finds),
        "checks_per_s": round(len(took_s) / sum(took_s)),
        "p99_us": round(took_s[int(0.99 * len(took_s))] * 1e6, 1),
        "broken": [
            {**broken._asdict(), "times": times} for broken, times in sorted(tally.broken.items())
        ],
        "cut": dict(sorted(tally.cut.items())),
    }


def described(data: dict[str, Any], finds: list[Find]) -> Iterator[str]:
    """The report in lines for a human."""
    for name in ("proposals", "violations", "checks_per_s", "p99_us"):
        yield f"{name.replace('_', ' '):16} {data[name]:>12,}"
    for broken in data["broken"]:
        yield "  BROKEN {times} times in life {life}: {promise}".format_map(broken)
    yield f"{'planted bugs':16} {data['planted_found']:>9} of {data['planted']}"
    for find in finds:
        found = f"after {find.proposals:,}: {find.promise}" if find.promise else "NOT FOUND"
        yield f"  {find.bug.name:48} {found}"
    yield "verdicts with each reason"
    for code, verdicts in sorted(data["cut"].items(), key=lambda item: -item[1]):
        yield f"  {code:14} {verdicts:>12,}"
