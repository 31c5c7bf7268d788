"""Train without long memory: what a policy is worth that forgets all but the last start-ups.

``python tools/ablate.py DIR [--seed N]`` trains the preset ``quick`` in a world whose codec has no
season, no spread and no beat, and writes a bundle to DIR/bundle. It is judged in the same world:
the command prints what it closes, as ``trimtab bench control --quick`` does.
"""

from __future__ import annotations

from pathlib import Path

import click

from trimtab_agents import bench_command
from trimtab_agents.train_command import train
from trimtab_envs import codec
from trimtab_envs.memory import Memory
from trimtab_envs.minutes import Bools, Floats


class ShortMemory(Memory):
    """Levels, noise and peaks over at most an hour; nothing that it takes long to learn."""

    def _reflect(self) -> None:
        """Season and spread stay unknown."""

    def _count_jump(self, rate: Floats, seen: Bools) -> None:
        """The beat stays unknown."""


@click.command()
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
def main(folder: Path, seed: int) -> None:
    """Train and judge a policy with a short memory in FOLDER."""
    codec.Memory = ShortMemory  # type: ignore[misc]  # the whole point of this tool
    arguments = ["--preset", "quick", "--dir", str(folder), "--seed", str(seed)]
    train(arguments, standalone_mode=False)
    judged = ["control", "--quick", "--policy", str(folder / "bundle"), "--workers", "1"]
    bench_command.bench(judged, standalone_mode=False)


if __name__ == "__main__":
    main()
