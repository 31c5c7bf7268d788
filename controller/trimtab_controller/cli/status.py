"""`trimtab status`: every service in a line, as `kubectl get` has them, or one of them in full."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, Sequence
from enum import StrEnum
from math import isfinite

import click
from google.protobuf.json_format import MessageToDict

from trimtab_controller.cli.connection import DEADLINE_S, Daemon, controller, daemon_options
from trimtab_controller.cli.experiment import described
from trimtab_controller.cli.watching import outcome
from trimtab_controller.up.words import change, mode_name, percent, reasons
from trimtab_proto.v1 import controller_pb2

COLUMNS = ("NAME", "MODE", "READY", "FLOOR", "SHARE", "MISSES", "OUTCOME", "AGE")
WIDE = ("BACKENDS", "RPS", "P95", "PENDING", "POLICY")
LAST = ("WHY",)
AGE = COLUMNS.index("AGE")
SPACE = 3
# Spans as `kubectl` writes them: up to two of a unit's own length in the unit below.
UNITS = (("d", 86400.0), ("h", 3600.0), ("m", 60.0))


class Output(StrEnum):
    """How the services are shown."""

    WIDE = "wide"
    JSON = "json"


@click.command()
@click.argument("service", default="")
@click.option(
    "-o",
    "--output",
    type=click.Choice([output.value for output in Output]),
    help="More columns, or everything as JSON, a line for each service.",
)
@click.option(
    "-w", "--watch", is_flag=True, help="Go on with a line whenever one changes, until Ctrl-C."
)
@daemon_options
def status(service: str, output: str | None, watch: bool, daemon: Daemon) -> None:
    """Show every service as it is now, or SERVICE in full.

    READY: ready replicas of those wanted. FLOOR: the least that the autoscaler underneath may
    have, which trimtab sets. Both, and SHARE, are by backend, in the configuration's order.
    """
    with controller(daemon) as stub:
        request = controller_pb2.WatchDecisionsRequest(service=service, once=True)
        ticks = list(stub.WatchDecisions(request, timeout=DEADLINE_S))
        _warn(ticks)
        if service and not (output or watch):
            rounds = controller_pb2.ListRoundsRequest(service=service)
            running = stub.ListRounds(rounds, timeout=DEADLINE_S).rounds
            lines = [line for tick in ticks for line in _described(tick)]
            lines += [line for one in running if not one.over for line in described(one)]
            click.echo("\n".join(lines))
            return
        table = _Json() if output == Output.JSON else _Table(ticks, wide=output == Output.WIDE)
        table.show(ticks)
        if watch:
            request.once = False
            for tick in stub.WatchDecisions(request):
                table.show([tick])


def _warn(ticks: Iterable[controller_pb2.ServiceStatus]) -> None:
    # Not into a table, or JSON, that somebody reads further.
    for error in {tick.config_error for tick in ticks} - {""}:
        click.echo(f"not reloaded, the last good limits hold: {error}", err=True)


class _Table:
    """Rows below a header; a row that says nothing new but its age is left out."""

    def __init__(self, ticks: Iterable[controller_pb2.ServiceStatus], *, wide: bool) -> None:
        """``ticks`` decide how wide the columns are."""
        self._wide = wide
        self._shown: dict[str, tuple[str, ...]] = {}
        header = (*COLUMNS, *(WIDE if wide else ()), *LAST)
        rows = [header, *map(self._cells, ticks)]
        self._widths = [max(map(len, column)) + SPACE for column in zip(*rows, strict=True)]
        self._print(header)

    def show(self, ticks: Iterable[controller_pb2.ServiceStatus]) -> None:
        """Print what is new of these."""
        for tick in ticks:
            cells = self._cells(tick)
            news = cells[:AGE] + cells[AGE + 1 :]
            if self._shown.get(tick.service) != news:
                self._shown[tick.service] = news
                self._print(cells)

    def _cells(self, tick: controller_pb2.ServiceStatus) -> tuple[str, ...]:
        return (*_cells(tick), *(_more(tick) if self._wide else ()), _why(tick))

    def _print(self, cells: Sequence[str]) -> None:
        padded = (f"{cell:{width}}" for cell, width in zip(cells, self._widths, strict=True))
        click.echo("".join(padded).rstrip())


class _Json:
    """One object a line: `ServiceStatus` with the names of the API."""

    def show(self, ticks: Iterable[controller_pb2.ServiceStatus]) -> None:
        """Print these."""
        for tick in ticks:
            named = MessageToDict(
                tick, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
            )
            click.echo(json.dumps(named))


def _cells(tick: controller_pb2.ServiceStatus) -> tuple[str, ...]:
    return (
        tick.service,
        "STOPPED" if tick.stopped else mode_name(tick.mode),
        _each(f"{b.ready}/{b.wanted}" for b in tick.backends),
        _each(str(b.floor) for b in tick.backends),
        _each(f"{b.weight * 100:.0f}%" for b in tick.backends),
        _known(tick.miss_share, percent(tick.miss_share).replace(" ", ""), tick),
        tick.outcome,
        age(time.time() - tick.time_s),
    )


def _more(tick: controller_pb2.ServiceStatus) -> tuple[str, ...]:
    return (
        _each(b.name for b in tick.backends),
        _each(_known(b.rate_rps, f"{b.rate_rps:.0f}", tick) for b in tick.backends),
        _known(tick.p95_ms, f"{tick.p95_ms:.0f}ms", tick),
        str(tick.pending),
        tick.policy,
    )


def _each(cells: Iterable[str]) -> str:
    return ",".join(cells) or "-"


def _known(value: float, shown: str, tick: controller_pb2.ServiceStatus) -> str:
    """What was not measured is no zero."""
    return shown if tick.backends and isfinite(value) else "-"


def _why(tick: controller_pb2.ServiceStatus) -> str:
    """The first that a human should know: what is wrong, what it waits for, what it does."""
    undo = "undo with `trimtab resume`" if tick.stopped else ""
    waits = f"{tick.pending} to approve" if tick.pending else ""
    held = reasons(tick.reasons) if tick.outcome != "applied" else ""
    does = change(tick) if tick.decision else "-"
    return next(filter(None, (undo, tick.error, tick.lowered, waits, held)), does)


def age(span_s: float) -> str:
    """``9s``, ``119s``, ``2m``, ``3h``, ``4d``."""
    return next(
        (f"{span_s // unit_s:.0f}{name}" for name, unit_s in UNITS if span_s >= 2 * unit_s),
        f"{max(0.0, span_s):.0f}s",
    )


def _described(tick: controller_pb2.ServiceStatus) -> Iterator[str]:
    mode = "STOPPED (undo: trimtab resume)" if tick.stopped else mode_name(tick.mode)
    yield f"{tick.service}: {mode}, policy {tick.policy}, {tick.pending} pending"
    if tick.lowered and not tick.stopped:
        yield f"  lowered: {tick.lowered}"
    for backend in tick.backends:
        yield (
            f"  {backend.name:12} {backend.ready} ready, {backend.starting} starting, "
            f"{backend.draining} draining of {backend.wanted} wanted, "
            f"{backend.weight * 100:.0f} % of the route"
        )
    if tick.backends:
        yield (
            f"  p50 {tick.p50_ms:.0f} ms, p95 {tick.p95_ms:.0f} ms, "
            f"misses {percent(tick.miss_share)}"
        )
    yield f"  {outcome(tick)}"
