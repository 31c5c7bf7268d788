"""``trimtab bench``: judge a policy, and calibrate the rules that it is judged against."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import click
from rich.console import Console
from rich.progress import Progress, TimeElapsedColumn

from trimtab_agents.bench.calibration import Calibrated, Calibration, profiles
from trimtab_agents.bench.cells import FULL, QUICK, make_cells, read_traces
from trimtab_agents.bench.contest import Contest, Match, Player, players
from trimtab_agents.bench.events import CELLS, QUICK_CELLS, Rerun, agreement, reruns
from trimtab_agents.bench.fit_runs import FitRun, fit_report, fit_table
from trimtab_agents.bench.play import batches
from trimtab_agents.bench.report import Report, make_report, markdown
from trimtab_agents.bench.routing import Crossing, crossings, route_calibrations, scenario_scores
from trimtab_agents.bench.scorecard_runs import BARS, FORTNIGHT, prove
from trimtab_agents.bench.verdict import LEARNER
from trimtab_agents.bench.work import Arrays, Job, Spread, finished, here, over_processes, over_ray
from trimtab_agents.bundle import load
from trimtab_agents.outputs import OutputFile, OutputFolder
from trimtab_agents.training.config import TRAIN_TRACES
from trimtab_sim.traces import Trace

quick_option = click.option("--quick", is_flag=True, help="One window, two start-ups, one seed.")
traces_option = click.option(
    "--traces", "folder", type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder of CSVs like those in traces/SOURCES.md; default: the shipped traces.",
)  # fmt: skip
workers_option = click.option(
    "--workers", type=click.IntRange(1), default=os.cpu_count() or 1, show_default=True,
    help="Processes to spread the work over.",
)  # fmt: skip
ray_option = click.option(
    "--ray", "on_ray", is_flag=True,
    help="Spread it over a Ray cluster instead: the one in RAY_ADDRESS, else one started here.",
)  # fmt: skip


@click.group()
def bench() -> None:
    """Judge policies in the simulator."""


@bench.command()
@quick_option
@traces_option
@click.option("--policy", help="Folder of a policy bundle, or none; default: the shipped one.")
@click.option("--json", "json_path", type=OutputFile())
@click.option(
    "--out", type=OutputFolder(),
    help="Folder for report.md, report.json and plots; a run that was interrupted goes on there.",
)  # fmt: skip
@workers_option
@ray_option
def control(
    quick: bool,
    folder: Path | None,
    policy: str | None,
    json_path: Path | None,
    out: Path | None,
    workers: int,
    on_ray: bool,
) -> None:
    """Score a policy between the calibrated rule and the clairvoyant bound.

    Traces that rules and policies were made with are told apart from those held back.
    """
    try:
        plan = _plan(read_traces(folder), policy, quick=quick)
        arrays = _finished(plan.jobs, _spread(workers, on_ray=on_ray), out and out / "cells")
    except ValueError as error:  # traces, bundles and calibration all say what to do
        raise click.ClickException(str(error)) from error
    contest, report = plan.judged(arrays)
    page, data = markdown(report), json.dumps(report, indent=2) + "\n"
    click.echo(page)
    if json_path:
        json_path.write_text(data)
    if out:
        _write(out, page, data, contest)


@bench.command(name="calibrate")
@quick_option
@click.option(
    "--out", type=OutputFolder(),
    help="Folder for what is found on the way; a search that was interrupted goes on there.",
)  # fmt: skip
@workers_option
@ray_option
def calibrate_rules(quick: bool, out: Path | None, workers: int, on_ray: bool) -> None:
    """Find the rules' best settings on the train split; rewrites calibrated.json.

    Entries of the other grid are kept.
    """
    grid = QUICK if quick else FULL
    traces = {name: trace for name, trace in read_traces(None).items() if name in TRAIN_TRACES}
    scaling = [Calibration(traces, grid, profile) for profile in profiles(grid)]
    routing = route_calibrations(traces)
    calibrated = Calibrated.read()
    found = _finished([*scaling, *routing], _spread(workers, on_ray=on_ray), out)
    for profile, arrays in zip(scaling, found[: len(scaling)], strict=True):
        calibrated.entries.update(profile.entries(arrays))
    for route, arrays in zip(routing, found[len(scaling) :], strict=True):
        calibrated.routes.update(route.entries(arrays))
    calibrated.write()


@bench.command(name="fit")
@click.option("--runs", type=click.IntRange(1), default=100, show_default=True)
@click.option("--json", "json_path", type=OutputFile())
@click.option(
    "--out", type=OutputFolder(),
    help="Folder for the runs that are done; one that was interrupted goes on there.",
)  # fmt: skip
@workers_option
def fit_known(runs: int, json_path: Path | None, out: Path | None, workers: int) -> None:
    """Fit services of known parameters, and count the intervals that hold them.

    Each is played request by request for an hour; ten seconds of one core each.
    """
    jobs = [FitRun(seed) for seed in range(runs)]
    report = fit_report(_finished(jobs, _spread(workers, on_ray=False), out))
    click.echo(fit_table(report))
    if json_path:
        json_path.write_text(json.dumps(report, indent=2) + "\n")


@bench.command()
@click.option(
    "--runs", type=click.IntRange(4), default=200, show_default=True, help="Services whose "
    "truth is known.",
)  # fmt: skip
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@click.option("--json", "json_path", type=OutputFile())
@click.pass_context
def scorecard(ctx: click.Context, runs: int, seed: int, json_path: Path | None) -> None:
    """Try the scorecard's intervals, certificate and power where the truth is known.

    Each run is a fortnight of a service under an HPA, recorded and replayed; then worlds that are
    not as their profiles say. Some minutes of one core. Exits with 1 when a bar is not met.
    """
    result = prove(FORTNIGHT.of(runs), seed, lambda part: click.echo(f"{part} …", err=True))
    click.echo(text := json.dumps(result, indent=2))
    if json_path:
        json_path.write_text(text + "\n")
    for name, bar in BARS.items():
        if result[name] < bar:
            click.echo(f"{name} does not meet its bar, {bar:g}", err=True)
    if any(result[name] < bar for name, bar in BARS.items()):
        ctx.exit(1)


@dataclass(frozen=True, slots=True)
class _Plan:
    """Everything that a run consists of, and who it judges."""

    matches: Sequence[Match]
    reruns: Sequence[Rerun]
    crossings: Sequence[Crossing]
    learner: str | None

    @property
    def jobs(self) -> list[Job]:
        return [*self.matches, *self.reruns, *self.crossings]

    def judged(self, arrays: Sequence[Arrays]) -> tuple[Contest, Report]:
        """The contest and the whole report, from the arrays of ``jobs``."""
        ends = len(self.matches), len(self.matches) + len(self.reruns)
        contest = Contest.of(self.matches, arrays[: ends[0]], Calibrated.read().best)
        report = make_report(
            contest,
            self.learner,
            event_model=agreement(arrays[slice(*ends)]) if self.reruns else None,
            routing=scenario_scores(self.crossings, arrays[ends[1] :]),
        )
        return contest, report


def _plan(traces: Mapping[str, Trace], policy: str | None, *, quick: bool) -> _Plan:
    cells = make_cells(traces, QUICK if quick else FULL)
    bundle = Path(policy) if policy and policy != "none" else None
    name = None if policy == "none" else load(bundle).name
    learner = Player(LEARNER, bundle=bundle) if name else None
    ready = list(batches(cells, traces))
    matches = [Match(batch, who) for who in players(learner) for batch in ready]
    events = reruns(cells, traces, learner, QUICK_CELLS if quick else CELLS) if learner else []
    return _Plan(matches, events, crossings(traces, learner), name)


def _spread(workers: int, *, on_ray: bool) -> Spread:
    if on_ray:
        return over_ray()
    return over_processes(workers) if workers > 1 else here


def _finished(jobs: Sequence[Job], spread: Spread, folder: Path | None = None) -> list[Arrays]:
    columns = (*Progress.get_default_columns(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        bar = progress.add_task("bench", total=sum(job.weight for job in jobs))
        return finished(jobs, spread, folder, lambda weight: progress.advance(bar, weight))


def _write(out: Path, page: str, data: str, contest: Contest) -> None:
    (out / "report.md").write_text(page)
    (out / "report.json").write_text(data)
    if find_spec("matplotlib") is None:
        click.echo("No plots: they need matplotlib (pip install 'trimtab[train]').", err=True)
        return
    from trimtab_agents.bench.plots import draw

    for path in draw(contest, out):
        click.echo(path, err=True)


if __name__ == "__main__":
    bench()
