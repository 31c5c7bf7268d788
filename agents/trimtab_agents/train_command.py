"""``trimtab train``: from nothing, or from a checkpoint, to a policy bundle."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click

from trimtab_agents.training.config import PRESETS


@click.command()
@click.option("--preset", type=click.Choice(sorted(PRESETS)), default="shipped", show_default=True)
@click.option(
    "--dir", "folder", type=click.Path(path_type=Path), default=Path("runs/shipped"),
    show_default=True, help="Checkpoint, TensorBoard log and bundle; resumes what lies there.",
)  # fmt: skip
@click.option(
    "--decisions", type=click.IntRange(1), help="Length of the run; default: the preset's."
)
@click.option("--seed", type=click.IntRange(0), help="Default: the preset's.")
@click.option("--progress/--no-progress", default=True, show_default=True)
def train(
    preset: str, folder: Path, decisions: int | None, seed: int | None, progress: bool
) -> None:
    """Train a policy by PPO in the simulator and export its bundle to DIR/bundle.

    Interrupt it whenever you like: the same command goes on from the last checkpoint, or
    begins anew when the pretraining of about half an hour was not over.
    Watch it with `tensorboard --logdir DIR`.
    """
    from trimtab_agents.training.export import export  # torch loads only when training
    from trimtab_agents.training.run import train as run

    config = PRESETS[preset]
    if decisions is not None:
        config = replace(config, decisions=decisions)
    if seed is not None:
        config = replace(config, seed=seed)
    model = run(config, folder, progress=progress)
    export(model, config, folder / "bundle", name=f"ppo-{preset}")
    click.echo(f"{folder / 'bundle'}: trained for {model.num_timesteps} decisions")


if __name__ == "__main__":
    train()
