"""What must be true of a life, however often it ended. Each check yields what is not."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from itertools import dropwhile

from click.testing import CliRunner

from trimtab_controller.cli import main
from trimtab_proto.v1 import controller_pb2 as pb

from . import evidence
from .life import Life
from .limits import limits_kept, paid_for


def chain(life: Life) -> Iterator[str]:
    """The chain was whole after every death, and only grew; `trimtab journal verify` agrees."""
    yield from life.faults
    verified = CliRunner().invoke(main, ["journal", "verify", str(life.journal)])
    if verified.exit_code or f"{len(life.records)} records" not in verified.output:
        yield verified.output


def exactly_once(life: Life) -> Iterator[str]:
    """Every write was journalled before, arrived at most once, and its outcome is true."""
    intents = {d.intent.request_id: d.intent for d in evidence.decisions(life.records)}
    outcomes = Counter(outcome.request_id for outcome in evidence.outcomes(life.records))
    took = {o.request_id for o in evidence.outcomes(life.records) if o.applied}
    applied = Counter(w.request.request_id for w in life.proxy.writes if w.applied)
    for write in life.proxy.writes:
        intent = intents.get(write.request.request_id)
        if intent is None:
            yield f"{write.request.request_id} was sent and is not in the journal"
        elif _asked(write.request.backends) != {
            ask.backend: (ask.floor, ask.weight) for ask in intent.asks
        }:
            yield f"{intent.request_id}: {write.request} was sent for {intent}"
    for name in intents:
        if outcomes[name] != 1:
            yield f"{name} has {outcomes[name]} outcomes"
        if applied[name] != (name in took):
            yield f"{name} was applied {applied[name]} times; the journal says {name in took}"
    if _number(life.ended) - _number(life.began) != applied.total():
        yield f"{applied.total()} writes led from {life.began} to {life.ended}"
    if life.human.seen[-1].actions != applied.total():
        yield f"it counts {life.human.seen[-1].actions} actions, not {applied.total()}"


def fenced(life: Life) -> Iterator[str]:
    """Every start was a new epoch, and no write arrived under one that was over."""
    began = [row.said["epoch"] for row in life.records if row.kind == "epoch"]
    wrote = [write.request.epoch for write in life.proxy.writes if write.applied]
    if began != sorted(set(began)):
        yield f"epochs began in this order: {began}"
    if wrote != sorted(wrote) or not set(wrote) <= set(began):
        yield f"writes arrived under the epochs {wrote}, and these began: {began}"


def commands(life: Life) -> Iterator[str]:
    """What was acknowledged is in the journal, once; what was refused is not."""
    names = Counter(row.said["who"] for row in life.records if row.kind in COMMANDS)
    # An abort ends in a stop by the same hand.
    names -= Counter(row.said["who"] for row in life.records if row.kind == "abort")
    names += Counter(e.who for e in evidence.envelopes(life.records) if e.answer.name in ANSWERS)
    for command in life.human.commands:
        allowed = {True: (1,), False: (0,), None: (0, 1)}[command.took]
        if names[command.who] not in allowed:
            yield f"{command} is in the journal {names[command.who]} times"


def envelopes(life: Life) -> Iterator[str]:
    """Asked, answered at most once, and ended at most once; an id means one thing for ever."""
    stories = defaultdict(list)
    for envelope in evidence.envelopes(life.records):
        stories[envelope.id].append(envelope)
    for name, story in stories.items():
        answers = [envelope.answer.name for envelope in story]
        ended = list(dropwhile("PENDING".__eq__, answers))
        if ended not in (*STORIES, *([*told, "EXPIRED"] for told in STORIES)):
            yield f"envelope {name}: {answers}"
        if len({(e.service, e.backend, e.change, e.terms) for e in story}) != 1:
            yield f"envelope {name} was used again for something else: {story}"


def permitted(life: Life) -> Iterator[str]:
    """Every intent was allowed by mode, stop and granted envelopes as the journal had them.

    A rollback asks nobody, and nor does what an abort undoes; it begins nothing else.
    """
    for decision in evidence.decisions(life.records):
        name = decision.intent.request_id
        mode = decision.present.mode_at(decision.tick.time_s)
        if decision.present.stopped or decision.tick.mode.value != mode:
            yield f"{name} in {decision.tick.mode}, but the journal says {decision.present}"
        if decision.intent.undoes:
            continue
        if decision.present.aborting:
            yield f"{name} is begun during an abort"
        for backend, change, after in changes(life, decision):
            if change not in ACTS[mode] and not _granted(decision, backend, change, after):
                yield f"{name}: nobody allowed {backend} {change} to {after} in {mode}"


def obedient(life: Life) -> Iterator[str]:
    """Between an answered stop and the next resume, nothing changes the stage."""
    stopped = [c for c in life.human.commands if c.kind in ("stop", "abort") and c.took]
    resumed = [c.sent_s for c in life.human.commands if c.kind == "resume"]
    for stop in stopped:
        until_s = min((t for t in resumed if t > stop.answered_s), default=float("inf"))
        for write in life.proxy.writes:
            if write.applied and stop.answered_s < write.sent_s < until_s:
                yield f"{write} after {stop}"


def remembered(life: Life) -> Iterator[str]:
    """The first status after every restart shows the mode and the stop that were before it."""
    for before, status in life.woken:
        mode = pb.Mode.Name(status.mode).removeprefix("MODE_").lower()
        if before.aborting and status.stopped:
            continue  # it was the first thing that this daemon did
        if (mode, status.stopped) != (before.mode_at(status.time_s), before.stopped):
            yield f"came back in {mode}, stopped {status.stopped}, not as {before}"
    shown = {status.time_s for status in life.human.seen}
    kept = {tick.time_s for tick in evidence.ticks(life.records)}
    yield from (f"the tick of {time_s} was shown and lost" for time_s in shown - kept)


def unblamed(life: Life) -> Iterator[str]:
    """A daemon does not take its own earlier writes for another's."""
    yield from (row.body for row in life.records if row.kind == "writer")


