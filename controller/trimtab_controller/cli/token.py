"""Who may call the daemon with a token: made, listed and taken back without a restart."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:  # YAML and the simulator load only when they are needed
    from trimtab_controller.config import Config

DAY_S = 86_400.0
ROLES = ("viewer", "operator", "approver", "admin")


def config_option(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command ``config``, the file that says where the tokens are."""
    return click.option(
        "--config",
        "config_file",
        type=click.Path(path_type=Path, dir_okay=False),
        default="trimtab.yaml",
        show_default=True,
        help="The daemon's configuration; its security.tokens names the file of tokens.",
    )(command)


@click.group()
def token() -> None:
    """Make, list and take back the tokens that callers show.

    A running daemon goes by them at once. Only their hashes are kept.
    """


@token.command()
@click.argument("name")
@click.option("--role", type=click.Choice(ROLES), required=True)
@click.option("--service", "services", multiple=True, help="Only this service; may be repeated.")
@click.option(
    "--days", type=click.FloatRange(min=0.0, min_open=True), default=90.0, show_default=True,
    help="How long it holds.",
)  # fmt: skip
@click.option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    help="A new file for the token, which only you can read.  [default: standard output]",
)
@config_option
def create(
    name: str,
    role: str,
    services: tuple[str, ...],
    days: float,
    output: Path | None,
    config_file: Path,
) -> None:
    """Make a token for NAME.

    The journal will have what is done with it under that name. Each role includes those before it.

    viewer: sees everything. operator: reports metrics, asks for recommendations, stops, aborts,
    rejects, revokes, sets shadow. approver: approves and renews. admin: sets modes, resumes.
    """
    from trimtab_controller.security.roles import Role
    from trimtab_controller.security.tokens import changing, issue

    with explained():
        config = _loaded(config_file)
        _check_services(services, config)
        now_s = time.time()
        text, made = issue(name, Role[role.upper()], services, now_s + days * DAY_S, now_s)
        with changing(_file(config, config_file)) as tokens:
            tokens.append(made)
            _hand_over(text, output)
    click.echo(f"{made.id}: {name} is {role} until {_day(made.expires_s)}", err=True)


@token.command("list")
@config_option
def list_(config_file: Path) -> None:
    """Show who has which token, and until when."""
    from trimtab_controller.security.tokens import kept

    with explained():
        tokens = kept(_file(_loaded(config_file), config_file))
    for each in tokens:
        state = "expired" if each.expires_s <= time.time() else "until"
        services = ", ".join(each.services) or "every service"
        until = _day(each.expires_s)
        click.echo(f"{each.id}  {each.name:16} {each.role!s:9} {services}, {state} {until}")


@token.command()
@click.argument("ids", metavar="ID...", nargs=-1, required=True)
@config_option
def revoke(ids: tuple[str, ...], config_file: Path) -> None:
    """Take tokens back by their IDs.

    The next call with one, or the next message of a stream, is denied.
    """
    from trimtab_controller.security.tokens import changing

    with explained(), changing(_file(_loaded(config_file), config_file)) as tokens:
        for token_id in ids:
            if token_id not in {each.id for each in tokens}:
                raise click.ClickException(f"no token {token_id}: see `trimtab token list`")
        tokens[:] = [each for each in tokens if each.id not in ids]
    click.echo(f"revoked: {' '.join(ids)}")


@contextmanager
def explained() -> Iterator[None]:
    """What is wrong with a file or a name becomes the command's error."""
    from trimtab_sim.schema import ConfigError

    try:
        yield
    except (ConfigError, ValueError) as error:
        raise click.ClickException(str(error)) from error
    except OSError as error:
        raise click.ClickException(f"{error.filename}: {error.strerror}") from error


def _loaded(file: Path) -> Config:
    from trimtab_controller.config import load

    return load(file)


def _file(config: Config, config_file: Path) -> Path:
    if not config.security.tokens:
        raise click.ClickException(
            f"{config_file}: names no file for tokens: add security: {{tokens: tokens.yaml}}"
        )
    return Path(config.security.tokens)


def _check_services(services: tuple[str, ...], config: Config) -> None:
    for service in services:
        if service not in config.by_name:
            known = ", ".join(config.by_name)
            raise click.UsageError(
                f"there is no service {service!r}: the configuration has {known}"
            )


def _day(time_s: float) -> str:
    return f"{datetime.fromtimestamp(time_s):%Y-%m-%d %H:%M}"


def _hand_over(text: str, output: Path | None) -> None:
    """The only time that a token is seen."""
    if output is None:
        click.echo(text)
        return
    with os.fdopen(os.open(output, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(f"{text}\n")
