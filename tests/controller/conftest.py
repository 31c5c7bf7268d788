"""Two worlds: the stage's own rules in memory with a clock that tests move, and real processes."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import grpc
import pytest

from trimtab_agents.bundle import PpoPolicy
from trimtab_agents.bundle import load as load_bundle
from trimtab_controller.api import Controller
from trimtab_controller.approvals import Approvals
from trimtab_controller.board import Board, Status
from trimtab_controller.canary.canaries import Canaries
from trimtab_controller.config import ServiceConfig, load
from trimtab_controller.daemon import newest_epoch
from trimtab_controller.decide import Budgeted
from trimtab_controller.drills.drills import Drills
from trimtab_controller.drills.lens import Lens
from trimtab_controller.evidence.office import Office
from trimtab_controller.explain.changes import Changes
from trimtab_controller.explain.explanation import Explainer
from trimtab_controller.journal import Journal
from trimtab_controller.keda.scaler import ExternalScaler
from trimtab_controller.loop import Loop
from trimtab_controller.mandate import Mandate
from trimtab_controller.memory import Memory, Recollection, recall
from trimtab_controller.protocols import (
    BackendReport,
    Intent,
    SensorError,
    Signal,
    StageError,
    StageMovedError,
    StageRefusedError,
    StageReport,
)
from trimtab_controller.recommend.ledger import Ledger
from trimtab_controller.recommend.recommenders import Recommenders
from trimtab_controller.recommend.subject import configured
from trimtab_controller.security.entrance import Entrance
from trimtab_controller.security.spec import SecuritySpec
from trimtab_controller.sense import Eyes
from trimtab_controller.sensors.pushed import PushedSensor
from trimtab_controller.server import Server
from trimtab_controller.service import Service
from trimtab_controller.variants.mirror import Mirror
from trimtab_controller.variants.rounds import Rounds
from trimtab_guard.authority import NO_EPOCH, Epoch
from trimtab_guard.model import Proposal, Reading, State, Want
from trimtab_guard.modes import Mode
from trimtab_proto.v1 import controller_pb2 as pb
from trimtab_proto.v1 import controller_pb2_grpc, stage_pb2, stage_pb2_grpc
from trimtab_sim.profile import Profile
from trimtab_stage.spec import Ask, InvalidAskError, Spec

DEMO = str(files("trimtab_controller") / "demo.yaml")
PATIENCE_S = 30.0
START_S = 1_800_000_000.0
OPEN = SecuritySpec()
YAML = """\
speed: 60
tick_s: 1
services:
  - name: web
    stage: {socket: /nowhere}
    ceiling: guarded
    slo: {latency_s: 0.3, share: 0.99}
    miss_price: 50
    backends:
      - {name: a, concurrency: 4, service_time_s: 0.05, startup_mean_s: 2,
         min_replicas: 1, max_replicas: 12}
      - {name: b, concurrency: 4, service_time_s: 0.05, startup_mean_s: 5,
         min_replicas: 1, max_replicas: 12}
"""


@dataclass
class Clock:
    now_s: float = START_S

    def __call__(self) -> float:
        return self.now_s


class MemoryStage:
    """The stage's real rules for writes (`Spec`), with replicas that are ready at once."""

    def __init__(self, profile: Profile, clock: Clock) -> None:
        self.profile = profile
        self.spec = Spec.initial(self.profile)
        self.hpa = dict.fromkeys(self.spec.floors, 1)
        self.clock = clock
        self.down = self.rolling = False
        self.replies: dict[str, str] = {}
        self.calls = 0
        # Called before and after a write takes effect; may raise.
        self.before: Callable[[], None] = lambda: None
        self.after: Callable[[], None] = lambda: None

    @property
    def writes(self) -> int:
        """Accepted writes of trimtab."""
        return len(self.replies)

    @property
    def wanted(self) -> dict[str, int]:
        return {name: max(floor, self.hpa[name]) for name, floor in self.spec.floors.items()}

    def status(self) -> StageReport:
        if self.down:
            raise StageError("stage at /nowhere: UNAVAILABLE")
        backends = tuple(
            BackendReport(name, n, 0, n, 0, self.spec.floors[name], self.spec.weights[name])
            for name, n in self.wanted.items()
        )
        version, writer = str(self.spec.version), self.spec.writer
        epoch, rolling = self.spec.epoch, self.rolling
        return StageReport(self.clock(), version, writer, backends, "", epoch, rolling)

    def apply(self, intent: Intent) -> str:
        self.calls += 1
        if self.down:
            raise StageError("stage at /nowhere: UNAVAILABLE")
        self.before()
        if intent.request_id not in self.replies:
            if intent.version != str(self.spec.version):
                raise StageMovedError(f"{self.spec.writer} wrote last")
            if refusal := self.spec.refusal(intent.epoch):
                raise StageMovedError(refusal)
            asks = [Ask(ask.backend, ask.floor, ask.weight) for ask in intent.asks]
            self.write("trimtab", *asks, epoch=intent.epoch)
            self.replies[intent.request_id] = str(self.spec.version)
        self.after()
        return self.replies[intent.request_id]

    def write(self, writer: str, *asks: Ask, epoch: Epoch = NO_EPOCH) -> None:
        try:
            self.spec = self.spec.written(asks, writer, self.profile, self.wanted, epoch)
        except InvalidAskError as error:
            raise StageRefusedError(str(error)) from error


