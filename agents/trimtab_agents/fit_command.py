"""``trimtab fit``: from a recording of a service to what the simulator must know of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from math import inf
from pathlib import Path
from typing import Any

import click
import numpy as np
from rich.console import Console
from rich.table import Table

from trimtab_agents.fit.estimate import Found, Service, estimate, everything
from trimtab_agents.fit.recording import RecordingError, read_recordings
from trimtab_sim.profile import BackendProfile, Profile
from trimtab_sim.profile_file import Interval, ServiceFile, Unknown, service_text
from trimtab_sim.schema import ConfigError, parse

OF_BACKEND = {field.name for field in fields(BackendProfile)} - {"name"}
OF_SERVICE = {field.name for field in fields(Profile)} - {"name", "backends"}
# What a user knows, by backend (the service's own: by an empty name) and key.
Given = dict[tuple[str, str], Any]


@click.command()
@click.argument("recording", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--name", default="service", show_default=True, help="The service's name.")
@click.option(
    "--output", type=click.Path(dir_okay=False, path_type=Path),
    help="The profile's file; default: printed.",
)  # fmt: skip
@click.option(
    "--set", "given", multiple=True, metavar="[BACKEND.]KEY=NUMBER",
    help="What you know: slo_latency_s, price, max_replicas, or what the recording cannot tell.",
)  # fmt: skip
@click.option(
    "--seed", type=click.IntRange(0), default=0, show_default=True,
    help="Of the bootstrap behind the intervals.",
)  # fmt: skip
def fit(recording: Path, name: str, output: Path | None, given: tuple[str, ...], seed: int) -> None:
    """Estimate a profile, with intervals, from RECORDING.

    RECORDING is a CSV, one row per moment and backend, as `trimtab record` writes it:

    \b
      time_s           seconds, at an even pace; some rows may lack
      backend          its name; without this column: the file's
      wanted, ready    replicas asked for, and taking traffic
      rate_rps         requests per second since the row before
      in_flight        requests inside, served and waiting
      le_0.1 … le_inf  answers since the row before within so many seconds

    What the recording cannot tell becomes the word `unknown`, with the reason below; give it
    by --set, or write it into the file.
    """
    try:
        recordings = read_recordings(recording)
    except RecordingError as error:
        raise click.ClickException(str(error)) from error
    given_values = parsed(given, [one.backend for one in recordings])
    lag_s = given_values.get(("", "metric_lag_s"))
    found = estimate(recordings, np.random.default_rng(seed), lag_s)
    Console(stderr=True).print(table(found, given_values))
    for hint in hints(found, given_values):
        click.echo(hint, err=True)
    text = profile_text(name, found, given_values)
    try:
        file = output or Path("the profile")
        _ = parse(text, file, ServiceFile)
    except ConfigError as error:
        click.echo(f"Not usable yet: {error}", err=True)
    if output is None:
        click.echo(text, nl=False)
        return
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise click.ClickException(f"{output}: {error.strerror}") from error


def parsed(given: Sequence[str], backends: Sequence[str]) -> Given:
    """What follows ``--set``; without a backend it is every one's. `click.UsageError`."""
    known: Given = {}
    for text in given:
        place, _, number = text.partition("=")
        backend, _, key = place.rpartition(".")
        of = [""] if key in OF_SERVICE else [backend] if backend else backends
        if key not in OF_SERVICE | OF_BACKEND:
            keys = ", ".join(sorted(OF_SERVICE | OF_BACKEND))
            raise click.UsageError(f"--set {text}: unknown key {key!r}: known are {keys}")
        if backend and (key in OF_SERVICE or backend not in backends):
            raise click.UsageError(f"--set {text}: {backend!r} is none of {', '.join(backends)}")
        try:
            value = float(number)
        except ValueError:
            raise click.UsageError(f"--set {text}: {number!r} is not a number") from None
        if not 0.0 <= value < inf:
            raise click.UsageError(f"--set {text}: must be 0 or more, and finite")
        known |= {(each, key): int(value) if value.is_integer() else value for each in of}
    return known


def profile_text(name: str, service: Service, given: Given) -> str:
    """The profile's file: what was found, what was given instead, and what neither tells."""
    found = {
        (backend, one.quantity): one
        for backend, one in everything(service)
        if (backend, one.quantity) not in given
    }
    told = {place: one for place, one in found.items() if one.value is not None}
    values = {place: rounded(one) for place, one in told.items()} | given

    def of(backend: str) -> dict[str, Any]:
        return {key: value for (owner, key), value in values.items() if owner == backend}

    backends = tuple(BackendProfile(backend, **of(backend)) for backend in service.backends)
    return service_text(
        Profile(name, backends, **of("")),
        tuple(
            Interval(quantity, significant(one.low), significant(one.high), backend)
            for (backend, quantity), one in told.items()
        ),
        tuple(
            Unknown(quantity, one.why, backend)
            for (backend, quantity), one in found.items()
            if one.value is None
        ),
    )


def rounded(one: Found) -> float | int:
    """No more digits than anybody believes; slots are whole."""
    value = significant(one.value)
    return int(value) if one.quantity == "concurrency" else value


def significant(value: float | None) -> float:
    """Four digits."""
    return float(f"{value:.4g}")


def table(service: Service, given: Given) -> Table:
    """What was found, for a human."""
    shown = Table("backend", "quantity", "estimate", "90 % interval")
    for backend, one in everything(service):
        if (backend, one.quantity) in given:
            cells = f"{given[backend, one.quantity]:g}", "given"
        elif one.value is None:
            cells = "unknown", one.why
        else:
            cells = f"{one.value:.4g}", f"{one.low:.4g} to {one.high:.4g}"
        shown.add_row(backend, one.quantity, *cells)
    return shown


def hints(service: Service, given: Given) -> list[str]:
    """What would tell better what was found, a line each."""
    return [
        " ".join(filter(None, (backend, f"{one.quantity}: {one.why}")))
        for backend, one in everything(service)
        if one.value is not None and one.why and (backend, one.quantity) not in given
    ]


if __name__ == "__main__":
    fit()
