"""Make a cluster ready for trimtab, and make it as if trimtab had never been there."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from trimtab_controller.config import ServiceSpec
    from trimtab_controller.kubernetes.api import Api
    from trimtab_controller.kubernetes.install.plan import Plan

    Planner = Callable[[Api, Sequence[ServiceSpec]], Awaitable[Plan]]


def _options(command: Callable[..., None]) -> Callable[..., None]:
    """What both commands have in common."""
    for option in (
        click.option("--yes", "-y", is_flag=True, help="Do it without asking."),
        click.option("--dry-run", is_flag=True, help="Only show what would be done."),
        click.option(
            "--config",
            type=click.Path(path_type=Path, dir_okay=False),
            required=True,
            help="trimtab.yaml, whose services on Kubernetes are meant.",
        ),
    ):
        command = option(command)
    return command


@click.command()
@_options
@click.option(
    "--utilization",
    type=click.IntRange(50, 100),
    default=85,
    show_default=True,
    help="Percent of the requested CPU above which a new autoscaler adds replicas.",
)
def install(config: Path, dry_run: bool, yes: bool, utilization: int) -> None:
    """Give targets an autoscaler underneath, and note what is.

    A target without a HorizontalPodAutoscaler gets one that begins with as many replicas as there
    are. Present floors, weights and replicas are written down on the objects themselves, for
    `trimtab uninstall`. Called again, it does what is missing. It uses your kubeconfig: the
    daemon's own account may do none of this.
    """
    from trimtab_controller.kubernetes.install.run import installation  # the client takes a while

    _carry_out(config, lambda api, services: installation(api, services, utilization), dry_run, yes)


@click.command()
@_options
def uninstall(config: Path, dry_run: bool, yes: bool) -> None:
    """Put back what was before `trimtab install`.

    Floors and weights become what they were; replicas stay, or are raised to what they were; an
    autoscaler that install made is deleted. `trimtab stop` first, or end the daemon. Called again,
    it does what is missing.
    """
    from trimtab_controller.kubernetes.install.run import removal

    _carry_out(config, removal, dry_run, yes)


def _carry_out(config: Path, planner: Planner, dry_run: bool, yes: bool) -> None:
    """Plan, show, ask and do; exit code 1 when something cannot be done."""
    from trimtab_controller.config import load
    from trimtab_controller.kubernetes.faults import ApiError
    from trimtab_sim.schema import ConfigError

    try:
        loaded = load(config)
        services = [each.spec for each in loaded.services if each.spec.kubernetes]
        if not services:
            raise ConfigError(f"{config}: no service in it lives on Kubernetes")
        plan = asyncio.run(_session(loaded.kubernetes.context, services, planner, dry_run, yes))
    except ConfigError as error:
        raise click.ClickException(str(error)) from error
    except ApiError as error:
        raise click.ClickException(f"{error}; what is done is done: call it again") from error
    if plan.problems:
        raise click.exceptions.Exit(1)


async def _session(
    context: str, services: Sequence[ServiceSpec], planner: Planner, dry_run: bool, yes: bool
) -> Plan:
    from trimtab_controller.kubernetes.api import Api

    api = Api(context)
    await api.connect()
    try:
        plan = await planner(api, services)
        _show(plan)
        if plan.steps and not dry_run and (yes or click.confirm("Do this?")):
            for step in plan.steps:
                await step.take(api)
                click.echo(f"done: {step.words}")
        return plan
    finally:
        await api.close()


def _show(plan: Plan) -> None:
    for problem in plan.problems:
        click.echo(f"cannot: {problem}")
    for note in plan.notes:
        click.echo(f"note: {note}")
    for step in plan.steps:
        click.echo(f"to do: {step.words}")
    if not plan.steps:
        click.echo("nothing to do")
