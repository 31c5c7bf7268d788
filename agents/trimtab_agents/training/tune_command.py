"""`trimtab train --service`: what a human gives it and is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import Progress, TimeElapsedColumn

from trimtab_agents.bundle import BundleError, shipped_path
from trimtab_agents.training.history import Service, read_history
from trimtab_agents.training.trial import CLEAR, Score
from trimtab_agents.training.tune import Judgement, Origin, TuneConfig, tune
from trimtab_sim.profile_file import read_service
from trimtab_sim.schema import ConfigError
from trimtab_sim.traces import TraceError

NOT_BETTER = 3


def tune_bundle(
    parent: Path | None,
    service: Path,
    history: Path,
    miss_price: float,
    config: TuneConfig,
    out: Path | None,
    *,
    progress: bool,
) -> None:
    """Tune and say what came of it; exits with ``NOT_BETTER`` when nothing was kept."""
    try:
        profile = read_service(service).profile
        own = Service(profile, miss_price)
        origin = Origin(parent or shipped_path(), own, read_history(history), config)
        folder = _vacant(out or Path("runs") / profile.name)
        judgement = _tuned(origin, folder, progress=progress)
    except (ConfigError, TraceError, BundleError, OSError) as error:
        raise click.ClickException(str(error)) from error
    click.echo(report(origin, judgement))
    if not judgement.helps:
        click.echo("Not clearly better than before, so no bundle was written.")
        raise click.exceptions.Exit(NOT_BETTER)
    click.echo(f"{folder}: the tuned bundle")


def _vacant(folder: Path) -> Path:
    """Minutes of work must not end at a folder that is in use."""
    if folder.exists():
        raise click.ClickException(f"{folder}: is there already: give another folder as --out")
    return folder


def _tuned(origin: Origin, folder: Path, *, progress: bool) -> Judgement:
    columns = (*Progress.get_default_columns(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), disable=not progress) as bar:
        task = bar.add_task("tune", total=origin.steps)
        return tune(origin, folder, lambda: bar.advance(task))


def report(origin: Origin, judgement: Judgement) -> str:
    """The comparison as a Markdown table, and what it says."""
    history = origin.history
    rows = {
        "before": judgement.before,
        "after": judgement.after,
        f"tuned rule: {_words(judgement.tuned.described)}": judgement.rule,
    }
    gain, error = judgement.gain
    lines = [
        f"{history.name}: tuned on {history.past_h:.1f} h, judged on the next "
        f"{history.held_back_h:.1f} h, lambda {origin.service.miss_price:g}",
        "",
        "| policy | J | fleet | miss |",
        "| --- | --: | --: | --: |",
        *(_row(name, score) for name, score in rows.items()),
        "",
        f"Tuning saves {gain:.3f} ± {CLEAR * error:.3f} of J (two standard errors).",
    ]
    best = min(judgement.before, judgement.after, key=_mean)
    if _mean(judgement.rule) < _mean(best):
        lines.append("The tuned rule is better than either policy here.")
    return "\n".join(lines)


def _mean(score: Score) -> float:
    return score.summary["J"]


def _row(name: str, score: Score) -> str:
    mean = score.summary
    return f"| {name} | {mean['J']:.3f} | {mean['fleet']:.3f} | {100 * mean['miss']:.2f} % |"


def _words(rule: dict[str, Any]) -> str:
    """The family and its dials."""
    dials = [f"{name} {value}" for name, value in rule.items() if name != "family"]
    return f"{rule['family']}, {', '.join(dials)}"