class MemorySensor:
    """Reads what the test says, as of now."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.error = ""
        self.values: dict[Signal, float] = {
            **{("rate_rps", name): 50.0 for name in "ab"},
            **{("in_flight", name): 2.0 for name in "ab"},
        }

    def read(self, _report: StageReport) -> Mapping[Signal, Reading]:
        if self.error:
            raise SensorError(self.error)
        return {key: Reading(value, self.clock()) for key, value in self.values.items()}


@dataclass
class FixedPolicy:
    """Wants what the test says; ``think`` runs first and may raise or take time."""

    wants: tuple[Want, ...] = (Want("a", 1, 0.5), Want("b", 1, 0.5))
    name: str = "fixed"
    think: Callable[[], None] = lambda: None
    seen: list[State] = field(default_factory=list)
    # What it says that it sizes for, and how long until that is due.
    demand_rps: float = math.nan
    horizon_s: float = math.nan

    def propose(self, states: Sequence[State]) -> list[Proposal]:
        self.think()
        self.seen += states
        return [self._proposal(state) for state in states]

    def _proposal(self, state: State) -> Proposal:
        return Proposal(
            service=state.service,
            policy=self.name,
            time_s=state.time_s,
            backends=self.wants,
            why="because",
            demand_rps=self.demand_rps,
            due_s=state.time_s + self.horizon_s,
        )


class World:
    """One service from end to end. ``restart`` is a new process on the same journal.

    ``beside`` another one: the same stage and clock, but a journal of its own.
    """

    def __init__(self, folder: Path, mode: Mode, beside: World | None = None) -> None:
        self.folder, self.start = folder, mode
        self.configure(YAML)
        self.clock = beside.clock if beside else Clock()
        self.stages: dict[str, MemoryStage] = beside.stages if beside else {}
        self.mirrors: dict[str, Mirror] = {}
        self.lives = 0
        self.not_leading = ""
        self.sensor = MemorySensor(self.clock)
        self.policy = FixedPolicy()
        self.boot()

    def configure(self, text: str) -> None:
        (self.folder / "trimtab.yaml").write_text(text)
        self.config = load(self.folder / "trimtab.yaml")

    def reload(self, old: str, new: str) -> None:
        """Change the file while the world lives."""
        self.configure((self.folder / "trimtab.yaml").read_text().replace(old, new))
        self.mandate.configs = self.config.by_name
        self.board.cluster = self.config.cluster
        for service in self.services:
            service.config = self.config.by_name[service.name]

    def boot(self) -> None:
        services = self.config.services
        self.lives += 1
        self.journal = Journal.open(self.folder / "journal.db")
        self.mandate = Mandate(
            self.journal,
            self.config.by_name,
            self.start,
            stop_file=self.folder / "stop",
            now_s=self.clock(),
            leader=f"{self.folder.name}, life {self.lives}",
            newest_epoch=newest_epoch(self.stages.values()),
            not_leading=lambda: self.not_leading,
        )
        self.approvals = Approvals(self.journal, wait_s=900.0, grant_s=3600.0)
        self.canaries = Canaries(self.journal, self.clock)
        self.rounds = Rounds(self.journal, self.clock, self.mirrors)
        self.drills = Drills(self.journal)
        self.board = Board(
            self.mandate,
            self.approvals,
            self.canaries,
            self.rounds,
            self.drills,
            self.config.cluster,
            self.clock,
        )
        past = recall(self.journal, list(self.config.by_name))
        self.services = [self.service(service, past) for service in services]
        policy = Budgeted(self.policy, budget_s=0.2)
        self.loop = Loop(self.services, policy, self.journal, self.board, self.clock)

    def service(self, config: ServiceConfig, past: Recollection) -> Service:
        stage = self.stages.setdefault(config.name, MemoryStage(config.profile, self.clock))
        lens = Lens(stage, self.sensor, self.clock)
        self.drills.attach(config.name, lens)
        eyes = Eyes(config.name, config.backends, lens, lens, self.clock)
        memory, seen = past.memories[config.name], past.seen(config.name, config.backends)
        return Service(config, lens, eyes, memory, self.journal, self.board, self.clock, seen)

    @property
    def stage(self) -> MemoryStage:
        return self.stages["web"]

    @property
    def memory(self) -> Memory:
        return self.services[0].memory

    def restart(self, after_s: float = 1.0) -> None:
        self.journal.close()
        self.clock.now_s += after_s
        self.boot()

    def tick(self, times: int = 1) -> Status:
        for _ in range(times):
            self.clock.now_s += 1.0
            self.loop.tick()
        return self.board.latest()[1][0]

    def want(self, a: int = 1, b: int = 1, share_a: float = 0.5) -> None:
        self.policy.wants = (Want("a", a, share_a), Want("b", b, 1 - share_a))

    def serve(self, address: str, security: SecuritySpec = OPEN) -> Served:
        return Served(self, address, security)

    @property
    def floors(self) -> tuple[int, int]:
        return self.stage.spec.floors["a"], self.stage.spec.floors["b"]


@cache
def bundle() -> PpoPolicy:
    """The shipped policy, loaded once."""
    return load_bundle()


class Served:
    """A world's API at an address, for those whom ``security`` lets in."""

    def __init__(self, world: World, address: str, security: SecuritySpec) -> None:
        self.ledger = Ledger(world.journal, world.clock)
        self.recommenders = Recommenders(
            configured(world.config),
            lambda _: Budgeted(world.policy, 0.2),
            self.ledger,
            world.clock,
        )
        sensor = world.sensor
        self.pushed = {"web": sensor} if isinstance(sensor, PushedSensor) else {}
        explainer = Explainer(world.journal, self.recommenders.subjects, bundle())
        changes = Changes(world.journal, self.recommenders.subjects, world.clock)
        file = world.folder / "trimtab.yaml"
        self.office = Office(file, world.journal.location, world.clock)
        controller = Controller(
            world.board,
            self.recommenders,
            self.pushed,
            explainer,
            changes,
            self.office,
            world.clock,
        )
        service_of = world.approvals.service_of
        self.entrance = Entrance(security, service_of, world.journal, world.clock)
        scaler = ExternalScaler(world.board, world.clock)
        self.server = Server(controller, scaler, address, self.entrance)

    def close(self) -> None:
        self.server.close()
        self.office.close()
        self.entrance.close()
        self.ledger.close()


