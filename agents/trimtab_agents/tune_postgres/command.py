"""``trimtab tune postgres``: what a human gives it and is told."""

from __future__ import annotations

import hashlib
import json
import os
import signal
from math import inf
from pathlib import Path
from statistics import fmean

import click
from rich.console import Console
from rich.table import Table

from trimtab_agents.outputs import OutputFile
from trimtab_agents.search import Choice, Search, SearchError, Space
from trimtab_agents.tune_postgres.allowance import MB, AllowanceError
from trimtab_agents.tune_postgres.cost import CPU_HOUR, GB_HOUR, Price
from trimtab_agents.tune_postgres.finding import AGAIN, Finding, confirmed
from trimtab_agents.tune_postgres.patch import patch
from trimtab_agents.tune_postgres.server import ServerError, Tools, home, loaded
from trimtab_agents.tune_postgres.settings import CLIENTS, CPUS, MEMORY_MB, Settings, space, usual
from trimtab_agents.tune_postgres.trial import TRIAL_S, Rig
from trimtab_agents.tune_postgres.workload import Script, Workload, WorkloadError, shop

NOT_BETTER = 3
FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


class Numbers(click.ParamType[tuple[float, ...]]):
    """Numbers that are more than nothing, with commas between them."""

    name = "N,…"

    def __init__(self, kind: type[int] | type[float]) -> None:
        self.kind = kind

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[float, ...]:
        """From least to most, each once."""
        if isinstance(value, tuple):
            return value
        try:
            numbers = sorted({self.kind(part) for part in str(value).split(",")})
        except ValueError as error:
            self.fail(f"{value!r}: {error}", param, ctx)
        if not 0 < numbers[0] <= numbers[-1] < inf:
            self.fail(f"{value!r}: numbers above 0 are wanted", param, ctx)
        return tuple(numbers)


@click.command()
@click.option("--schema", type=FILE, help="SQL that makes and fills the tables; default: a shop.")
@click.option(
    "--script", "scripts", multiple=True, metavar="FILE[@WEIGHT]",
    help="A pgbench script and how often it is drawn; give it once for each.",
)  # fmt: skip
@click.option(
    "--cpus", type=Numbers(float), default=CPUS, show_default="0.25,0.5,1",
    help="Allowances to choose from.",
)  # fmt: skip
@click.option("--memory-mb", type=Numbers(int), default=MEMORY_MB, show_default="256,512,1024")
@click.option(
    "--clients", type=Numbers(int), default=CLIENTS, show_default="2,4,8",
    help="Connections that are busy at once.",
)  # fmt: skip
@click.option(
    "--allowance/--no-allowance", "held", default=True, show_default=True,
    help="Hold the server to its CPU and memory (needs writable control groups), or choose among "
    "settings only, on all of this machine.",
)  # fmt: skip
@click.option(
    "--late-s", type=click.FloatRange(0.001), default=0.25, show_default=True,
    help="An answer that takes longer is late, and costs eleven.",
)  # fmt: skip
@click.option(
    "--cpu-hour", type=click.FloatRange(0.0), default=CPU_HOUR, show_default=True,
    help="Dollars for a CPU.",
)  # fmt: skip
@click.option("--gb-hour", type=click.FloatRange(0.0), default=GB_HOUR, show_default=True)
@click.option(
    "--trial-s", type=click.IntRange(1), default=TRIAL_S, show_default=True,
    help="How long a choice is measured; longer is less noisy.",
)  # fmt: skip
@click.option("--trials", type=click.IntRange(1), default=20, show_default=True)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@click.option(
    "--study", default="runs/postgres.sqlite", show_default=True,
    help="File of the trials, in which the same command goes on, or a postgresql:// URL.",
)  # fmt: skip
@click.option("--output", type=OutputFile(), help="The patch's file; default: printed.")
@click.option("--json", "json_path", type=OutputFile(), help="The finding, for machines.")
def postgres(
    schema: Path | None,
    scripts: tuple[str, ...],
    cpus: tuple[float, ...],
    memory_mb: tuple[int, ...],
    clients: tuple[int, ...],
    held: bool,
    late_s: float,
    cpu_hour: float,
    gb_hour: float,
    trial_s: int,
    trials: int,
    seed: int,
    study: str,
    output: Path | None,
    json_path: Path | None,
) -> None:
    """Find cheap settings for a PostgreSQL server: memory, planner, pool and allowance.

    Servers of its own are started from the PostgreSQL that is installed, one for each trial of
    some eight seconds, loaded with your schema and asked by your pgbench scripts; no server of
    yours is touched, and all are gone at the end. The score is the price of a million
    transactions. A new server's settings come first, and are measured against the best found once
    more at the end. If those are clearly cheaper, they are printed as SQL; otherwise nothing
    is, and the exit code is 3. Nothing is tried that trades durability.

    Interrupt it whenever you like: the same command goes on.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # Servers are ended either way.
    if not held:
        cpus, memory_mb = (float(os.cpu_count() or 1),), (machine_mb(),)
    console = Console(stderr=True, highlight=False)
    try:
        workload = _workload(schema, scripts)
        choices = space(cpus, [int(n) for n in memory_mb], [int(n) for n in clients])
        price = Price(cpu_hour, gb_hour)
        name = f"postgres {_digest(workload, choices, price, late_s, held, trial_s)}"
        search = Search.open(choices, name, _place(study), seed=seed, first=[usual(choices).choice])
        tools = Tools()
        with home(tools) as folder:
            console.print(f"loading {workload.schema.name} into a server of our own …")
            copied = workload.copied(folder)
            rig = Rig(
                tools, folder, loaded(tools, folder, copied.schema), copied, late_s, held, trial_s
            )
            found, first = _searched(search, rig, price, trials, console), usual(choices)
            console.print(f"in turn, a new server's settings and the best found: {AGAIN} times …")
            finding = confirmed(first, found, lambda each: rig.score(each, price))
    except (AllowanceError, SearchError, ServerError, WorkloadError) as error:
        raise click.ClickException(str(error)) from error
    except KeyboardInterrupt:
        raise click.ClickException(f"interrupted; the same command goes on ({study})") from None
    console.print(*report(search, finding), sep="\n")
    if json_path:
        json_path.write_text(json.dumps(finding.facts, indent=2) + "\n")
    if not finding.is_better:
        click.echo("Not clearly cheaper than a new server's settings: leave them.", err=True)
        raise click.exceptions.Exit(NOT_BETTER)
    text = patch(finding.found, summary(finding), held=held)
    if output:
        output.write_text(text, encoding="utf-8")
        click.echo(f"{output}: the patch", err=True)
    else:
        click.echo(text, nl=False)


def _workload(schema: Path | None, scripts: tuple[str, ...]) -> Workload:
    if schema is None and not scripts:
        return shop()
    if schema is None or not scripts:
        raise WorkloadError("give both --schema and --script, or neither for the shop")
    return Workload(schema, tuple(Script.of(text) for text in scripts))


def _digest(workload: Workload, choices: Space, *rest: object) -> str:
    """The same question, the same study."""
    facts = repr((workload.contents, choices, rest)).encode()
    return hashlib.sha256(facts).hexdigest()[:12]


def _place(study: str) -> str:
    if "://" not in study:
        Path(study).parent.mkdir(parents=True, exist_ok=True)
    return study


def machine_mb() -> int:
    """The memory of this machine."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // MB


