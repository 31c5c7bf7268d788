"""What the limits in a configuration add up to."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import click


@click.group()
def limits() -> None:
    """Look at the limits of a configuration."""


@limits.command("worst-case")
@click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False),
    help="trimtab.yaml.  [default: the demonstration's]",
)
def worst_case(config: Path | None) -> None:
    """Print the most that trimtab could do with every service, and what would stay behind."""
    from trimtab_controller.config import load  # YAML and the simulator load only when needed
    from trimtab_controller.worst_case import described
    from trimtab_sim.schema import ConfigError

    try:
        loaded = load(config or Path(str(files("trimtab_controller") / "demo.yaml")))
    except ConfigError as error:
        raise click.ClickException(str(error)) from error
    for line in described(loaded):
        click.echo(line)
