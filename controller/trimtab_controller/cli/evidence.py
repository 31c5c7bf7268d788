"""`trimtab report` and `trimtab ladder`: what the journal proves, read beside the daemon."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click
from rich.console import Console
from rich.table import Table

from trimtab_agents.outputs import OutputFile
from trimtab_controller.cli.journal import located
from trimtab_controller.up.folder import default_path

if TYPE_CHECKING:  # the simulator and the bundle load only when they are needed
    from trimtab_agents.bundle import PpoPolicy
    from trimtab_controller.config import Config
    from trimtab_controller.evidence.ladder import Rung
    from trimtab_controller.evidence.scorecard import Scorecard, Verdict

Command = TypeVar("Command", bound=Callable[..., object])

OPTIONS = (
    click.option(
        "--days",
        type=click.IntRange(1, 366),
        default=28,
        show_default=True,
        help="How many whole days to look back.",
    ),
    click.option(
        "--config",
        "config_file",
        type=click.Path(path_type=Path, dir_okay=False, exists=True),
        help="trimtab.yaml.  [default: the demonstration's here]",
    ),
    click.option("--journal", help="A journal, or an export of one.  [default: likewise]"),
    click.option(
        "--policy",
        type=click.Path(path_type=Path, exists=True, file_okay=False),
        help="Policy bundle.  [default: the shipped one]",
    ),
)


def evidence_options(command: Command) -> Command:
    """Say which past is looked at, and which policy is tried on it."""
    for option in reversed(OPTIONS):
        command = option(command)
    return command


@click.command()
@click.argument("service")
@evidence_options
@click.option("--html", "html_file", type=OutputFile(), help="Write a page to send to a boss.")
@click.option("--json", "json_file", type=OutputFile(), help="Write the scorecard there.")
def report(
    service: str,
    days: int,
    config_file: Path | None,
    journal: str | None,
    policy: Path | None,
    html_file: Path | None,
    json_file: Path | None,
) -> None:
    """Show what the policy would have made of SERVICE's days.

    The arrivals in the journal are replayed through the simulator: first as the replicas really
    were scaled, which must give what was seen (the A/A certificate), then under policy and guard.
    A day takes some ten seconds of one core. Nothing is changed.
    """
    from trimtab_controller.evidence.page import page

    config, bundle = _loaded(config_file, policy)
    if service not in config.by_name:
        names = ", ".join(config.by_name)
        raise click.BadParameter(
            f"{service!r}: the configuration has {names}", param_hint="SERVICE"
        )
    with located(journal) as location:
        card = _appraised(location, config, service, bundle, days)
    _show(card)
    if html_file:
        html_file.write_text(page(card, config.gates), encoding="utf-8")
    if json_file:
        json_file.write_text(json.dumps(asdict(card), indent=2) + "\n", encoding="utf-8")


@click.command()
@evidence_options
def ladder(days: int, config_file: Path | None, journal: str | None, policy: Path | None) -> None:
    """Rank the services by where to start, and what they lack.

    Those with the most to gain and the least to lose come first. It recommends; a human decides
    with `trimtab mode`.
    """
    from trimtab_controller.evidence.ladder import ladder as ranked

    config, bundle = _loaded(config_file, policy)
    with located(journal) as location:
        cards = [
            (service, _appraised(location, config, service.name, bundle, days))
            for service in config.services
        ]
    rows = [(service, card.mode, card) for service, card in cards]
    for place, rung in enumerate(ranked(rows, config.gates), 1):
        _show_rung(place, rung)


def _loaded(config_file: Path | None, policy: Path | None) -> tuple[Config, PpoPolicy]:
    from trimtab_agents.bundle import BundleError
    from trimtab_agents.bundle import load as load_bundle
    from trimtab_controller.config import load
    from trimtab_sim.schema import ConfigError

    file = config_file or default_path() / "trimtab.yaml"
    if not file.exists():
        raise click.ClickException(
            f"{file}: no demonstration ran here; give --config and --journal"
        )
    try:
        return load(file), load_bundle(policy)
    except (ConfigError, BundleError) as error:
        raise click.ClickException(str(error)) from error


def _appraised(
    location: str, config: Config, service: str, bundle: PpoPolicy, days: int
) -> Scorecard:
    from trimtab_controller.evidence.appraisal import appraise

    with _status() as tell:
        return appraise(location, config, config.by_name[service], bundle, days, time.time(), tell)


@contextmanager
def _status() -> Iterator[Callable[[str], object]]:
    """Tells a human who waits what is going on."""
    with Console(stderr=True).status("") as status:
        yield lambda text: status.update(f"{text} …")


def _show(card: Scorecard) -> None:
    console = Console()
    if card.certificate:
        console.print(_certificate(card))
    if card.verdict is None:
        click.echo(f"{card.service}: no verdict: {card.no_verdict}.")
        return
    verdict, of = card.verdict, card.currency
    saving, saved, misses = verdict.saving, verdict.saved, verdict.extra_misses
    console.print(_accounts(verdict, of))
    click.echo(
        f"Under {verdict.policy_name}, over the same {card.days} days, with 95 % confidence at "
        f"every look:\n"
        f"  saved         {saving.value:.1%} of the cost ({saving.low:.1%} to {saving.high:.1%})\n"
        f"                {saved.value:.4g} {of} a day ({saved.low:.4g} to {saved.high:.4g})\n"
        f"  extra misses  {100 * misses.value:+.3f} points "
        f"({100 * misses.low:+.3f} to {100 * misses.high:+.3f})"
    )


def _certificate(card: Scorecard) -> Table:
    passed = all(check.passed for check in card.certificate)
    says = "what was done, replayed, comes out as it did" if passed else "refused"
    table = Table("check", "seen", "replayed", "allowed", "", title=f"A/A certificate: {says}")
    for check in card.certificate:
        row = f"{check.observed:.4g}", f"{check.replayed:.4g}", check.tolerance
        table.add_row(check.name, *row, "same" if check.passed else "[bold]differs[/]")
    return table


def _accounts(verdict: Verdict, currency: str) -> Table:
    """Every day and the mean, as it was and as it would have been."""
    table = Table("day", f"cost, {currency}", "fleet", "misses", "scale events", "requests")
    days = [(day.date, day.observed, day.policy) for day in verdict.by_day]
    for name, was, would in (*days, ("mean", verdict.observed, verdict.policy)):
        table.add_row(
            name,
            f"{was.cost:.4g} → {would.cost:.4g}",
            f"{was.fleet:.2f} → {would.fleet:.2f}",
            f"{was.miss_share:.2%} → {would.miss_share:.2%}",
            f"{was.scale_events:.0f} → {would.scale_events:.0f}",
            f"{was.requests:.4g}",
        )
    return table


def _show_rung(place: int, rung: Rung) -> None:
    click.echo(f"{place}. {rung.service} ({rung.mode.value}): {rung.reason}")
    for gate in rung.gates:
        mark = "open" if gate.met else "shut"
        missing = f"; {gate.missing}" if gate.missing else ""
        click.echo(f"     {mark}  {gate.name}: {gate.present} ({gate.wanted}){missing}")
    if rung.recommendation:
        click.echo(f"   {rung.recommendation}")
