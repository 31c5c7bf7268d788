"""`trimtab up`: what can be refused is refused here, before anything starts."""

from __future__ import annotations

import os
import shutil
import socket
import sys
import time
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path

import click
from rich.console import Console

from trimtab_controller.cli.number import Number
from trimtab_controller.up import commands, report
from trimtab_controller.up.commands import DEFAULTS, Options
from trimtab_controller.up.folder import Folder, FolderError, claim, default_path
from trimtab_controller.up.record import Record
from trimtab_controller.up.screen import Lines, Screen, picture
from trimtab_controller.up.supervisor import Supervisor, UpError
from trimtab_controller.up.view import Place
from trimtab_guard.modes import Mode
from trimtab_sim.traces import read_trace, shipped_traces
from trimtab_stage.replay import plan


class Refused(click.ClickException):
    """The user asked for something that cannot be."""

    exit_code = 2


@click.command()
@click.option(
    "--trace",
    type=click.Path(path_type=Path),
    default=DEFAULTS.stage.trace.stem,
    show_default=True,
    help="CSV with seconds,requests_per_second, or the name of a shipped trace.",
)
@click.option(
    "--mode",
    type=click.Choice([mode.value for mode in Mode]),
    default=DEFAULTS.mode,
    show_default=True,
    help="What trimtab may do: recommend, ask, add capacity, or act both ways inside the limits.",
)
@click.option(
    "--policy",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Policy bundle.  [default: the shipped one]",
)
@click.option(
    "--speed",
    type=Number(1.0, 3600.0),
    default=DEFAULTS.stage.speed,
    show_default=True,
    help="Trace seconds per second; the guard's windows shrink alike.",
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=DEFAULTS.stage.port,
    show_default=True,
    help="TCP port of the proxy on 127.0.0.1; 0 takes any free one.",
)
@click.option(
    "--console-port",
    type=click.IntRange(0, 65535),
    default=DEFAULTS.console_port,
    show_default=True,
    help="TCP port of the console on 127.0.0.1; where it is taken, any free one.",
)
@click.option("--headless", is_flag=True, help="Plain lines instead of the live picture.")
@click.option("--seconds", type=Number(1.0), help="End by itself this long after all serve.")
@click.option(
    "--json",
    "json_file",
    type=click.Path(path_type=Path, dir_okay=False, writable=True),
    help="Write the summary there.",
)
@click.option(
    "--dir",
    "path",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where journal and logs go.  [default: .run]",
)
def up(
    trace: Path,
    mode: str,
    policy: Path | None,
    speed: float,
    port: int,
    console_port: int,
    headless: bool,
    seconds: float | None,
    json_file: Path | None,
    path: Path | None,
) -> None:
    """Run a small real cluster here, steered live.

    Envoy routes a replayed real trace to two backends of real processes; the Kubernetes HPA's
    rule scales them; the daemon, with the shipped policy behind the guard, raises its floors and
    moves the weights. Only 127.0.0.1 is used. Ctrl-C ends everything and prints the summary.

    Each run starts a fresh journal; the earlier one stays beside it under its date.

    The summary counts as scale events the replicas started and the replicas stopped on purpose,
    and as route changes the times that Envoy took over other weights. fleet is what was billed
    (replica-seconds x price) over the least that could have done the work.
    """
    stage = replace(DEFAULTS.stage, trace=_checked_trace(trace, speed), speed=speed, port=port)
    options = Options(stage, mode, policy, _free_port(console_port))
    _check_port(port)
    check_folder_of(json_file)
    _check_policy(policy)
    try:
        with claim(path or default_path()) as folder:
            config = commands.configure(options, folder)
            record = Record(config.services[0].spec.miss_price)
            _run(options, folder, record, headless=headless, seconds=seconds, json_file=json_file)
    except FolderError as error:
        raise Refused(str(error)) from error


def _run(
    options: Options,
    folder: Folder,
    record: Record,
    *,
    headless: bool,
    seconds: float | None,
    json_file: Path | None,
) -> None:
    console = Console()
    url = f"http://127.0.0.1:{options.console_port}"
    drawn = console.is_terminal and not headless
    children = commands.stage(options, folder), commands.daemon(options, folder)
    page = commands.console(options, folder, opened=drawn)
    console.print(f"console {url}", highlight=False)
    try:
        with _screen(console, folder, url, drawn=drawn) as screen:
            Supervisor(*children, record, screen, time.time, page).run(folder, seconds)
    except UpError as error:
        _report(console, record, json_file)
        raise click.ClickException(str(error)) from error
    _report(console, record, json_file)
    console.print(f"journal {folder.journal}, check it with:", soft_wrap=True, highlight=False)
    console.print(f"  {_program()} journal verify", soft_wrap=True, highlight=False)


def _report(console: Console, record: Record, json_file: Path | None) -> None:
    summary, table = record.summary(), report.table(record)
    if summary is None or table is None:
        return
    console.print(table)
    if json_file is not None:
        report.write_json(summary, json_file)


def _screen(
    console: Console, folder: Folder, url: str, *, drawn: bool
) -> AbstractContextManager[Screen]:
    if not drawn:
        return nullcontext(Lines(console))
    return picture(console, Place(_program(), folder.address, _from_here(folder.path), url))


def _program() -> str:
    """How the user calls this command line: not every shell has it on its path."""
    program = Path(sys.argv[0])
    found = shutil.which("trimtab")
    if found is not None and Path(found).resolve() == program.resolve():
        return "trimtab"
    return _from_here(program)


def _from_here(path: Path) -> str:
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


def _checked_trace(trace: Path, speed: float) -> Path:
    trace = shipped_traces().get(str(trace), trace)
    try:
        plan(read_trace(trace), speed, start_s=None, peak_rps=1.0)
    except ValueError as error:  # TraceError is one
        raise Refused(str(error)) from error
    return trace


def _check_port(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise Refused(
                f"port {port} on 127.0.0.1 cannot be used ({error.strerror}): "
                "give another with --port, or --port 0 for any free one"
            ) from error


def _free_port(port: int) -> int:
    """``port`` if it can be used, else any."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _check_policy(bundle: Path | None) -> None:
    from trimtab_agents.bundle import BundleError, load  # the runtime of ONNX takes a moment

    if bundle is not None:
        try:
            load(bundle)
        except BundleError as error:
            raise Refused(str(error)) from error


def check_folder_of(file: Path | None) -> None:
    """Refuse a file that could not be written at the end of a run."""
    if file is not None and not os.access(file.parent, os.W_OK):
        raise Refused(f"{file}: its folder does not exist or cannot be written")
