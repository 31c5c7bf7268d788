"""The servers' side of the benchmark: the daemon with its API, and a bare echo.

Each is in a process of its own, for in one they would wake each other: all event loops of a process
share gRPC's queue. The parent says when the daemon ticks, and is told how long that took.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import time
from collections.abc import Callable, Iterator
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
    """What the parent holds: a socket to call, and what it may ask of the process."""

    def __init__(self, address: str, pipe: Connection) -> None:
        self.address = address
        self._pipe = pipe

    def ask(self, what: str, argument: Any = None) -> Any:
        """``cpu``: seconds so far; of the daemon ``ticks`` N: their seconds; ``rss``: bytes held.

        Of the echo ``reply`` BYTES: its answer from now on. ``EOFError`` when the process is gone.
        """
        self._pipe.send((what, argument))
        return self._pipe.recv()


@contextmanager
def child(serve: Callable[[Path, str, Connection], None], folder: Path) -> Iterator[Child]:
    """A process that does ``serve`` from ``folder`` until the block ends."""
    ours, theirs = multiprocessing.Pipe()
    address = f"unix:{folder}/{serve.__name__}.sock"
    # Not a fork: gRPC's threads do not live on in one.
    context = multiprocessing.get_context("spawn")
    process = context.Process(target=serve, args=(folder, address, theirs))
    process.start()
    theirs.close()
    try:
        served = Child(address, ours)
        served.ask("cpu")
        yield served
    finally:
        ours.close()
        process.join()


def api(folder: Path, address: str, pipe: Connection) -> None:
    """The daemon, until the parent has gone."""
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
    server = Server(controller, scaler, address, entrance)
    try:
        while True:
            what, argument = pipe.recv()
            pipe.send(_answer(daemon, what, argument))
    except EOFError:
        pass
    finally:
        server.close()
        ledger.close()
        daemon.journal.close()


def _answer(daemon: Daemon, what: str, argument: Any) -> Any:
    if what == "ticks":
        return daemon.pace(argument, BEAT_S).wall_s
    if what == "rss":
        return _rss_bytes()
    return time.process_time()


def _rss_bytes() -> int:
    pages = Path("/proc/self/statm").read_text().split()[1]
    return int(pages) * 4096


def _subject(config: ServiceConfig) -> Subject:
    return Subject(config.profile, config.limits, config.spec.miss_price)


def echo(_folder: Path, address: str, pipe: Connection) -> None:
    """A bare asyncio server that answers every request with the same bytes."""
    asyncio.run(_echo(address, pipe))


async def _echo(address: str, pipe: Connection) -> None:
    reply = b""

    async def answer(_request: bytes, _context: Any) -> bytes:
        return reply

    server = grpc.aio.server()
    method: Any = grpc.unary_unary_rpc_method_handler(answer)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(ECHO, {"Call": method}),))
    server.add_insecure_port(address)
    await server.start()
    try:
        while True:
            what, argument = await asyncio.to_thread(pipe.recv)
            if what == "reply":
                reply = argument
            pipe.send(time.process_time())
    except EOFError:
        await server.stop(0.0)
