"""``trimtab tune``: what people already have, set right."""

from __future__ import annotations

import click

from trimtab_agents.tune_hpa.command import hpa
from trimtab_agents.tune_postgres.command import postgres


@click.group(commands=[hpa, postgres])
def tune() -> None:
    """Tune what people already have: an HPA on its own past, a PostgreSQL server under a load."""


if __name__ == "__main__":
    tune()
