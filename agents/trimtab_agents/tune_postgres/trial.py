"""One choice on trial: a fresh server, warmed up, then asked for some seconds."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Generator
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass
from functools import partial
from math import inf
from pathlib import Path

from trimtab_agents.search import Trying
from trimtab_agents.tune_postgres.allowance import Allowance, Cell, cell
from trimtab_agents.tune_postgres.cost import Price
from trimtab_agents.tune_postgres.server import Tools, fresh
from trimtab_agents.tune_postgres.settings import Settings
from trimtab_agents.tune_postgres.workload import Seen, Workload, play

TRIAL_S, WARM_UP_S = 4, 1
# Tables and indexes come to memory at once, not page by page as they are asked for.
READ_ALL = """SELECT sum(pg_prewarm(oid, 'read')) FROM pg_class
WHERE relkind IN ('r', 'i', 'm') AND relnamespace = 'public'::regnamespace"""


@dataclass(frozen=True, slots=True)
class Rig:
    """What every trial needs: a loaded data directory in ``folder``, and what is asked of it.

    bound_s: an answer that takes longer is late; held: whether allowances are enforced;
    trial_s: how long a choice is measured.
    """

    tools: Tools
    folder: Path
    data: Path
    workload: Workload
    bound_s: float
    held: bool
    trial_s: int = TRIAL_S

    def seen(self, settings: Settings) -> Generator[Seen]:
        """What was seen after each second; close it when that is enough. Raises `ServerError`.

        CPU is limited once the server is warm.
        """
        with self._cell("server") as server_cell, self._cell("clients") as client_cell:
            if server_cell:
                server_cell.allow(Allowance(memory_mb=settings.memory_mb))
            lines = "".join(f"{name} = {value}\n" for name, value in settings.configuration.items())
            with fresh(self.tools, self.folder, self.data, lines, server_cell) as server:
                server.sql("-c", READ_ALL)
                ask = partial(
                    play, server, self.workload, settings.clients, bound_s=self.bound_s,
                    cell=client_cell,
                )  # fmt: skip
                deque(ask(WARM_UP_S), maxlen=0)
                if server_cell:
                    server_cell.allow(settings.allowance)
                yield from ask(self.trial_s)

    def score(self, settings: Settings, price: Price) -> float:
        """What a whole trial comes to. Raises `ServerError`."""
        *_, seen = self.seen(settings)
        return price.cents_per_million(settings, seen)

    def judged(self, trying: Trying, price: Price) -> tuple[float, bool]:
        """The score, and whether it is of a part, since it was losing. Raises `ServerError`."""
        settings, score = Settings.of(trying.choice), inf
        with closing(self.seen(settings)) as seconds:
            for second, seen in enumerate(seconds):
                score = price.cents_per_million(settings, seen)
                if second < self.trial_s - 1 and seen.answers and trying.losing(second, score):
                    return score, True
        return score, False

    def _cell(self, who: str) -> AbstractContextManager[Cell | None]:
        return cell(f"trimtab-{os.getpid()}-{who}") if self.held else nullcontext()
