"""Things that fail on purpose: begin, watch, end, and the page of what happened."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from time import sleep

import click

from trimtab_controller.cli.connection import (
    DEADLINE_S,
    Daemon,
    controller,
    daemon_options,
    who_option,
)
from trimtab_controller.drills.course import RUNNING, Phase
from trimtab_controller.drills.plan import Plan, read
from trimtab_controller.up.words import clock_time
from trimtab_proto.v1 import controller_pb2 as pb
from trimtab_proto.v1 import controller_pb2_grpc
from trimtab_sim.schema import ConfigError

POLL_S = 1.0


@click.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False), required=False)
@click.option("--check", is_flag=True, help="Only look whether FILE is in order.")
@click.option("--list", "list_", is_flag=True, help="Show the last drill of each service.")
@click.option("--end", metavar="SERVICE", help="Undo everything, and end the drill of SERVICE.")
@click.option("--show", metavar="SERVICE", help="Print the page of the last drill of SERVICE.")
@click.option(
    "--page",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Where to write what happened, as Markdown.  [default: standard output]",
)
@who_option
@daemon_options
@click.pass_context
def drill(
    ctx: click.Context,
    file: Path | None,
    check: bool,
    list_: bool,
    end: str | None,
    show: str | None,
    page: Path | None,
    who: str,
    daemon: Daemon,
) -> None:
    """Break what FILE says, inside a boundary.

    Nothing is broken before the steady state in FILE has held. Ctrl-C undoes everything and ends
    it. Exits with 0 when the steady state came back in time, and with 1 when not.
    """
    if sum(map(bool, (file, list_, end, show))) != 1:
        raise click.UsageError("give a FILE, or one of --list, --end and --show")
    if file:
        plan = _read(file)
        if check:
            click.echo(f"{file} is in order: {plan}, {len(plan.faults)} faults")
            return
    with controller(daemon) as stub:
        if list_:
            _list(stub)
        elif end:
            _end(stub, end, who)
        elif show:
            _publish(_last(stub, show, page=True), page)
        elif file:
            _start(stub, file, plan, who)
            ctx.exit(_follow(stub, plan.service, who, page))


def _read(file: Path) -> Plan:
    try:
        return read(file)
    except ConfigError as error:
        raise click.ClickException(str(error)) from error


def _start(stub: controller_pb2_grpc.ControllerStub, file: Path, plan: Plan, who: str) -> None:
    request = pb.StartDrillRequest(service=plan.service, plan=file.read_text("utf-8"), who=who)
    stub.StartDrill(request, timeout=DEADLINE_S)
    click.echo(
        f"{plan}; Ctrl-C ends it, and so does `trimtab drill --end {plan.service}`", err=True
    )


def _follow(
    stub: controller_pb2_grpc.ControllerStub, service: str, who: str, page: Path | None
) -> int:
    """Tell what is new until it is over, and then all of it; what to exit with."""
    try:
        for one in _news(stub, service):
            click.echo(_line(one), err=True)
    except KeyboardInterrupt:
        _end(stub, service, who)
    last = _last(stub, service, page=True)
    _publish(last, page)
    return 0 if last.phase == Phase.STEADY else 1


def _news(stub: controller_pb2_grpc.ControllerStub, service: str) -> Iterator[pb.Drill]:
    told: tuple[object, ...] = ()
    while True:
        one = _last(stub, service)
        if told != (told := (one.phase, one.why, *one.in_force)):
            yield one
        if one.phase not in RUNNING:
            return
        sleep(POLL_S)


def _last(
    stub: controller_pb2_grpc.ControllerStub, service: str, *, page: bool = False
) -> pb.Drill:
    request = pb.ListDrillsRequest(service=service, page=page)
    drills: Sequence[pb.Drill] = stub.ListDrills(request, timeout=DEADLINE_S).drills
    if not drills:
        raise click.ClickException(f"{service} has had no drill")
    return drills[0]


def _list(stub: controller_pb2_grpc.ControllerStub) -> None:
    drills = stub.ListDrills(pb.ListDrillsRequest(), timeout=DEADLINE_S).drills
    for one in drills:
        since = clock_time(one.began_s)
        click.echo(f"{one.service}: {one.drill}, begun by {one.who} at {since}")
        click.echo(_line(one))
    if not drills:
        click.echo("no service has had a drill")


def _end(stub: controller_pb2_grpc.ControllerStub, service: str, who: str) -> None:
    request = pb.EndDrillRequest(service=service, who=who)
    ended = stub.EndDrill(request, timeout=DEADLINE_S)
    click.echo(f"{service}: {ended.why}; nothing is broken any more", err=True)


def _publish(one: pb.Drill, page: Path | None) -> None:
    if page is None:
        click.echo(one.page, nl=False)
        return
    page.write_text(one.page, encoding="utf-8")
    click.echo(f"{one.phase}: {one.why}; all of it is in {page}")


def _line(one: pb.Drill) -> str:
    broken = f"  broken: {'; '.join(one.in_force)}" if one.in_force else ""
    spent = f"missed {one.missed_s:.1f} of {one.budget_s:g} s"
    return f"  {one.phase}: {one.why}  {spent}{broken}"