def _searched(search: Search, rig: Rig, price: Price, trials: int, console: Console) -> Settings:
    """The best that was found; what comes of each trial is said as it is over."""
    first = usual(search.space)
    while not (why := search.done(trials)):
        trying, stopped = search.ask(), False
        try:
            score, stopped = rig.judged(trying, price)
            said = f"{score:.2f} cents per million{', stopped early' if stopped else ''}"
        except ServerError as error:
            score, said = inf, f"failed: {error}"
        search.tell(trying, score, stopped=stopped)
        told = f"{len(search.tried):3} {_changed(trying.choice, first)}: {said}; {_state(search)}"
        console.print(told, soft_wrap=True)
    console.print(f"stopped since {why}")
    if search.best is None:
        raise ServerError("no choice could be measured: see above why")
    return Settings.of(search.best.choice)


def _changed(choice: Choice, first: Settings) -> str:
    """What is set otherwise than on a new server."""
    usually = first.choice
    told = [f"{name} {value}" for name, value in choice.items() if value != usually[name]]
    return ", ".join(told) or "a new server's settings"


def _state(search: Search) -> str:
    best = f"best {search.best.score:.2f}, " if search.best else ""
    saving = f", the next should save {search.saving:.1%}" if search.saving else ""
    return f"{best}{search.left} choices left{saving}"


def report(search: Search, finding: Finding) -> list[str | Table]:
    """What was found, for a human."""
    table = Table("setting", "a new server's", "found")
    found = finding.found.choice
    for name, now in finding.usual.choice.items():
        table.add_row(name, f"{now}", f"{found[name]}" if found[name] != now else "the same")
    cents = [", ".join(f"{c:.2f}" for c in each) for each in (finding.before, finding.after)]
    table.add_row("cents per million", *cents)
    saved, error = finding.saving
    stopped = sum(tried.stopped for tried in search.tried)
    return [
        f"{len(search.tried)} of {search.space.size} choices tried, {stopped} stopped early",
        table,
        f"saved: {saved:.1%} ± {2.0 * error:.1%} (two standard errors)",
    ]


def summary(finding: Finding) -> str:
    """One line on what the patch is for."""
    before, after = fmean(finding.before), fmean(finding.after)
    return f"By trimtab tune postgres: {before:.2f} to {after:.2f} cents per million transactions."
