"""Variants of a backend on copies of live traffic: run a search, see what runs, end it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click

from trimtab_controller.cli.connection import (
    DEADLINE_S,
    Daemon,
    controller,
    daemon_options,
    who_option,
    why_option,
)
from trimtab_controller.up.words import clock_time, variant_words
from trimtab_proto.v1 import controller_pb2 as pb
from trimtab_proto.v1 import controller_pb2_grpc
from trimtab_sim.schema import ConfigError


@click.group()
def experiment() -> None:
    """Try other settings on copies of live traffic.

    The answers of those copies are thrown away.
    """


@experiment.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "--results",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Where trials are kept, so that it can go on.  [default: FILE, ending in .db]",
)
@who_option
@daemon_options
def run(file: Path, results: Path | None, who: str, daemon: Daemon) -> None:
    """Look for the best settings in FILE, round by round, until more is not worth it.

    What is live is never changed. Ctrl-C ends the round; the same FILE again goes on. Requests are
    carried out once more by each variant: FILE must say `safeToMirror: true`.
    """
    # Here, because Optuna takes a second, which the other commands need not wait for.
    from trimtab_agents.search import Search, SearchError, SpaceError
    from trimtab_controller.experimenter.hunt import EndedError, Hunt
    from trimtab_controller.experimenter.report import report
    from trimtab_controller.experimenter.spec import load, space

    try:
        spec = load(file)
        location = str(results or file.with_suffix(".db"))
        search = Search.open(space(spec), spec.name, location, first=[dict(spec.now)])
    except (ConfigError, SearchError, SpaceError) as error:
        raise click.ClickException(str(error)) from error
    with controller(daemon) as stub:
        click.echo(
            f"{spec.name}: up to {spec.together} variants of {spec.backend} at once get copies of "
            f"{spec.rate_rps:g} requests per second of {spec.service}; what those do is done again"
        )
        hunt = Hunt(spec, search, stub, who, click.echo)
        try:
            click.echo(f"enough: {hunt.run()}")
        except EndedError as error:
            raise click.ClickException(f"the round is over: {error}; {hunt.summary()}") from error
        except KeyboardInterrupt:
            click.echo(f"\nended; what was measured is in {location}, and the same FILE goes on")
        for line in report(spec, search, _others(stub, spec.service, spec.backend)):
            click.echo(line)


@experiment.command()
@click.argument("service", default="")
@daemon_options
def status(service: str, daemon: Daemon) -> None:
    """Show the last round of every service, or of SERVICE."""
    with controller(daemon) as stub:
        reply = stub.ListRounds(pb.ListRoundsRequest(service=service), timeout=DEADLINE_S)
    for one in reply.rounds:
        for line in described(one):
            click.echo(line)
    if not reply.rounds:
        click.echo("no round was run")


@experiment.command()
@click.argument("service")
@who_option
@why_option
@daemon_options
def end(service: str, who: str, why: str, daemon: Daemon) -> None:
    """Take the variants of SERVICE away, mirror first."""
    with controller(daemon) as stub:
        one = stub.EndRound(
            pb.EndRoundRequest(service=service, who=who, why=why), timeout=DEADLINE_S
        )
    click.echo(f"{service}: {one.why}")


def described(one: pb.Round) -> Iterator[str]:
    """A round and what was measured, in lines."""
    state = "over" if one.over else f"runs, on copies of {one.share:.0%} of the requests"
    yield f"{one.service}: round {one.number} of {one.experiment}, variants of {one.backend}"
    yield f"  begun by {one.who} at {clock_time(one.began_s)}; {state}: {one.why}"
    settings = {each.name: each for each in one.variants}
    for result in one.results:
        yield f"  {variant_words(result, settings.get(result.name))}"


def _others(stub: controller_pb2_grpc.ControllerStub, service: str, backend: str) -> list[str]:
    """The backends of the service beside the one that was tuned."""
    request = pb.WatchDecisionsRequest(service=service, once=True)
    statuses = list(stub.WatchDecisions(request, timeout=DEADLINE_S))
    return [each.name for status in statuses for each in status.backends if each.name != backend]
