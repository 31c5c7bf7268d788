"""What happened in a drill, what trimtab did, and how long it took: a page of Markdown.

From the journal alone, so that a drill which the daemon did not survive has one, too.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from trimtab_controller.drills.course import KIND, LOOK, Course, Look, Phase
from trimtab_controller.drills.picture import picture
from trimtab_controller.explain.decisions import between
from trimtab_controller.journal import Journal
from trimtab_controller.memory import Outcome, TickRecord
from trimtab_controller.protocols import Ask, Intent
from trimtab_controller.records import unpack
from trimtab_controller.up.words import WORDS, clock_time
from trimtab_guard.model import Want
from trimtab_guard.reasons import Code

# What the guard does at any time is no news in a drill; what it does in doubt is.
USUAL = {
    Code.HOLD, Code.RATE_UP, Code.RATE_DOWN, Code.FLAP, Code.WEIGHT_SUM, Code.WEIGHT_STEP,
    Code.MIN_REPLICAS, Code.MAX_REPLICAS, Code.ROUTED, Code.BUDGET, Code.CROWD,
}  # fmt: skip
TITLES = {
    Phase.STEADY: "Withstood",
    Phase.UNSTEADY: "Not withstood",
    Phase.ABORTED: "Aborted",
    Phase.NOT_BEGUN: "Not begun",
}


class Line(NamedTuple):
    """One thing that happened: to the service, by the drill or by trimtab."""

    time_s: float
    who: str
    what: str


@dataclass(frozen=True, slots=True)
class Story:
    """A drill as the journal has it."""

    course: Course
    events: Sequence[Line]
    looks: Sequence[Look]
    ticks: Sequence[TickRecord]


def told(journal: Journal, course: Course) -> Story:
    """All that was recorded of a drill; raises `JournalError`."""
    service, since_s = course.plan.service, course.began_s
    events, looks = [], []
    for entry in journal.entries(kinds=(KIND, LOOK), since_s=since_s):
        if entry.body["service"] != service:
            continue
        if entry.kind == LOOK:
            looks.append(unpack(Look, entry.body["look"]))
        elif unpack(Course, entry.body["drill"]).id == course.id:
            events.append(Line(entry.time_s, "drill", entry.body["event"]))
    until_s = events[-1].time_s if not course.runs and events else math.inf
    ticks = [each.tick for each in between(journal, service, since_s, until_s)]
    return Story(course, events, [look for look in looks if look.time_s <= until_s], ticks)


def page(story: Story) -> str:
    """The whole page."""
    course = story.course
    plan, zero_s = course.plan, _zero_s(course)
    lines = [*story.events, *_seen(story), *_done(story.ticks)]
    rows = (
        f"| {line.time_s - zero_s:+.1f} | {line.who} | {line.what.replace('|', '/')} |"
        for line in sorted(lines, key=lambda line: line.time_s)
    )
    parts = [
        f"# Drill {plan.drill} on {plan.service}",
        plan.about.strip(),
        f"**{TITLES.get(course.phase, 'It runs')}**: {course.why}.",
        "\n".join(_facts(story)),
        "\n".join(picture(course, story.looks)),
        "## What happened",
        "\n".join(["| s | | |", "| --: | --- | --- |", *rows]),
    ]
    return "\n\n".join(filter(None, parts)) + "\n"


def _zero_s(course: Course) -> float:
    """What times are counted from: the first fault, if it came to that."""
    return course.began_s if math.isnan(course.first_s) else course.first_s


def _facts(story: Story) -> Iterator[str]:
    course = story.course
    plan, limits, steady = course.plan, course.limits, course.plan.steady
    hypothesis = f"at most {steady.miss_share:.1%} of requests miss"
    if steady.p95_ms < 1e9:
        hypothesis += f", and p95 is at most {steady.p95_ms:g} ms"
    writes = sum(_written(tick) for tick in story.ticks)
    doubtful = sum(bool(_doubts(tick)) for tick in story.ticks)
    yield "| | |"
    yield "| --- | --- |"
    yield f"| begun | {clock_time(course.began_s)}, by {course.who} |"
    yield f"| steady state | {hypothesis}, in every tick of {steady.for_s:g} s |"
    yield f"| must be back | {plan.recover_s:g} s after the last fault |"
    yield (
        f"| may break | {limits.replicas_share:.0%} of the replicas, for {limits.lasts_s:g} s; "
        f"misses worth {limits.error_budget_s:g} s of an outage |"
    )
    yield f"| broke | {'; '.join(str(fault) for fault in plan.faults)} |"
    yield f"| missed | worth {course.missed_s:.1f} s of an outage |"
    if course.phase is Phase.STEADY:
        yield f"| until steady | {course.back_s:.1f} s after the last fault |"
    yield f"| trimtab | writes: {writes}; in doubt in {doubtful} of {len(story.ticks)} ticks |"


def _seen(story: Story) -> Iterator[Line]:
    """What was seen, when it is news: steady or not, and replicas that came or went."""
    steady, before = story.course.plan.steady, None
    for look in story.looks:
        holds = look.miss_share <= steady.miss_share and look.p95_ms <= steady.p95_ms
        now = holds, tuple((b.name, b.ready) for b in look.backends)
        if before != now:
            before = now
            yield Line(look.time_s, "seen", _look_words(look, holds=holds))


def _look_words(look: Look, *, holds: bool) -> str:
    if math.isnan(look.miss_share):
        fares = "nobody sees how requests fare"
    else:
        fares = f"{look.miss_share:.1%} missed, 95 % within {look.p95_ms:.0f} ms"
    replicas = ", ".join(f"{b.ready} of {b.wanted} {b.name} ready" for b in look.backends)
    return f"{'steady' if holds else '**not steady**'}: {fares}; {replicas or 'stage not seen'}"


def _done(ticks: Sequence[TickRecord]) -> Iterator[Line]:
    """What trimtab did, and why it did not, when it is news."""
    known: list[str] = []
    for tick in ticks:
        if tick.intent and _written(tick):
            yield Line(tick.time_s, "trimtab", f"wrote {_write_words(tick.intent)}")
        doubts = _doubts(tick)
        if doubts != known and (doubts or len(known) > 1):
            yield Line(tick.time_s, "trimtab", "; ".join(doubts) or "acts as before")
        known = doubts


def _doubts(tick: TickRecord) -> list[str]:
    """Why it did less than its policy proposed, beyond what is usual; nothing when it did not."""
    codes = dict.fromkeys(r.code for r in tick.verdict.reasons) if tick.verdict else {}
    words = [WORDS.get(code, code) for code in codes if code not in USUAL]
    held = "held" if tick.outcome is Outcome.HELD else ""
    return [each for each in (held, tick.error, *words) if each]


def _written(tick: TickRecord) -> bool:
    return tick.intent is not None and tick.outcome is Outcome.APPLIED


def _write_words(intent: Intent) -> str:
    before = {want.name: want for want in intent.before}
    return ", ".join(_ask_words(ask, before[ask.backend]) for ask in intent.asks)


def _ask_words(ask: Ask, was: Want) -> str:
    words = []
    if ask.floor is not None:
        words.append(f"at least {was.replicas}→{ask.floor}")
    if ask.weight is not None:
        words.append(f"share {100 * was.weight:.0f}→{100 * ask.weight:.0f} %")
    return f"{ask.backend} {', '.join(words)}"
