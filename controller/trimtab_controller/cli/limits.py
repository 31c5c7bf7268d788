"""What the limits in a configuration add up to, and the same for an API server to see to."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path

import click

ACCOUNT = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?/[a-z0-9]([-a-z0-9.]*[a-z0-9])?")


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


def _account(_ctx: click.Context, _param: click.Parameter, value: str) -> str:
    if not ACCOUNT.fullmatch(value):
        raise click.BadParameter(f"{value!r} is not NAMESPACE/NAME of a ServiceAccount")
    return value


@limits.command("admission-policy")
@click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    help="trimtab.yaml, with services on Kubernetes.",
)
@click.option(
    "--account",
    metavar="NAMESPACE/NAME",
    default="trimtab/trimtab",
    show_default=True,
    callback=_account,
    help="The ServiceAccount that trimtab runs under.",
)
@click.option(
    "--weight-step",
    is_flag=True,
    help="Hold each write of a route to weight_step, too: then a backend that fails is only left "
    "step by step.",
)
@click.option(
    "--variants",
    is_flag=True,
    help="Let through what `trimtab experiment` needs: Jobs and Services of variants, and filters "
    "that copy requests to them.",
)
def admission_policy(config: Path, account: str, weight_step: bool, variants: bool) -> None:
    """Print policies with which the API server itself keeps trimtab within these limits.

    They hold for trimtab's own account alone. Apply them with
    `trimtab limits admission-policy --config trimtab.yaml | kubectl apply -f -`,
    and again after every change of the limits.
    """
    from trimtab_controller.config import load  # YAML and the simulator load only when needed
    from trimtab_controller.kubernetes.admission.policies import text
    from trimtab_sim.schema import ConfigError

    try:
        found = text(load(config), account, weight_step=weight_step, variants=variants)
    except ConfigError as error:
        raise click.ClickException(str(error)) from error
    click.echo(found, nl=False)
