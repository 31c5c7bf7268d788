"""The journal's evidence, checked from outside the daemon."""

from __future__ import annotations

from pathlib import Path

import click

from trimtab_controller.up.folder import JOURNAL, default_path


@click.group()
def journal() -> None:
    """Look into the journal of decisions and actions."""


@journal.command()
@click.argument("file", required=False, type=click.Path(path_type=Path, dir_okay=False))
def verify(file: Path | None) -> None:
    """Check that nothing in FILE was altered, moved or taken out.

    Without FILE: the journal of the demonstration that runs, or last ran, here.
    """
    from trimtab_controller.journal import JournalError  # SQLite loads only when needed
    from trimtab_controller.journal import verify as check

    path = file or default_path() / JOURNAL
    if not path.exists():
        raise click.ClickException(f"{path}: there is no journal; name its file")
    try:
        found = check(path)
    except JournalError as error:
        raise click.ClickException(str(error)) from error
    if not found.ok:
        where = "" if found.bad_seq is None else f" at record {found.bad_seq}"
        raise click.ClickException(
            f"{path}: broken{where}: {found.problem} ({found.entries} good records before it)"
        )
    click.echo(f"{path}: {found.entries} records, the chain is whole, head {found.head}")
