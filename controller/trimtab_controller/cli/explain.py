"""`trimtab explain`: why one decision was made, and whether it was right."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime, time

import click

from trimtab_controller.cli.connection import Daemon, controller, daemon_options
from trimtab_controller.up.words import clock_time, mode_name
from trimtab_proto.v1 import controller_pb2

DEADLINE_S, THOROUGH_S = 10.0, 60.0
LABEL = 11


def _request(
    _context: click.Context, _parameter: click.Parameter, decision: str
) -> controller_pb2.ExplainRequest:
    """``SERVICE``, ``SERVICE@RECORD`` or ``SERVICE@TIME`` as the request for it."""
    service, _, which = decision.partition("@")
    request = controller_pb2.ExplainRequest(service=service)
    try:
        if which.isdigit():
            request.record = int(which)
        elif which:
            request.time_s = _moment(which).timestamp()
    except ValueError as error:
        raise click.BadParameter(
            f"{which!r} is neither a record's number nor a time such as 14:05:10"
        ) from error
    return request


def _moment(text: str) -> datetime:
    """A time of today, or any with its date."""
    try:
        return datetime.combine(date.today(), time.fromisoformat(text))
    except ValueError:
        return datetime.fromisoformat(text)


@click.command()
@click.argument("decision", callback=_request)
@click.option(
    "--thorough",
    is_flag=True,
    help="Also what each input contributed and what rules would have done; takes seconds.",
)
@daemon_options
def explain(decision: controller_pb2.ExplainRequest, thorough: bool, daemon: Daemon) -> None:
    """Tell why DECISION was made, and whether it was right.

    DECISION is a service (its latest decision), SERVICE@RECORD (of the journal's record with that
    number), or SERVICE@14:05:10 (the last one by then; with a date, 2026-11-23T14:05:10).
    """
    decision.thorough = thorough
    with controller(daemon) as stub:
        reply = stub.Explain(decision, timeout=THOROUGH_S if thorough else DEADLINE_S)
    for line in told(reply):
        click.echo(line)


def told(reply: controller_pb2.ExplainReply) -> Iterator[str]:
    """An explanation as lines: the sentence first."""
    head = f"{reply.service}@{reply.record}  {clock_time(reply.time_s)}  {mode_name(reply.mode)}"
    yield f"{head}, policy {reply.policy}" if reply.policy else head
    yield reply.sentence
    if reply.proposal:
        yield _line("proposed", _wants(reply.proposal))
    if reply.decision:
        yield _line("allowed", _wants(reply.decision))
    for reason in reply.guard:
        yield _line("guard", f"{reason.words}  {reason.reason.code}")
    yield _line("hindsight", reply.hindsight.words)
    if reply.doubt:
        yield _line("inputs", f"not told: {reply.doubt}")
    yield from _inputs(reply.inputs)
    for rule in reply.rules:
        yield _line("rule", f"{rule.name}: {_wants(rule.wanted)}")


def _inputs(inputs: Sequence[controller_pb2.Alternative]) -> Iterator[str]:
    """Those that mattered, and how many did not."""
    mattered = [each for each in inputs if each.more]
    for each in mattered:
        yield _line("input", f"without {each.name} {each.more:+d}: {_wants(each.wanted)}")
    if rest := len(inputs) - len(mattered):
        yield _line("input", f"without any one of {rest} others as many replicas")


def _wants(wants: Iterable[controller_pb2.BackendDecision]) -> str:
    return ", ".join(f"{want.name} {want.replicas} at {want.weight * 100:.0f} %" for want in wants)


def _line(label: str, text: str) -> str:
    return f"  {label:<{LABEL}}{text}"
