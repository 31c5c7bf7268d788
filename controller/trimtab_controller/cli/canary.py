"""A new version on trial beside the old one: begin, watch, end."""

from __future__ import annotations

import math
from collections.abc import Iterator
from time import monotonic, sleep

import click

from trimtab_controller.cli.connection import (
    DEADLINE_S,
    Daemon,
    controller,
    daemon_options,
    who_option,
    why_option,
)
from trimtab_controller.up.words import clock_time, effect_words
from trimtab_proto.v1 import controller_pb2 as pb
from trimtab_proto.v1 import controller_pb2_grpc

POLL_S = 1.0
TELL_S = 10.0
# What a message can hold, and more than anybody waits for.
REQUESTS = click.IntRange(1, 1_000_000_000)
TRIAL, ADOPTED = "trial", "adopted"


@click.group()
def canary() -> None:
    """Try a new version on live traffic, and go back if it is worse."""


@canary.command()
@click.argument("service")
@click.option("--old", required=True, metavar="BACKEND", help="The version that is known.")
@click.option("--new", required=True, metavar="BACKEND", help="The version on trial.")
@click.option(
    "--shares",
    metavar="PERCENT,…",
    default="5,20,50",
    show_default=True,
    help="The new version's, one after the other, of what both have of the route.",
)
@click.option(
    "--requests", type=REQUESTS, help="Answers of the new version at each share.  [default: 500]"
)
@click.option(
    "--most-requests",
    type=REQUESTS,
    help="Without a verdict after these, it is over.  [default: 20000]",
)
@click.option(
    "--margin", type=float, metavar="PERCENT", help="A smaller difference is none.  [default: 5]"
)
@click.option("--detach", is_flag=True, help="Begin, and do not watch.")
@who_option
@daemon_options
def start(
    service: str,
    old: str,
    new: str,
    shares: str,
    requests: int | None,
    most_requests: int | None,
    margin: float | None,
    detach: bool,
    who: str,
    daemon: Daemon,
) -> None:
    """Put a backend of SERVICE on trial, and watch it to its end.

    Ctrl-C only ends the watching. Exits with 1 when the new version is not adopted.
    """
    request = pb.StartCanaryRequest(
        service=service,
        old=old,
        new=new,
        shares=_shares(shares),
        requests=requests,
        most_requests=most_requests,
        margin=None if margin is None else margin / 100,
        who=who,
    )
    with controller(daemon) as stub:
        begun = stub.StartCanary(request, timeout=DEADLINE_S)
        click.echo(
            f"{service}: {new} is on trial beside {old}; `trimtab canary end {service}` ends it"
        )
        if not detach:
            _watch(stub, service, begun)


@canary.command()
@daemon_options
def status(daemon: Daemon) -> None:
    """Show every trial that runs or holds a route."""
    with controller(daemon) as stub:
        reply = stub.ListCanaries(pb.ListCanariesRequest(), timeout=DEADLINE_S)
    for one in reply.canaries:
        for line in described(one):
            click.echo(line)
    if not reply.canaries:
        click.echo("no trial runs")


@canary.command()
@click.argument("service")
@daemon_options
def watch(service: str, daemon: Daemon) -> None:
    """Follow the trial of SERVICE to its end."""
    with controller(daemon) as stub:
        _watch(stub, service, None)


@canary.command()
@click.argument("service")
@who_option
@why_option
@daemon_options
def end(service: str, who: str, why: str, daemon: Daemon) -> None:
    """Give the new version's traffic back; once it is over, let the route go again."""
    request = pb.EndCanaryRequest(service=service, who=who, why=why)
    with controller(daemon) as stub:
        one = stub.EndCanary(request, timeout=DEADLINE_S)
    click.echo(f"{service}: {one.why}")


def _watch(stub: controller_pb2_grpc.ControllerStub, service: str, last: pb.Canary | None) -> None:
    """Tell what is new until the trial is over."""
    for one in _news(stub, service, last):
        click.echo(_line(one))
        last = one
    if last is None:
        raise click.ClickException(f"no trial of {service} runs")
    for line in described(last):
        click.echo(line)
    if last.phase != ADOPTED:
        raise SystemExit(1)


def _news(
    stub: controller_pb2_grpc.ControllerStub, service: str, last: pb.Canary | None
) -> Iterator[pb.Canary]:
    """A line now and then, and one whenever something has happened."""
    told, told_s = "", -math.inf
    while last is None or last.phase == TRIAL:
        request = pb.ListCanariesRequest(service=service)
        found = stub.ListCanaries(request, timeout=DEADLINE_S).canaries
        if not found:
            return
        last = found[0]
        if told != (told := f"{last.phase} {last.share}") or monotonic() > told_s + TELL_S:
            told_s = monotonic()
            yield last
        sleep(POLL_S)


def described(one: pb.Canary) -> Iterator[str]:
    """A trial and what was found, in lines."""
    since = clock_time(one.began_s)
    yield f"{one.service}: {one.new} beside {one.old}, begun by {one.who} at {since}"
    yield f"  {one.phase}, {one.share:.0%} of the route of both: {one.why}"
    for each in one.effects:
        yield f"  {effect_words(each.metric, each.worse, each.low, each.high)}"


def _line(one: pb.Canary) -> str:
    if one.phase != TRIAL:
        return f"  {one.phase}: {one.why}"
    evidence = f"worse {one.worse_share:4.0%}, no worse {one.no_worse_share:4.0%}"
    answers = f"{one.old_answers:6} and {one.new_answers:6} answers"
    return f"  {one.share:4.0%} of the route  {answers}  evidence: {evidence}  {one.why}"


def _shares(text: str) -> list[float]:
    try:
        return [float(part) / 100 for part in text.split(",")]
    except ValueError:
        raise click.BadParameter(
            f"{text!r}: give per cents with commas between them, such as 5,20,50",
            param_hint="--shares",
        ) from None
