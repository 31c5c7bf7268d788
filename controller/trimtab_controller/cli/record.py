"""`trimtab record`: metrics to a file, for `trimtab fit`."""

from __future__ import annotations

import time
from collections.abc import Iterator
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING

import click
import grpc
from click.core import ParameterSource

from trimtab_controller.cli.connection import DEADLINE_S
from trimtab_controller.cli.journal import moment
from trimtab_controller.cli.number import Number
from trimtab_controller.cli.stage import connected, running_socket, socket_option

if TYPE_CHECKING:  # NumPy loads only when it is needed
    from trimtab_controller.prometheus import Queries
    from trimtab_controller.recorder import Look

# A machine that has much else to do costs rows, not the recording: so many looks in a row may get
# no answer. Not so many seconds: whoever records may stand still as well.
PATIENCE = 12
# Options that say nothing of the other sources.
OF_STAGE, OF_PROMETHEUS, OF_CONFIG = {"seconds", "step_s", "socket"}, {"since"}, {"service"}


@click.command()
@click.argument("output", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--seconds", type=Number(1.0), help="End by itself; else with Ctrl-C.")
@click.option(
    "--step", "step_s", type=Number(0.2, 60.0), default=1.0, show_default=True,
    help="Seconds between two rows.",
)  # fmt: skip
@socket_option
@click.option(
    "--queries", type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Take it from Prometheus instead, by the queries in this YAML file.",
)  # fmt: skip
@click.option(
    "--config", type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Or by those that this trimtab.yaml sees by (`prometheus`), of a service on Kubernetes.",
)  # fmt: skip
@click.option("--service", default="", help="With --config: of which service.")
@click.option(
    "--since", metavar="TIME", callback=moment, default="6h", show_default=True,
    help="From Prometheus: from then until now; 2027-01-15T08:00, or 90m, 24h or 7d ago.",
)  # fmt: skip
@click.pass_context
def record(
    ctx: click.Context,
    output: Path,
    seconds: float | None,
    step_s: float,
    socket: Path | None,
    queries: Path | None,
    config: Path | None,
    service: str,
    since: float,
) -> None:
    """Write a service's metrics to OUTPUT, for `trimtab fit`.

    Of the demonstration that runs here, as they come: whatever was written until Ctrl-C counts.
    Or what Prometheus remembers, with --config or with --queries:

    \b
      url: http://127.0.0.1:9090
      step_s: 60          # four scrape intervals or more
      backends:
        - name: web
          wanted: kube_deployment_spec_replicas{deployment="web"}
          ready: kube_deployment_status_replicas_ready{deployment="web"}
          rate_rps: sum(rate(http_requests_total{app="web"}[$step]))
          in_flight: sum(avg_over_time(http_requests_in_flight{app="web"}[$step]))
          latency: sum by (le) (increase(http_duration_seconds_bucket{app="web"}[$step]))
    """
    _check_options(ctx, queries, config)
    if output.exists():
        raise click.ClickException(f"{output}: is there already: give another name")
    try:
        if asked := _asked(queries, config, service):
            told = _from_prometheus(output, asked, since)
        else:
            told = _from_stage(output, socket or running_socket(), seconds, step_s)
    except OSError as error:
        raise click.ClickException(f"{output}: {error.strerror}") from error
    click.echo(f"{output}: {told}")


def _check_options(ctx: click.Context, queries: Path | None, config: Path | None) -> None:
    """Refuse options of a source that was not asked for."""
    if queries and config:
        raise click.UsageError("--queries and --config both say what to ask: give one")
    foreign = OF_STAGE if queries or config else OF_PROMETHEUS
    for option in ctx.command.params:
        given = ctx.get_parameter_source(option.name or "") is ParameterSource.COMMANDLINE
        if given and option.name in foreign:
            fit = "with" if foreign is OF_PROMETHEUS else "without"
            raise click.UsageError(f"{option.opts[0]} goes only {fit} --queries or --config")
        if given and option.name in OF_CONFIG and not config:
            raise click.UsageError(f"{option.opts[0]} goes only with --config")


def _from_stage(output: Path, socket: Path, seconds: float | None, step_s: float) -> str:
    from trimtab_controller.recorder import Recorder

    begin_s, looks = time.monotonic(), _looks(socket, seconds, step_s)
    first = next(looks)  # what fails at once must leave no file
    until = "until Ctrl-C" if seconds is None else f"for {seconds:g} s; Ctrl-C ends it earlier"
    click.echo(f"recording {until}", err=True)
    with output.open("x", encoding="utf-8") as out:
        recorder = Recorder(out, first)
        try:
            for look in looks:
                recorder.see(look)
        except click.ClickException as error:
            kept = f"{error.message}; what was recorded is in {output}"
            raise click.ClickException(kept) from error
        except KeyboardInterrupt:
            pass
    return f"{time.monotonic() - begin_s:.0f} s recorded"


def _looks(socket: Path, seconds: float | None, step_s: float) -> Iterator[Look]:
    from trimtab_controller.protocols import SensorError
    from trimtab_controller.recorder import Look
    from trimtab_proto.v1 import stage_pb2

    begin_s = due_s = time.monotonic()
    missed = PATIENCE  # at first somebody must be there
    with connected(socket) as stage:
        while seconds is None or due_s <= begin_s + seconds:
            time.sleep(max(0.0, due_s - time.monotonic()))
            try:
                status = stage.GetStatus(stage_pb2.GetStatusRequest(), timeout=DEADLINE_S)
                look = Look.at(status)
            except (grpc.RpcError, SensorError) as error:
                missed += 1
                if _is_gone(error) or missed > PATIENCE:
                    raise click.ClickException(_told(socket, error)) from error
            else:
                missed = 0
                yield look
            # A step that was slept through is left out, not made up for.
            due_s += step_s * max(1, ceil((time.monotonic() - due_s) / step_s))


def _is_gone(error: Exception) -> bool:
    """Whether the stage itself has ended; else it or its Envoy is only slow."""
    return isinstance(error, grpc.Call) and error.code() is not grpc.StatusCode.DEADLINE_EXCEEDED


def _told(socket: Path, error: Exception) -> str:
    return f"stage at {socket}: {error.details() if isinstance(error, grpc.Call) else error}"


def _asked(queries: Path | None, config: Path | None, service: str) -> Queries | None:
    """What Prometheus is to be asked; nothing when it is not the source."""
    from trimtab_controller.config import load
    from trimtab_controller.prometheus import read_queries
    from trimtab_controller.sensors.prometheus import past
    from trimtab_sim.schema import ConfigError

    try:
        if config:
            return past.queries(load(config), service)
        return read_queries(queries) if queries else None
    except ConfigError as error:
        raise click.ClickException(str(error)) from error


def _from_prometheus(output: Path, asked: Queries, since_s: float) -> str:
    from trimtab_agents.fit.recording import write_recordings
    from trimtab_controller.prometheus import recordings
    from trimtab_controller.sensors.prometheus.client import PrometheusError

    try:
        found = recordings(asked, since_s, time.time())
    except PrometheusError as error:
        raise click.ClickException(str(error)) from error
    write_recordings(output, found)
    return ", ".join(f"{len(one.time_s)} rows of {one.backend}" for one in found)
