"""`trimtab daemon`: puts the parts together and keeps the beat."""

from __future__ import annotations

import gc
import logging
import math
import os
import signal
import socket
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from trimtab_agents.bundle import BundleError, PpoPolicy
from trimtab_agents.bundle import load as load_bundle
from trimtab_agents.proposer import Proposer
from trimtab_controller.api import Controller
from trimtab_controller.approvals import Approvals
from trimtab_controller.board import Board
from trimtab_controller.canary.canaries import Canaries
from trimtab_controller.config import Config, ServiceConfig
from trimtab_controller.config import load as load_config
from trimtab_controller.decide import Budgeted
from trimtab_controller.drills.drills import Drills
from trimtab_controller.drills.lens import Lens
from trimtab_controller.election.candidate import Candidate, LeadershipLostError
from trimtab_controller.election.start import stand, while_leading
from trimtab_controller.evidence.office import Office
from trimtab_controller.explain.changes import Changes
from trimtab_controller.explain.explanation import Explainer
from trimtab_controller.foresight.foresight import Foresight, Lookout
from trimtab_controller.health import Health
from trimtab_controller.journal import Journal, JournalError, is_url
from trimtab_controller.keda.scaler import ExternalScaler
from trimtab_controller.loop import Loop
from trimtab_controller.mandate import Mandate
from trimtab_controller.memory import REWATCHED_TICKS, Recollection, recall
from trimtab_controller.protocols import Policy, PolicyError, Sensor, Stage, StageError
from trimtab_controller.recommend.ledger import Ledger
from trimtab_controller.recommend.recommenders import Recommenders
from trimtab_controller.recommend.subject import Subject, configured
from trimtab_controller.reload import Reloader
from trimtab_controller.retention import Keeper
from trimtab_controller.security.addresses import AddressError
from trimtab_controller.security.entrance import Entrance
from trimtab_controller.sense import Eyes
from trimtab_controller.sensors import start as sensing
from trimtab_controller.sensors.pushed import PushedSensor
from trimtab_controller.server import Server
from trimtab_controller.service import Service
from trimtab_controller.signals import Inbox
from trimtab_controller.stages import start as acting
from trimtab_controller.standby import Standby
from trimtab_controller.telemetry.logs import LogFormat, configure
from trimtab_controller.telemetry.start import start as telemetry
from trimtab_controller.variants.start import start as running
from trimtab_controller.worst_case import described
from trimtab_guard.modes import Mode
from trimtab_sim.schema import ConfigError

log = logging.getLogger(__name__)

# The policy's share of a tick; the rest belongs to sensing and writing.
POLICY_SHARE = 0.5
# How long it may think for another autoscaler.
ANSWER_S = 1.0
# What the garbage collector waits for: new objects, and collections of each younger generation.
COLLECTED_AFTER = 100_000, 20, 50
# A tick has about half as many new ones for each service, until those of the last one go.
TICK_OBJECTS = 100
ENDINGS = (signal.SIGTERM, signal.SIGINT)
REFUSALS = (ConfigError, BundleError, JournalError, AddressError, LeadershipLostError)


@dataclass(frozen=True, slots=True)
class Options:
    """The command line. ``mode`` is for services that the journal does not know yet."""

    config: Path
    journal: str
    stop_file: Path | None
    listen: str
    mode: str
    policy: Path | None
    stage_socket: str | None
    standby: bool
    health: str | None


