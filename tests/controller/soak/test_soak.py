"""A minute of hard work for a real daemon over a real stage: flat memory, and no tick is missed.

``make soak`` does ten minutes of it.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import psutil
import pytest

from trimtab_controller.journal import read

from .clients import Books, capacity_rps, slow, steady, storms, vanishing

pytestmark = [pytest.mark.stage, pytest.mark.timeout(900)]
log = logging.getLogger(__name__)

SOAK_S = float(os.environ.get("TRIMTAB_SOAK_S", "60"))
# Until then every kind of client has come, and what is kept for them is there.
WARM_S = 20.0
MEASURE_S = 5.0
LOAD = 0.8
TICK_S = 1.0
SAMPLE_S = 1.0
# Of the memory; the allocator gives nothing back that is in pieces.
GROWTH = 0.1
# Connections that come and go at the moment of counting.
SPARE_FILES = 250


async def soaked(path: Path, daemon: psutil.Process, books: Books) -> dict[str, Any]:
    """All clients for `SOAK_S`: the load, the daemon's memory and files, the machine's stalls."""
    address = f"unix:{path}"
    bad = slow(address), vanishing(address, path, books), storms(address, books)
    clients = [asyncio.create_task(client) for client in bad]
    rps = LOAD * await capacity_rps(address, MEASURE_S)
    clients.append(asyncio.create_task(steady(address, rps, books)))
    begun_s, rss, files, stalls = time.time(), [], [], 0
    while time.time() < begun_s + WARM_S + SOAK_S:
        asleep_s = time.monotonic()
        await asyncio.sleep(SAMPLE_S)
        # Whoever cannot keep its own second here saw the machine stall, or is too busy itself.
        stalls += time.monotonic() - asleep_s > 2.0 * SAMPLE_S
        if time.time() >= begun_s + WARM_S:
            rss.append(daemon.memory_info().rss)
            files.append(daemon.num_fds())
        for client in clients:
            if client.done():
                client.result()
    for client in clients:
        client.cancel()
    await asyncio.gather(*clients, return_exceptions=True)
    return {"rps": rps, "begun_s": begun_s, "rss": rss, "files": files, "stalls": stalls}


def missed_ticks(journal: Path, since_s: float) -> int:
    """Beats without a tick, by the journal."""
    times_s = [entry.time_s for entry in read(journal, kinds=("tick",), since_s=since_s)]
    return sum(max(0, round((after - before) / TICK_S) - 1) for before, after in pairwise(times_s))


def test_memory_is_flat_and_no_tick_is_missed(processes: Any) -> None:
    processes.start_stage()
    daemon = processes.start_daemon()
    processes.status(lambda status: status.outcome not in ("held", ""))
    path, books = processes.folder / "d.sock", Books()
    seen = asyncio.run(soaked(path, psutil.Process(daemon.pid), books))
    log.info("MB: %s", " ".join(f"{rss / 1e6:.0f}" for rss in seen["rss"][::30]))
    third = len(seen["rss"]) // 3
    early, late = (sum(part) / third for part in (seen["rss"][:third], seen["rss"][-third:]))
    missed = missed_ticks(processes.folder / "j.db", seen["begun_s"])
    log.info(
        "%.0f s at %.0f of %.0f recommendations/s: %d answered, %d failed; %d clients vanished, "
        "%d watched and came back; %.1f MB, then %.1f MB; %d files at most; %d ticks missed",
        *(SOAK_S, seen["rps"], seen["rps"] / LOAD, books.answered, len(books.failed)),
        *(books.vanished, books.stormed, early / 1e6, late / 1e6, max(seen["files"]), missed),
    )
    assert books.failed == []
    assert books.answered > 0
    assert books.vanished > 0
    assert books.stormed > 0
    assert late < (1.0 + GROWTH) * early
    assert max(seen["files"]) < min(seen["files"]) + SPARE_FILES
    assert missed <= seen["stalls"]