@pytest.fixture
def new_world(tmp_path: Path) -> Iterator[Callable[[Mode], World]]:
    """Make a world in a mode; its guard has watched long enough to let go down, too."""
    worlds: list[World] = []

    def make(mode: Mode = Mode.GUARDED, warm: bool = True) -> World:
        worlds.append(World(tmp_path, mode))
        if warm:
            worlds[0].tick(9)
        return worlds[0]

    yield make
    for world in worlds:
        world.journal.close()


@pytest.fixture
def world(new_world: Callable[[Mode], World]) -> World:
    """One guarded and warm world."""
    return new_world(Mode.GUARDED)


class Processes:
    """A stage and a daemon in one folder; all are gone at the end."""

    demo = DEMO

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.running: list[subprocess.Popen[bytes]] = []
        self.channel = grpc.insecure_channel(f"unix:{folder}/s.sock")
        self.stage = stage_pb2_grpc.StageStub(self.channel)

    def start(self, module: str, *arguments: str) -> subprocess.Popen[bytes]:
        with (self.folder / f"{module}.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", module, *arguments], stdout=log, stderr=log
            )
        self.running.append(process)
        return process

    def start_stage(self, *more: str) -> subprocess.Popen[bytes]:
        options = ("--dir", f"{self.folder}/st", "--socket", f"{self.folder}/s.sock")
        return self.start("trimtab_stage", "--port", "0", *options, *more)

    def start_daemon(self, *more: str) -> subprocess.Popen[bytes]:
        options = ("--config", self.demo, "--journal", f"{self.folder}/j.db")
        options += ("--listen", f"unix:{self.folder}/d.sock")
        options += ("--stage-socket", f"{self.folder}/s.sock", "--mode", "guarded")
        return self.start("trimtab_controller.daemon", *options, *more)

    def status(
        self, wanted: Callable[[pb.ServiceStatus], bool], of: str = "d.sock"
    ) -> pb.ServiceStatus:
        """The first status that is as wanted.

        On a connection of its own: one to a daemon that was just killed may look alive still.
        """
        own = (("grpc.use_local_subchannel_pool", 1),)
        with grpc.insecure_channel(f"unix:{self.folder}/{of}", own) as channel:
            stream = controller_pb2_grpc.ControllerStub(channel).WatchDecisions(
                pb.WatchDecisionsRequest(), timeout=PATIENCE_S, wait_for_ready=True
            )
            return next(status for status in stream if wanted(status))

    def set_mode(self, mode: int) -> None:
        """As a human would, of the first daemon."""
        with grpc.insecure_channel(f"unix:{self.folder}/d.sock") as channel:
            request = pb.SetModeRequest(service="web", mode=mode, who="ann")
            controller_pb2_grpc.ControllerStub(channel).SetMode(request, timeout=PATIENCE_S)

    def stage_status(self) -> Any:
        return self.stage.GetStatus(
            stage_pb2.GetStatusRequest(), timeout=PATIENCE_S, wait_for_ready=True
        )

    def end(self) -> None:
        self.channel.close()
        for process in reversed(self.running):
            process.terminate()
        for process in reversed(self.running):
            process.wait(PATIENCE_S)


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Processes]:
    processes = Processes(tmp_path)
    yield processes
    processes.end()