def serve(options: Options, inbox: Inbox) -> None:
    """Run until a signal ends it; raises one of `REFUSALS`, which say what to do."""
    config = load_config(options.config)
    for line in described(config):
        log.info("%s", line)
    with ExitStack() as parts:
        health = Health(options.health, config.tick_s)
        parts.callback(health.close)
        # Who stands by has all that at hand when it is called.
        stages = acting.start(config, options.stage_socket, parts)
        bundle, subjects = load_bundle(options.policy), configured(config)
        candidate = stand(config.lease, config.kubernetes.context, parts)
        journal = _journal(options, config, bundle, inbox, candidate, health)
        if journal is None:
            return
        parts.callback(journal.close)
        parts.callback(Keeper(journal, config.journal, time.time).close)
        board = _board(config, journal, options, stages, candidate, parts)
        signal.signal(signal.SIGUSR1, lambda *_: board.mandate.halt())
        past = recall(journal, [service.name for service in config.services])
        policy = _policy(bundle, [*subjects.values()], POLICY_SHARE * config.tick_s)
        _rewatch(policy, config, past)
        ledger = Ledger(journal, time.time)
        parts.callback(ledger.close)
        recommenders = Recommenders(
            subjects, lambda subject: _policy(bundle, [subject], ANSWER_S), ledger, time.time
        )
        sensors = sensing.start(config, parts)
        services = [
            _service(each, stages[each.name], sensors[each.name], past, journal, board)
            for each in config.services
        ]
        if board.foresight:
            parts.callback(Lookout(board.foresight, lambda: board.configs).close)
        loop = Loop(services, policy, journal, board, time.time)
        pushed = {name: s for name, s in sensors.items() if isinstance(s, PushedSensor)}
        explainer = Explainer(journal, subjects, bundle)
        changes = Changes(journal, subjects, time.time)
        office = Office(
            options.config, journal.location, time.time, options.policy, config.speed, config.gates
        )
        parts.callback(office.close)
        controller = Controller(board, recommenders, pushed, explainer, changes, office, time.time)
        entrance = Entrance(config.security, board.approvals.service_of, journal, time.time)
        parts.callback(entrance.close)
        scaler = ExternalScaler(board, time.time)
        server = Server(controller, scaler, options.listen, entrance)
        parts.callback(server.close)
        log.info("policy %s steers %s", policy.name, ", ".join(each.name for each in services))
        audience = config.security.audience
        log.info("listening at %s for %s; journal %s", server.address, audience, journal.name)
        reloader = Reloader(
            options.config, config, board, services, recommenders, entrance, journal, time.time
        )
        tick = telemetry(loop.tick, config, board, journal, policy.name, entrance, parts)
        collect_seldom(len(config.services))
        tick = health.beating(while_leading(tick, candidate))
        beat(tick, config.tick_s, inbox, reloader.reload)


def collect_seldom(services: int) -> None:
    """Spare ticks of so many the search for garbage cycles: what they make is freed without it.

    With thousands of services it took a fifth of each tick.
    """
    young, *older = COLLECTED_AFTER
    gc.freeze()
    gc.set_threshold(young + TICK_OBJECTS * services, *older)


def next_due(due_s: float, now_s: float, tick_s: float) -> float:
    """The beat after ``now_s``: no drift, and beats that were missed are not made up for."""
    return due_s + (max(0, math.floor((now_s - due_s) / tick_s)) + 1) * tick_s


def beat(tick: Callable[[], None], tick_s: float, inbox: Inbox, reload: Callable[[], None]) -> None:
    """Call ``tick`` every ``tick_s`` seconds until a signal ends it, and ``reload`` on SIGHUP."""
    due_s = time.monotonic()
    while not _ended(inbox, due_s, reload):
        tick()
        due_s = next_due(due_s, time.monotonic(), tick_s)


def _ended(inbox: Inbox, due_s: float, reload: Callable[[], None]) -> bool:
    """Wait until ``due_s``, unless a signal ends it before."""
    while (number := inbox.next(due_s)) is not None:
        if number in ENDINGS:
            return True
        if number == signal.SIGHUP:
            reload()
    return False


def _journal(
    options: Options,
    config: Config,
    bundle: PpoPolicy,
    inbox: Inbox,
    candidate: Candidate | None,
    health: Health,
) -> Journal | None:
    """The journal to write; ``None`` when a signal ended the wait for it."""
    if not (options.standby or candidate):
        return Journal.open(options.journal)

    def ended(due_s: float) -> bool:
        health.beat()
        return _ended(inbox, due_s, lambda: None)

    standby = Standby(options.journal, config, options.listen, _stop_file(options), bundle)
    return standby.wait(ended, candidate)


def _board(
    config: Config,
    journal: Journal,
    options: Options,
    stages: Mapping[str, Stage],
    candidate: Candidate | None,
    parts: ExitStack,
) -> Board:
    mandate = Mandate(
        journal,
        configs=config.by_name,
        start=Mode(options.mode),
        stop_file=_stop_file(options),
        now_s=time.time(),
        leader=f"trimtab on {socket.gethostname()}, process {os.getpid()}",
        newest_epoch=newest_epoch(stages.values()),
        not_leading=candidate.barred if candidate else lambda: "",
    )
    approvals = Approvals(journal, config.approval.wait_s, config.approval.grant_s)
    canaries, rounds = Canaries(journal, time.time), running(config, journal, stages, parts)
    drills = Drills(journal)
    foresight = Foresight(journal, config.by_name, config.speed)
    return Board(mandate, approvals, canaries, rounds, drills, config.cluster, time.time, foresight)


