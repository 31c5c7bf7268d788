"""Commands with heavy libraries, loaded when they run: `trimtab --help` shows them all at once."""

from __future__ import annotations

import sys
from importlib import import_module

import click

PASS_THROUGH = {"ignore_unknown_options": True, "help_option_names": []}
EXTRA_LIBRARIES = {"matplotlib", "onnx", "stable_baselines3", "tensorboard", "torch", "tqdm"}


def _pass_on(name: str, command: str, arguments: tuple[str, ...]) -> None:
    """Run ``module:attribute`` with the arguments; say how to install what it lacks."""
    module, _, attribute = command.partition(":")
    try:
        getattr(import_module(module), attribute).main(
            args=list(arguments), prog_name=f"trimtab {name}"
        )
    except ModuleNotFoundError as error:
        library = (error.name or "").partition(".")[0]
        if library not in EXTRA_LIBRARIES:
            raise
        raise click.ClickException(
            f"`trimtab {name}` needs {library}, which is not installed: "
            f"{sys.executable} -m pip install 'trimtab[train]'"
        ) from error


@click.command(context_settings=PASS_THROUGH)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def daemon(arguments: tuple[str, ...]) -> None:
    """Steer the services of a configuration (`daemon --help`)."""
    _pass_on("daemon", "trimtab_controller.daemon:main", arguments)


@click.command(context_settings=PASS_THROUGH)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def train(arguments: tuple[str, ...]) -> None:
    """Train a policy in the simulator (`train --help`)."""
    _pass_on("train", "trimtab_agents.train_command:train", arguments)


@click.command(context_settings=PASS_THROUGH)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def tune(arguments: tuple[str, ...]) -> None:
    """Tune the HPA or the PostgreSQL server that you have."""
    _pass_on("tune", "trimtab_agents.tune_command:tune", arguments)


@click.command(context_settings=PASS_THROUGH)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def bench(arguments: tuple[str, ...]) -> None:
    """Measure policies, and the guard (`bench --help`)."""
    _pass_on("bench", "trimtab_controller.cli.bench:bench", arguments)
