"""The bench itself: lives until enough proposals were judged, and a hunt for each planted bug."""

from __future__ import annotations

from collections.abc import Callable, Iterator
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


def torment(
    guard: Guard, seed: int, proposals: int, tally: Tally, advance: Callable[[int], object]
) -> Iterator[Tally]:
    """The tally after every tick, until it holds ``proposals``; same seed, same lives."""
    number = 0
    while True:
        life = Life(guard, Random(f"{seed} {number}"), tally)
        for _ in range(TICKS):
            before = tally.proposals
            life.tick()
            advance(tally.proposals - before)
            yield tally
            if tally.proposals >= proposals:
                return
        number += 1


def judged(
    seed: int, proposals: int, clock_s: Callable[[], float], advance: Callable[[int], object]
) -> Tally:
    """What the guard made of so many proposals."""
    tally = Tally(clock_s)
    for _ in torment(real(), seed, proposals, tally, advance):
        pass
    return tally


def hunt(bug: Bug, seed: int) -> Find:
    """Until the checker finds it, or gives up; ``ValueError`` as `planted`."""
    tally = Tally(clock_s=float)
    for _ in torment(planted(bug), seed, HUNT, tally, advance=bool):
        if tally.broken:
            return Find(bug, next(iter(tally.broken)), tally.proposals)
    return Find(bug, "", tally.proposals)


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
        "broken": dict(sorted(tally.broken.items())),
        "cut": dict(sorted(tally.cut.items())),
    }


def described(data: dict[str, Any], finds: list[Find]) -> Iterator[str]:
    """The report in lines for a human."""
    for name in ("proposals", "violations", "checks_per_s", "p99_us"):
        yield f"{name.replace('_', ' '):16} {data[name]:>12,}"
    for promise, times in data["broken"].items():
        yield f"  BROKEN {times} times: {promise}"
    yield f"{'planted bugs':16} {data['planted_found']:>9} of {data['planted']}"
    for find in finds:
        found = f"after {find.proposals:,}: {find.promise}" if find.promise else "NOT FOUND"
        yield f"  {find.bug.name:48} {found}"
    yield "verdicts with each reason"
    for code, verdicts in sorted(data["cut"].items(), key=lambda item: -item[1]):
        yield f"  {code:14} {verdicts:>12,}"
