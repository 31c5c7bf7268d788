"""``trimtab train``: from nothing or a checkpoint to a policy, or from that to a service's own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click
from click.core import ParameterSource

from trimtab_agents.outputs import OutputFolder
from trimtab_agents.training.config import PRESETS

file_path = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command()
@click.option("--preset", type=click.Choice(sorted(PRESETS)), default="shipped", show_default=True)
@click.option(
    "--dir", "folder", type=OutputFolder(), default=Path("runs/shipped"),
    show_default=True, help="Checkpoint, TensorBoard log and bundle; resumes what lies there.",
)  # fmt: skip
@click.option(
    "--decisions", type=click.IntRange(1), help="Length of the PPO part; default: the preset's."
)
@click.option("--seed", type=click.IntRange(0), help="Default: the preset's, or 0.")
@click.option("--progress/--no-progress", default=True, show_default=True)
@click.option(
    "--from", "parent", type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Bundle to tune; default: the shipped one.",
)  # fmt: skip
@click.option("--service", type=file_path, help="Profile of the service to tune it for, as YAML.")
@click.option("--history", type=file_path, help="Its load, a CSV like those in traces/SOURCES.md.")
@click.option(
    "--miss-price", type=click.FloatRange(1.0, 1000.0), default=50.0, show_default=True,
    help="Lambda to tune it for: 10 thrifty, 50 balanced, 250 strict.",
)  # fmt: skip
@click.option(
    "--out", type=click.Path(path_type=Path),
    help="Folder of the tuned bundle, not there yet; default: runs/ and the service's name.",
)  # fmt: skip
def train(
    preset: str,
    folder: Path,
    decisions: int | None,
    seed: int | None,
    progress: bool,
    parent: Path | None,
    service: Path | None,
    history: Path | None,
    miss_price: float,
    out: Path | None,
) -> None:
    """Train a policy in the simulator and export its bundle to DIR/bundle.

    First by gradient descent on the simulator's fluid twin, then by PPO. Interrupt it whenever
    you like: the same command goes on from the last checkpoint, or begins anew when the descent
    was not over (it takes most of the hour).
    Watch it with `tensorboard --logdir DIR`.

    With --service and --history it tunes a bundle on that service's past instead, within minutes.
    On the last part of the history, which is held back, it compares the policy before and after
    and the rule that was tuned on the same past. The new bundle is written to OUT if it is
    better than the old one; otherwise nothing is written, and the exit code is 3.
    """
    if service and history:
        _leave_out("tuning takes as long as its --preset", "decisions")
        _leave_out("tuning writes to --out", "folder")
        from trimtab_agents.training.tune import PRESETS as TUNE_PRESETS
        from trimtab_agents.training.tune_command import tune_bundle

        effort = replace(TUNE_PRESETS[preset], seed=seed or 0)
        tune_bundle(parent, service, history, miss_price, effort, out, progress=progress)
        return
    if parent or service or history or out:
        raise click.UsageError("tuning a bundle takes both --service and --history")
    _leave_out("a new policy is trained for every price of a miss", "miss_price")
    from trimtab_agents.training.export import export  # torch loads only when training
    from trimtab_agents.training.run import train as run

    config = PRESETS[preset]
    if decisions is not None:
        config = replace(config, decisions=decisions)
    if seed is not None:
        config = replace(config, seed=seed)
    try:
        model = run(config, folder, progress=progress)
    except ValueError as error:
        raise click.ClickException(str(error)) from error
    export(model, config, folder / "bundle", name=f"ppo-{preset}")
    click.echo(f"{folder / 'bundle'}: trained")


def _leave_out(why: str, name: str) -> None:
    """An option that would do nothing is refused."""
    ctx = click.get_current_context()
    if ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE:
        (option,) = (param.opts[0] for param in ctx.command.params if param.name == name)
        raise click.UsageError(f"{why}: leave out {option}")


if __name__ == "__main__":
    train()
