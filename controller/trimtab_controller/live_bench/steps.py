"""How long it takes from a step of the load to the first write of more replicas."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path

from trimtab_controller.journal import Entry
from trimtab_controller.memory import OutcomeRecord, TickRecord
from trimtab_controller.protocols import Intent
from trimtab_controller.records import unpack
from trimtab_sim.traces import HEADER

# Up stairs, each to more than all the replicas carry that a load like the last one leaves there.
RATES_RPS = (50, 250, 600)
STEPS_S = (18, 30)
END_S = 42


def write_trace(path: Path, speed: float) -> None:
    """Write the stairs as a trace that, replayed at ``speed``, has a row for each second."""
    rates = (RATES_RPS[sum(step_s <= second for step_s in STEPS_S)] for second in range(END_S))
    rows = [f"{second * speed:g},{rate}\n" for second, rate in enumerate(rates)]
    path.write_text("".join([",".join(HEADER) + "\n", *rows]))


def delays_s(raised_s: Sequence[float], began_s: float) -> list[float]:
    """Seconds from each step to the first of the ``raised_s`` before the next one, or infinity."""
    steps_s = [began_s + step_s for step_s in (*STEPS_S, END_S)]
    return [
        min((time_s for time_s in raised_s if step_s <= time_s < next_s), default=math.inf) - step_s
        for step_s, next_s in pairwise(steps_s)
    ]


def raises_s(entries: Iterable[Entry]) -> Iterator[float]:
    """When the journal's writes that raised a floor reached the stage."""
    sent: dict[str, Intent] = {}
    for entry in entries:
        if entry.kind == "outcome":
            outcome = unpack(OutcomeRecord, entry.body["service"])
            if outcome.applied and _raises(sent[outcome.request_id]):
                yield outcome.time_s
        else:
            ticks = (unpack(TickRecord, packed) for packed in entry.body["services"])
            sent |= {tick.intent.request_id: tick.intent for tick in ticks if tick.intent}


def _raises(intent: Intent) -> bool:
    floors = {want.name: want.replicas for want in intent.before}
    return any(ask.floor is not None and ask.floor > floors[ask.backend] for ask in intent.asks)
