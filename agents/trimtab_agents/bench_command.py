"""``trimtab bench``: judge a policy, and calibrate the rules that it is judged against."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import click
from rich.console import Console
from rich.progress import Progress

from trimtab_agents.bench.calibration import Calibrated, calibrate
from trimtab_agents.bench.cells import FULL, QUICK, Cell, make_cells, read_traces
from trimtab_agents.bench.play import Outcome, batches, play, play_bound
from trimtab_agents.bench.report import make_report, markdown
from trimtab_agents.bench.verdict import BOUND, LEARNER, RULE, Table
from trimtab_agents.bundle import load
from trimtab_agents.policy import Policy
from trimtab_agents.training.config import TRAIN_TRACES
from trimtab_sim.traces import Trace

Player = Callable[[Sequence[Cell]], Policy]
Played = list[dict[str, Outcome]]

quick_option = click.option("--quick", is_flag=True, help="One window, two start-ups, one seed.")
traces_option = click.option(
    "--traces", "folder", type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder of CSVs like those in traces/SOURCES.md; default: the shipped traces.",
)  # fmt: skip


@click.group()
def bench() -> None:
    """Judge policies in the simulator."""


@bench.command()
@quick_option
@traces_option
@click.option("--policy", help="Folder of a policy bundle, or none; default: the shipped one.")
@click.option("--json", "json_path", type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "--out", type=click.Path(file_okay=False, path_type=Path),
    help="Folder for report.md, report.json and plots.",
)  # fmt: skip
def control(
    quick: bool, folder: Path | None, policy: str | None, json_path: Path | None, out: Path | None
) -> None:
    """Score a policy between the calibrated rule and the clairvoyant bound.

    Traces that rules and policies were made with are told apart from those held back.
    """
    try:
        traces = read_traces(folder)
        players, name = _players(policy)
        played = _play(traces, make_cells(traces, QUICK if quick else FULL), players)
    except ValueError as error:  # traces, bundles and calibration all say what to do
        raise click.ClickException(str(error)) from error
    table = Table.of(played)
    report = make_report(table, name)
    page, data = markdown(report), json.dumps(report, indent=2) + "\n"
    click.echo(page)
    if json_path:
        json_path.write_text(data)
    if out:
        _write(out, page, data, table, played)


@bench.command(name="calibrate")
@quick_option
def calibrate_rules(quick: bool) -> None:
    """Find the rules' best settings on the train split; rewrites calibrated.json.

    Entries of the other grid are kept.
    """
    grid = QUICK if quick else FULL
    traces = {name: trace for name, trace in read_traces(None).items() if name in TRAIN_TRACES}
    calibrated = Calibrated.read()
    total = len(grid.startups_s) * len(grid.sizes) * len(grid.lags_s) * len(grid.miss_prices)
    with Progress(console=Console(stderr=True)) as progress:
        found = progress.track(calibrate(traces, grid), total=total, description="calibrate")
        for key, entry in found:
            calibrated.entries[key] = entry
            calibrated.write()


def _players(policy: str | None) -> tuple[dict[str, Player], str | None]:
    """Who plays, by name in the report; and the learner's own name."""
    calibrated = Calibrated.read()
    players: dict[str, Player] = {"hpa": calibrated.hpa, RULE: calibrated.rule}
    if policy == "none":
        return players, None
    learner = load(Path(policy) if policy else None)
    return players | {LEARNER: lambda _: learner}, learner.name


def _play(
    traces: Mapping[str, Trace], cells: Sequence[Cell], players: Mapping[str, Player]
) -> Played:
    """Every batch by every player, and its bound."""
    played: Played = []
    with Progress(console=Console(stderr=True)) as progress:
        ready = list(batches(cells, traces))
        ticks = sum(len(batch.rate_rps) for batch in ready)
        bars = {name: progress.add_task(name, total=ticks) for name in players}
        for batch in ready:
            outcomes = {
                name: play(batch, player(batch.cells), partial(progress.advance, bars[name]))
                for name, player in players.items()
            }
            outcomes[BOUND] = play_bound(batch, outcomes[RULE].requests)
            played.append(outcomes)
    return played


def _write(out: Path, page: str, data: str, table: Table, played: Played) -> None:
    out.mkdir(parents=True, exist_ok=True)
    (out / "report.md").write_text(page)
    (out / "report.json").write_text(data)
    if find_spec("matplotlib") is None:
        click.echo("No plots: they need matplotlib (pip install 'trimtab[train]').", err=True)
        return
    from trimtab_agents.bench.plots import draw

    for path in draw(table, played, out):
        click.echo(path, err=True)


if __name__ == "__main__":
    bench()