CHECKS: tuple[Callable[[Life], Iterator[str]], ...] = (
    chain,
    exactly_once,
    fenced,
    commands,
    envelopes,
    permitted,
    obedient,
    remembered,
    unblamed,
    limits_kept,
    paid_for,
)

COMMANDS = ("mode", "renew", "stop", "abort", "resume")
ANSWERS = ("GRANTED", "REJECTED", "REVOKED")
STORIES = ([], ["GRANTED"], ["REJECTED"], ["GRANTED", "REVOKED"])
# What each mode does without asking.
ACTS = {
    "shadow": (),
    "approve": (),
    "assist": ("SCALE_UP",),
    "guarded": ("SCALE_UP", "SCALE_DOWN", "ROUTE"),
}
SAME_SHARE = 0.001


def _asked(backends: object) -> dict[str, tuple[int | None, float | None]]:
    return {
        b.name: (
            b.floor if b.HasField("floor") else None,
            b.weight if b.HasField("weight") else None,
        )
        for b in backends
    }


def changes(life: Life, decision: evidence.Decision) -> Iterator[tuple[str, str, float]]:
    """(backend, change, value after) against what the stage showed for that tick."""
    seen_s = decision.tick.state.replicas_time_s
    shown = next(poll for poll in life.proxy.polls if poll.time_s == seen_s)
    before = {backend.name: backend for backend in shown.backends}
    for ask in decision.intent.asks:
        now = before[ask.backend]
        if ask.floor is not None:
            yield ask.backend, "SCALE_UP" if ask.floor > now.floor else "SCALE_DOWN", ask.floor
        if ask.weight is not None and abs(ask.weight - now.weight) >= SAME_SHARE:
            yield ask.backend, "ROUTE", ask.weight


def _granted(decision: evidence.Decision, backend: str, change: str, after: float) -> bool:
    return any(
        e.answer.name == "GRANTED"
        and (e.backend, e.change.name) == (backend, change)
        and e.least <= after <= e.most
        and decision.intent.time_s < e.expires_s
        for e in decision.envelopes.values()
    )


def _number(version: str) -> int:
    return int(version.rpartition("-")[2])
