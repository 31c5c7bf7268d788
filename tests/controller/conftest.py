"""A small world for the loop: the stage's own rules in memory, and a clock that tests move."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from trimtab_controller.approvals import Approvals
from trimtab_controller.board import Board, Status
from trimtab_controller.config import Config, load
from trimtab_controller.decide import Budgeted
from trimtab_controller.journal import Journal
from trimtab_controller.loop import Loop, Service
from trimtab_controller.mandate import Mandate
from trimtab_controller.memory import recall
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
from trimtab_controller.sense import Eyes
from trimtab_guard.model import Proposal, Reading, State, Want
from trimtab_guard.modes import Mode
from trimtab_stage.spec import Ask, InvalidAskError, Spec

START_S = 1_800_000_000.0
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

    def __init__(self, config: Config, clock: Clock) -> None:
        self.profile = config.services[0].profile
        self.spec = Spec.initial(self.profile)
        self.hpa = dict.fromkeys(self.spec.floors, 1)
        self.clock = clock
        self.down = False
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
        return StageReport(self.clock(), str(self.spec.version), self.spec.writer, backends, "")

    def apply(self, intent: Intent) -> str:
        self.calls += 1
        if self.down:
            raise StageError("stage at /nowhere: UNAVAILABLE")
        self.before()
        if intent.request_id not in self.replies:
            if intent.version != str(self.spec.version):
                raise StageMovedError(f"{self.spec.writer} wrote last")
            asks = [Ask(ask.backend, ask.floor, ask.weight) for ask in intent.asks]
            self.write("trimtab", *asks)
            self.replies[intent.request_id] = str(self.spec.version)
        self.after()
        return self.replies[intent.request_id]

    def write(self, writer: str, *asks: Ask) -> None:
        try:
            self.spec = self.spec.written(asks, writer, self.profile, self.wanted)
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

    def propose(self, states: Sequence[State]) -> list[Proposal]:
        self.think()
        self.seen += states
        return [Proposal(s.service, self.name, s.time_s, self.wants, "because") for s in states]


class World:
    """One service from end to end. ``restart`` is a new process on the same journal."""

    def __init__(self, folder: Path, mode: Mode) -> None:
        self.folder, self.start = folder, mode
        self.configure(YAML)
        self.clock = Clock()
        self.stage = MemoryStage(self.config, self.clock)
        self.sensor = MemorySensor(self.clock)
        self.policy = FixedPolicy()
        self.boot()

    def configure(self, text: str) -> None:
        (self.folder / "trimtab.yaml").write_text(text)
        self.config = load(self.folder / "trimtab.yaml")

    def boot(self) -> None:
        service = self.config.services[0]
        self.journal = Journal.open(self.folder / "journal.db")
        self.mandate = Mandate(
            self.journal, {"web": service.spec.ceiling}, self.start, self.folder / "stop"
        )
        self.approvals = Approvals(self.journal, wait_s=900.0, grant_s=3600.0)
        self.board = Board(self.mandate, self.approvals)
        self.memory = recall(self.journal, ["web"]).memories["web"]
        eyes = Eyes("web", service.backends, self.stage, self.sensor, self.clock)
        self.service = Service(service, self.stage, eyes, self.memory)
        policy = Budgeted(self.policy, budget_s=0.2)
        self.loop = Loop([self.service], policy, self.journal, self.board, self.clock)

    def restart(self, after_s: float = 1.0) -> None:
        self.journal.close()
        self.clock.now_s += after_s
        self.boot()

    def tick(self, times: int = 1) -> Status:
        for _ in range(times):
            self.clock.now_s += 1.0
            self.loop.tick()
        return self.board.wait(-1, 0)[1][0]

    def want(self, a: int = 1, b: int = 1, share_a: float = 0.5) -> None:
        self.policy.wants = (Want("a", a, share_a), Want("b", b, 1 - share_a))

    @property
    def floors(self) -> tuple[int, int]:
        return self.stage.spec.floors["a"], self.stage.spec.floors["b"]


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
