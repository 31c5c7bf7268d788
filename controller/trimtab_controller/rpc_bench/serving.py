"""The server's side of the benchmark, in a process of its own: the daemon's API, and a bare echo.

The parent says when it ticks, and is told how long that took.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import grpc

from trimtab_agents.bundle import load as load_bundle
from trimtab_agents.proposer import Proposer
from trimtab_controller.api import Controller
from trimtab_controller.config import ServiceConfig
from trimtab_controller.decide import Budgeted
from trimtab_controller.evidence.office import Office
from trimtab_controller.explain.changes import Changes
from trimtab_controller.explain.explanation import Explainer
from trimtab_controller.keda.scaler import ExternalScaler
from trimtab_controller.recommend.ledger import Ledger
from trimtab_controller.recommend.recommenders import Recommenders
from trimtab_controller.recommend.subject import Subject
from trimtab_controller.rpc_bench.ticks import Daemon
from trimtab_controller.security.entrance import Entrance
from trimtab_controller.security.spec import SecuritySpec
from trimtab_controller.server import Server

# Services that the daemon steers beside what it recommends.
SERVICES = 100
BEAT_S = 0.5
ANSWER_S = 1.0
ECHO = "trimtab.bench.Echo"


class Child:
    """What the parent holds: sockets to call, and what it may ask of the process."""

    def __init__(self, folder: Path, pipe: Connection) -> None:
        self.api = f"unix:{folder}/api.sock"
        self.echo = f"unix:{folder}/echo.sock"
        self._pipe = pipe

    def ask(self, what: str, argument: Any = None) -> Any:
        """``ticks`` N: their seconds; ``cpu``: seconds so far; ``rss``: bytes held now.

        ``reply`` BYTES: what the echo answers from now on. ``EOFError`` when the process is gone.
        """
        self._pipe.send((what, argument))
        return self._pipe.recv()


@contextmanager
def child(folder: Path) -> Iterator[Child]:
    """A process that serves from ``folder`` until the block ends."""
    ours, theirs = multiprocessing.Pipe()
    # Not a fork: gRPC's threads do not live on in one.
    process = multiprocessing.get_context("spawn").Process(target=serve, args=(folder, theirs))
    process.start()
    theirs.close()
    try:
        served = Child(folder, ours)
        served.ask("cpu")
        yield served
    finally:
        ours.close()
        process.join()


def serve(folder: Path, pipe: Connection) -> None:
    """Serve until the parent has gone."""
    daemon = Daemon(folder, SERVICES, 1)
    ledger, bundle = Ledger(daemon.journal, time.time), load_bundle()

    def policy(subject: Subject) -> Budgeted:
        parts = [subject.profile], [subject.miss_price], subject.limits.interval_s
        return Budgeted(Proposer(bundle.fresh(), *parts), ANSWER_S)

    subjects = {config.name: _subject(config) for config in daemon.configs}
    recommenders = Recommenders(subjects, policy, ledger, time.time)
    entrance = Entrance(
        SecuritySpec(), daemon.board.approvals.service_of, daemon.journal, time.time
    )
    explainer = Explainer(daemon.journal, subjects, bundle)
    changes = Changes(daemon.journal, subjects, time.time)
    office = Office(folder / "trimtab.yaml", daemon.journal.location, time.time)
    controller = Controller(daemon.board, recommenders, {}, explainer, changes, office, time.time)
    scaler = ExternalScaler(daemon.board, time.time)
    server = Server(controller, scaler, f"unix:{folder}/api.sock", entrance)
    echo = Echo(f"unix:{folder}/echo.sock")
    try:
        while True:
            what, argument = pipe.recv()
            pipe.send(_answer(daemon, echo, what, argument))
    except EOFError:
        pass
    finally:
        echo.close()
        server.close()
        ledger.close()
        daemon.journal.close()


def _answer(daemon: Daemon, echo: Echo, what: str, argument: Any) -> Any:
    if what == "ticks":
        return daemon.pace(argument, BEAT_S).wall_s
    if what == "reply":
        echo.reply = argument
    if what == "rss":
        return _rss_bytes()
    return time.process_time()


def _rss_bytes() -> int:
    pages = Path("/proc/self/statm").read_text().split()[1]
    return int(pages) * 4096


def _subject(config: ServiceConfig) -> Subject:
    return Subject(config.profile, config.limits, config.spec.miss_price)


class Echo:
    """A bare asyncio server that answers every request with the same bytes."""

    def __init__(self, address: str) -> None:
        self.reply = b""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._serve(address), self._loop).result()

    async def _serve(self, address: str) -> None:
        self._server = grpc.aio.server()
        method: Any = grpc.unary_unary_rpc_method_handler(self._answer)
        handler = grpc.method_handlers_generic_handler(ECHO, {"Call": method})
        self._server.add_generic_rpc_handlers((handler,))
        self._server.add_insecure_port(address)
        await self._server.start()

    async def _answer(self, _request: bytes, _context: Any) -> bytes:
        return self.reply

    def close(self) -> None:
        """Take no more calls."""
        asyncio.run_coroutine_threadsafe(self._server.stop(0.0), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
