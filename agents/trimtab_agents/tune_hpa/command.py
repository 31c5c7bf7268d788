"""``trimtab tune hpa``: what a human gives it and is told."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import click
import optuna
from rich.console import Console
from rich.progress import Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from sqlalchemy.exc import SQLAlchemyError

from trimtab_agents.outputs import OutputFile
from trimtab_agents.training.history import History, Service, read_history
from trimtab_agents.tune_hpa.dials import DialError, current_dials
from trimtab_agents.tune_hpa.finding import Finding, judged, terms
from trimtab_agents.tune_hpa.manifest import patch_text
from trimtab_agents.tune_hpa.search import PATIENCE, Found, Question, Search
from trimtab_sim.profile_file import read_service
from trimtab_sim.schema import ConfigError
from trimtab_sim.traces import TraceError

NOT_BETTER = 3
file_path = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command()
@click.option(
    "--service",
    "profile",
    type=file_path,
    required=True,
    help="Its profile, as `trimtab fit` writes.",
)
@click.option(
    "--history", "recording", type=file_path, required=True,
    help="Its load, a CSV like those in traces/SOURCES.md.",
)  # fmt: skip
@click.option(
    "--miss-price", type=click.FloatRange(1.0, 1000.0), default=50.0, show_default=True,
    help="Lambda to tune it for: 10 thrifty, 50 balanced, 250 strict.",
)  # fmt: skip
@click.option(
    "--current", default="", metavar="DIAL=NUMBER,…",
    help="What is set now, as target=60,down_window_s=300,min_replicas=2; the rest is taken to be "
    "Kubernetes' defaults and the profile's bounds.",
)  # fmt: skip
@click.option("--trials", type=click.IntRange(1), default=40, show_default=True)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@click.option(
    "--study", type=OutputFile(),
    help="SQLite file of the trials, in which the same command goes on; default: in runs/.",
)  # fmt: skip
@click.option("--output", type=OutputFile(), help="The patch's file; default: printed.")
@click.option("--json", "json_path", type=OutputFile(), help="The finding, for machines.")
@click.option("--progress/--no-progress", default=True, show_default=True)
def hpa(
    profile: Path,
    recording: Path,
    miss_price: float,
    current: str,
    trials: int,
    seed: int,
    study: Path | None,
    output: Path | None,
    json_path: Path | None,
    progress: bool,
) -> None:
    """Find the best target, windows, policies and bounds of a service's HPA.

    They are searched for on the first part of the history. On the last, which is held back, they
    meet what is set now; if they are clearly better, a patch for `kubectl patch` is printed.
    Otherwise nothing is, and the exit code is 3.

    \b
    Dials, with Kubernetes' defaults:
      target=80           percent of the CPU request, at which all slots are taken to be busy
      down_window_s=300   stabilisation windows
      up_window_s=0
      up_percent=100      added in 15 s at most, of the pods there …
      up_pods=4           … or so many, whichever is more
      down_percent=100    removed in 60 s at most
      min_replicas, max_replicas

    Interrupt it whenever you like: the same command goes on.
    """
    try:
        service = _service(profile, miss_price)
        history = read_history(recording)
        question = Question.of(service, history, current_dials(current, service))
        search = Search(question, study or _usual_file(service), seed)
        found = _searched(search, trials, progress=progress)
    except (ConfigError, TraceError, DialError, OSError) as error:
        raise click.ClickException(str(error)) from error
    finding = judged(question, history, found)
    Console(stderr=True, highlight=False).print(*report(service, history, finding), sep="\n")
    if json_path:
        json_path.write_text(json.dumps(finding.facts, indent=2) + "\n")
    if not finding.is_better:
        click.echo("Not clearly better than what is set now: leave it as it is.", err=True)
        raise click.exceptions.Exit(NOT_BETTER)
    _give(patch_text(service.profile.name, found.dials, summary(finding)), output)


def _service(profile: Path, miss_price: float) -> Service:
    service = Service(read_service(profile).profile, miss_price)
    count = len(service.profile.backends)
    if count != 1:
        raise ConfigError(
            f"{profile}: has {count} backends, and an HPA scales one: "
            "write a profile for each, and give it its own load"
        )
    return service


def _usual_file(service: Service) -> Path:
    folder = Path("runs")
    folder.mkdir(exist_ok=True)
    return folder / f"{service.profile.name}-hpa.sqlite"


def _searched(search: Search, trials: int, *, progress: bool) -> Found:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    columns = (
        *Progress.get_default_columns(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[told]}"),
    )
    with Progress(*columns, console=Console(stderr=True), disable=not progress) as bar:
        task = bar.add_task("tune hpa", total=trials, told="")

        def advance(best: list[float]) -> None:
            bar.update(task, completed=len(best), told=f"best J {best[-1]:.3f}")

        try:
            return search.run(trials, advance)
        except SQLAlchemyError as error:
            raise ConfigError(
                f"{search.file}: not a study's file ({error.__cause__}): give another as --study"
            ) from error
        except KeyboardInterrupt:
            raise click.ClickException(
                f"interrupted; the same command goes on with what is in {search.file}"
            ) from None


def report(service: Service, history: History, finding: Finding) -> list[str | Table]:
    """What was found, for a human."""
    best, gain = finding.found.best_by_trial, finding.gain
    left = finding.found.left
    return [
        f"{history.name}: searched on {history.past_h:.1f} h, judged on the next "
        f"{history.held_back_h:.1f} h, lambda {service.miss_price:g}",
        "best J after trial "
        + ", ".join(f"{n}: {best[n - 1]:.3f}" for n in _milestones(len(best))),
        f"stopped since {finding.found.stopped}",
        f"left to gain: hardly more than what the last {PATIENCE} trials saved, {left:.1%} of J"
        if left is not None
        else "left to gain: too few trials to say",
        _dial_table(finding),
        _score_table(finding),
        f"J saved on the end: {gain[0]:.3f} ± {2.0 * gain[1]:.3f} (two standard errors)",
    ]


def _milestones(trials: int) -> list[int]:
    return sorted({1, *range(10, trials, 10), trials})


def _dial_table(finding: Finding) -> Table:
    table = Table("dial", "now", "found")
    found = asdict(finding.found.dials)
    for name, now in asdict(finding.current).items():
        table.add_row(name, f"{now}", f"{found[name]}" if found[name] != now else "the same")
    return table


def _score_table(finding: Finding) -> Table:
    table = Table("on the held-back end", "J", "fleet", "miss")
    for name, score in (("now", finding.before), ("found", finding.after)):
        parts = terms(score)
        (j, j_off), (fleet, fleet_off), (miss, miss_off) = parts["J"], parts["fleet"], parts["miss"]
        table.add_row(
            name,
            f"{j:.3f} ± {j_off:.3f}",
            f"{fleet:.3f} ± {fleet_off:.3f}",
            f"{100 * miss:.2f} ± {100 * miss_off:.2f} %",
        )
    return table


def summary(finding: Finding) -> str:
    """One line on what the patch is for."""
    before, after = terms(finding.before), terms(finding.after)
    return (
        f"By trimtab tune hpa: fleet {before['fleet'][0]:.2f} to {after['fleet'][0]:.2f}, "
        f"misses {before['miss'][0]:.2%} to {after['miss'][0]:.2%} in the simulator."
    )


def _give(text: str, output: Path | None) -> None:
    if output is None:
        click.echo(text, nl=False)
        return
    output.write_text(text, encoding="utf-8")
    click.echo(f"{output}: the patch", err=True)