def newest_epoch(stages: Iterable[Stage]) -> int:
    """The highest epoch that any stage has seen; one that does not answer cannot tell."""
    seen = [0]
    for stage in stages:
        with suppress(StageError):
            seen.append(stage.status().epoch.number)
    return max(seen)


def _stop_file(options: Options) -> Path:
    if options.stop_file:
        return options.stop_file
    return Path("trimtab.stop" if is_url(options.journal) else f"{options.journal}.stop")


def _policy(bundle: PpoPolicy, subjects: Sequence[Subject], budget_s: float) -> Budgeted:
    """A policy for services that share a tick and a speed, with a memory of its own."""
    proposer = Proposer(
        bundle.fresh(),
        [subject.profile for subject in subjects],
        [subject.miss_price for subject in subjects],
        subjects[0].limits.interval_s,
        subjects[0].speed,
    )
    return Budgeted(proposer, budget_s)


def _rewatch(policy: Policy, config: Config, past: Recollection) -> None:
    """Let the policy see again what it saw before a restart: an empty memory looks calm."""
    backends = {service.name: service.backends for service in config.services}
    for tick in past.ticks[-REWATCHED_TICKS:]:
        seen = {name: tuple(b.name for b in state.backends) for name, state in tick.items()}
        if seen == backends:
            with suppress(PolicyError):
                policy.propose([tick[name] for name in backends])


def _service(
    config: ServiceConfig,
    stage: Stage,
    sensor: Sensor,
    past: Recollection,
    journal: Journal,
    board: Board,
) -> Service:
    lens = Lens(stage, sensor, time.time)
    board.drills.attach(config.name, lens)
    eyes = Eyes(config.name, config.backends, lens, lens, time.time)
    memory, seen = past.memories[config.name], past.seen(config.name, config.backends)
    return Service(config, lens, eyes, memory, journal, board, time.time, seen)


@click.command(context_settings={"show_default": True, "help_option_names": ["-h", "--help"]})
@click.option(
    "--config", type=click.Path(path_type=Path, dir_okay=False), required=True, help="trimtab.yaml."
)
@click.option(
    "--journal",
    metavar="FILE|URL",
    required=True,
    help="Its memory, created when missing: a file, or postgresql://USER@HOST/DATABASE for several "
    "replicas, of which one at a time steers. Keep the password in ~/.pgpass.",
)
@click.option(
    "--stop-file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="While this file is there, nothing is written to the services.  "
    "[default: the journal's name with .stop added; with a URL, trimtab.stop in this folder]",
)
@click.option(
    "--listen",
    default="127.0.0.1:7070",
    help="HOST:PORT or unix:PATH of its gRPC API. Any host but this machine needs TLS and "
    "authentication: see `security` in trimtab.yaml.",
)
@click.option(
    "--mode",
    type=click.Choice([mode.value for mode in Mode]),
    default=Mode.SHADOW.value,
    help="For services that the journal does not know yet; never above their ceiling.",
)
@click.option(
    "--policy",
    type=click.Path(path_type=Path, file_okay=False),
    help="Policy bundle.  [default: the shipped one]",
)
@click.option(
    "--standby",
    is_flag=True,
    help="While another daemon writes the journal, wait for its end instead of refusing to start, "
    "show what that one does, and answer KEDA from its last decision. With `lease`, always.",
)
@click.option(
    "--health",
    metavar="HOST:PORT",
    help="Where a kubelet's gRPC probe may ask whether the loop goes on, and nothing else: in the "
    "clear, since probes know neither TLS nor tokens.",
)
@click.option(
    "--log-format",
    type=click.Choice([format_.value for format_ in LogFormat]),
    default=LogFormat.AUTO.value,
    help="One event a line on stderr: as JSON, or in columns for people; by itself the latter "
    "where a terminal shows it.",
)
@click.option("--stage-socket", help="Unix socket of the stage, instead of the configured one.")
def main(**options: Any) -> None:
    """Steer the services of a configuration until SIGTERM or Ctrl-C.

    SIGUSR1 stops all writes. SIGHUP reads the configuration's limits, ceilings, schedules and
    clients anew; a file that is wrong or changes more changes nothing.
    """
    configure(LogFormat(options.pop("log_format")))
    try:
        with Inbox((*ENDINGS, signal.SIGHUP)) as inbox:
            serve(Options(**options), inbox)
    except REFUSALS as error:
        raise click.ClickException(str(error)) from error


if __name__ == "__main__":
    main(prog_name="trimtab daemon")
