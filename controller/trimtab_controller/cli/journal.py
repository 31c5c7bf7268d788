"""The journal's evidence, looked at from outside the daemon."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, TYPE_CHECKING

import click

from trimtab_controller.up.folder import JOURNAL, default_path

if TYPE_CHECKING:  # SQLite, the guard and the configuration load only when they are needed
    from trimtab_controller.journal import Verification
    from trimtab_controller.journal.replay import Replayed
    from trimtab_guard.limits import ClusterLimits, Limits
    from trimtab_guard.model import Reason, Want

UNITS = {"m": "minutes", "h": "hours", "d": "days"}


def moment(_ctx: click.Context, _param: click.Parameter, text: str | None) -> float | None:
    """Seconds since the epoch: of ISO 8601, in our own zone where none is given, or so long ago."""
    if text is None:
        return None
    number, unit = text[:-1], UNITS.get(text[-1:])
    try:
        if unit and number.isdigit():
            return (datetime.now(UTC) - timedelta(**{unit: int(number)})).timestamp()
        return datetime.fromisoformat(text).timestamp()
    except (OverflowError, ValueError):
        raise click.BadParameter(f"{text!r}: write 2027-01-15T08:00, 90m, 24h or 7d") from None


def of_journal(command: Callable[..., None]) -> Callable[..., None]:
    """Add the argument that says which journal."""
    return click.argument("journal", metavar="[FILE]", required=False)(command)


@click.group()
def journal() -> None:
    """Look into the journal of decisions and actions.

    FILE is a journal, an export of one, or postgresql://HOST/DATABASE; without it, the journal
    of the demonstration that runs, or last ran, here.
    """


@journal.command()
@click.argument("journals", metavar="[FILE]...", nargs=-1)
def verify(journals: tuple[str, ...]) -> None:
    """Check that nothing in FILE was altered, moved or taken out.

    Several, such as archives and then the journal that they were pruned from, must be one chain.
    """
    before: Verification | None = None
    for journal in journals or (None,):
        with located(journal) as location:
            found = verified(location)
            if before and found.after != before.end:
                raise click.ClickException(
                    f"{location}: follows record {found.after.seq}, which is not the last one "
                    f"before it, record {before.end.seq}: name all parts, oldest first"
                )
            before = found


def verified(location: str) -> Verification:
    """Verify one journal and say so."""
    from trimtab_controller.journal import verify as check

    found = check(location)
    if not found.ok:
        where = "" if found.bad_seq is None else f" at record {found.bad_seq}"
        raise click.ClickException(
            f"{location}: broken{where}: {found.problem} ({found.entries} good records before it)"
        )
    part = f" after record {found.after.seq}" if found.after.seq else ""
    click.echo(f"{location}: {found.entries} records{part}, the chain is whole, head {found.head}")
    return found


@journal.command()
@of_journal
@click.option(
    "--keep-days",
    type=click.FloatRange(min=0.0),
    required=True,
    help="How much is kept in full; at least the last hour before its last tick.",
)
@click.option(
    "--archive",
    type=click.Path(path_type=Path),
    help="Where the rest goes first, as JSON lines: a new file, or a folder to name one in.",
)
def prune(journal: str | None, keep_days: float, archive: Path | None) -> None:
    """Fold FILE's older records into one that holds what they still mean.

    Modes, stops, leases, limits and open approvals stay as they are. While a daemon writes FILE,
    only that daemon prunes it: see journal.keep_days in trimtab.yaml.
    """
    from trimtab_controller.journal import Journal, reading
    from trimtab_controller.retention import DAY_S
    from trimtab_controller.retention import prune as pruned

    with located(journal) as location:
        with reading(location):
            pass  # it must be there: opening it to write would make a new one
        with Journal.open(location) as opened:
            done = pruned(opened, keep_days * DAY_S, time.time(), archive)
        click.echo(f"{location}: {done or 'nothing is old enough'}")


@journal.command()
@of_journal
@click.option(
    "--since",
    metavar="TIME",
    callback=moment,
    help="From then on: 2027-01-15T08:00, or 90m, 24h or 7d ago.",
)
@click.option(
    "--output", type=click.Path(path_type=Path, dir_okay=False), help="[default: standard output]"
)
def export(journal: str | None, since: float | None, output: Path | None) -> None:
    """Write FILE's records as JSON lines that `verify` and `replay` can read."""
    from trimtab_controller.journal import lines, reading

    with located(journal) as location, reading(location) as snapshot, written(output) as out:
        out.writelines(lines(snapshot, since))


@journal.command()
@of_journal
@click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Judge with the limits in this trimtab.yaml.  [default: as they were recorded]",
)
def replay(journal: str | None, config: Path | None) -> None:
    """Judge what FILE recorded with today's guard, and show each verdict that differs.

    Exits with 1 when any does.
    """
    from trimtab_controller.journal.replay import replay as replayed

    total = different = 0
    with located(journal) as location:
        for verdict in replayed(location, *limits_in(config)):
            total += 1
            if verdict.differs:
                different += 1
                click.echo("\n".join(told(verdict)))
    click.echo(f"{total} verdicts, {different} differ")
    sys.exit(1 if different else 0)


@contextmanager
def located(journal: str | None) -> Iterator[str]:
    """The journal that is meant; what is wrong with it becomes the command's error."""
    from trimtab_controller.journal import JournalError, is_url

    location = journal or str(default_path() / JOURNAL)
    if not is_url(location) and not Path(location).exists():
        raise click.ClickException(f"{location}: there is no journal; name its file")
    try:
        yield location
    except JournalError as error:
        raise click.ClickException(str(error)) from error


@contextmanager
def written(output: Path | None) -> Iterator[IO[str]]:
    """Where to write: a file that is there when it is complete, and not before."""
    if output is None:
        yield sys.stdout
        return
    from trimtab_controller.journal import whole_file

    try:
        with whole_file(output) as file:
            yield file
    except OSError as error:
        raise click.ClickException(f"{output}: {error.strerror}") from error


def limits_in(config: Path | None) -> tuple[dict[str, Limits] | None, ClusterLimits | None]:
    """The limits in a configuration: by service, and of all together."""
    if config is None:
        return None, None
    from trimtab_controller.config import load
    from trimtab_sim.schema import ConfigError

    try:
        found = load(config)
        return {service.name: service.limits for service in found.services}, found.cluster
    except ConfigError as error:
        raise click.ClickException(str(error)) from error


def told(verdict: Replayed) -> Iterator[str]:
    """A verdict that differs, before and after."""
    when = datetime.fromtimestamp(verdict.before.time_s, UTC).isoformat(timespec="milliseconds")
    yield f"record {verdict.seq}  {verdict.service}  {when}"
    for name, then in (("before", verdict.before), ("after", verdict.after)):
        wants = ", ".join(map(_want, then.backends)) or "nothing is touched"
        reasons = ", ".join(map(_reason, then.reasons)) or "as proposed"
        yield f"  {name:6}  {wants}  ({reasons})"


def _want(want: Want) -> str:
    return f"{want.name} {want.replicas} at {want.weight:.1%}"


def _reason(reason: Reason) -> str:
    return f"{reason.code} {reason.backend} {reason.before:g} -> {reason.after:g}"
