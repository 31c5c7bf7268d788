"""The live picture: one screen that says what is, what was decided and why, and how to stop.

A pure function of the record, so that a recorded run can be drawn again in a test. Colour only
repeats what the words say.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import isfinite

from rich.text import Text

from trimtab_controller.up.notes import Note
from trimtab_controller.up.record import HISTORY_S, Record
from trimtab_controller.up.words import (
    asked,
    clock_time,
    duration,
    mode_name,
    percent,
    rate,
    sparkline,
)
from trimtab_proto.v1 import stage_pb2

QUIET, GOOD, WARN, BAD = "dim", "green", "yellow", "bold red"
OUTCOMES = {"applied": GOOD, "asked": WARN, "held": WARN, "failed": BAD, "stopped": BAD}
LABEL = 9


@dataclass(frozen=True, slots=True)
class Place:
    """What the footer tells: how to call the command line, and where things listen."""

    program: str
    address: str
    folder: str
    console: str


def draw(record: Record, place: Place, width: int, height: int) -> Text:
    """At most ``height`` lines of at most ``width`` columns; decisions fill what is left."""
    head = [*_title(record), *_signals(record, width), *_backends(record, width)]
    foot = [*_alarms(record, place), *_pending(record, place), *_footer(record, place)]
    room = height - len(head) - len(foot) - 2
    rule = Text("─" * width, style=QUIET)
    lines = [*head, rule, *_decisions(record, room), rule, *foot]
    for line in lines:
        line.truncate(width, overflow="ellipsis")
    return Text("\n").join(lines)


def _title(record: Record) -> Iterator[Text]:
    daemon, stage = record.daemon, record.stage
    title = Text.assemble(("trimtab", "bold"))
    if stage is not None:
        title.append(f"   service {stage.service}")
    if daemon is not None:
        mode = "STOPPED" if daemon.stopped else mode_name(daemon.mode)
        title.append(f"   mode {mode}", style=BAD if daemon.stopped else "")
        title.append(f"   policy {daemon.policy}")
    if record.first is not None and stage is not None:
        title.append(f"   running {duration(stage.time_s - record.first.time_s)}")
    yield title


def _signals(record: Record, width: int) -> Iterator[Text]:
    stage, summary = record.stage, record.summary()
    if stage is None or summary is None:
        yield Text("starting the stage and the daemon …")
        return
    loads = [(sample.time_s, sample.offered_rps) for sample in record.history]
    ready = [(sample.time_s, float(sample.ready)) for sample in record.history]
    block_s = HISTORY_S / max(1, width - LABEL - 12)
    yield _line("load", f"{rate(stage.load.offered_rps):<10} {sparkline(loads, block_s)}")
    yield _line("ready", f"{ready[-1][1]:<10.0f} {sparkline(ready, block_s)}")
    profile, daemon = stage.profile, record.daemon
    latency = "unknown"
    if daemon is not None and not record.away and isfinite(daemon.p95_ms) and daemon.p95_ms:
        latency = f"p50 {daemon.p50_ms:.0f} ms   p95 {daemon.p95_ms:.0f} ms"
    slo = f"{profile.slo_share:.0%} within {profile.slo_latency_s * 1000:.0f} ms"
    yield _line("latency", latency).append(f"   SLO {slo.replace('%', ' %')}", style=QUIET)
    yield _misses(record, 1.0 - profile.slo_share)
    yield _line("cost", f"fleet {summary.fleet:.2f} + {record.miss_price:g} x misses").append(
        f" = score {summary.score(record.miss_price):.2f}, smaller is better"
    )
    load = stage.load
    yield _line("trace", f"{load.trace} at {duration(load.trace_time_s)}, {load.speed:g}x life")


def _misses(record: Record, allowed: float) -> Text:
    summary = record.summary()
    now, run = record.miss_share_now, summary.miss_share if summary else 0.0
    line = _line("misses", "")
    line.append(f"{percent(now)} now", style=BAD if now > allowed else "")
    line.append("   ")
    line.append(f"{percent(run)} of this run", style=WARN if run > allowed else "")
    return line.append(f"   {summary.requests if summary else 0:,} requests", style=QUIET)


def _backends(record: Record, width: int) -> Iterator[Text]:
    if record.stage is None:
        return
    yield Text(f"{'':13}share  ready  starting  draining  wanted", style=QUIET)
    shown = max(b.ready + b.starting + b.draining for b in record.stage.backends)
    most = max([shown, *(backend.wanted for backend in record.stage.backends), 1])
    scale = min(1.0, (width - 53) / most)
    for backend in record.stage.backends:
        line = Text(f"{backend.name[:12]:<13}{backend.weight * 100:3.0f} %")
        line.append(
            f"{backend.ready:7}{backend.starting:10}{backend.draining:10}{backend.wanted:8}"
        )
        yield line.append("  ").append_text(_bar(backend, scale))


def _bar(backend: stage_pb2.StageBackend, scale: float) -> Text:
    """One block per replica, or fewer when many: ready, starting, and what is still missing."""
    bar = Text()
    missing = max(0, backend.wanted - backend.ready - backend.starting)
    for count, block, style in (
        (backend.ready, "█", GOOD),
        (backend.starting, "▒", WARN),
        (missing, "·", QUIET),
    ):
        bar.append(block * round(count * scale), style=style)
    return bar


def _decisions(record: Record, room: int) -> list[Text]:
    """The present, then what was new, newest first, as many as there is room for."""
    lines: list[Text] = []
    if record.daemon is not None and not record.away:
        daemon = record.daemon
        lines.append(Text(f"{'now':<10}{daemon.outcome:<11}{daemon.error or daemon.why}"))
    for note in reversed(record.notes):
        lines += _note(note)
    lines += [Text("no decision yet")] * (not record.notes)
    return lines[:room] + [Text()] * (room - len(lines))


def _note(note: Note) -> Iterator[Text]:
    line = Text(f"{clock_time(note.time_s)}  ")
    if note.outcome:
        line.append(f"{note.outcome:<11}", style=OUTCOMES.get(note.outcome, ""))
    line.append(note.change, style="bold" if note.outcome else WARN)
    if note.times > 1:
        line.append(f"  {note.times} times", style=QUIET)
    yield line
    if note.why:
        yield Text(f"{'':10}{note.why}")
    if note.guard:
        yield Text(f"{'':10}guard: {note.guard}", style=WARN)


def _alarms(record: Record, place: Place) -> Iterator[Text]:
    if record.away:
        yield Text(record.away, style=BAD)
    elif record.daemon is not None and record.daemon.stopped:
        yield Text(f"all writes are stopped; undo with: {place.program} resume", style=BAD)
    if record.daemon is not None and record.daemon.config_error:
        said = f"not reloaded, the last good limits hold: {record.daemon.config_error}"
        yield Text(said, style=WARN)
    if record.stage is not None and not record.stage.load.alive:
        yield Text("the load generator is down; the stage starts it again", style=BAD)


def _pending(record: Record, place: Place) -> Iterator[Text]:
    if record.pending:
        yield Text(f"it asks; answer with: {place.program} approve ID … (or reject ID …)")
    for envelope in record.pending:
        yield Text(f"{envelope.id:>4}  {asked(envelope)}", style=WARN)


def _footer(record: Record, place: Place) -> Iterator[Text]:
    yield Text(f"console {place.console}", style="bold")
    yield Text(f"end with Ctrl-C   stop all writes: {place.program} stop", style=QUIET)
    port = f"   http 127.0.0.1:{record.stage.port}" if record.stage else ""
    yield Text(f"gRPC {place.address}{port}   logs {place.folder}", style=QUIET)


def _line(label: str, text: str) -> Text:
    return Text.assemble((f"{label:<{LABEL}}", QUIET), text)
