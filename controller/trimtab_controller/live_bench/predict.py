"""What the simulator says of a run: the daemon itself steers the model of the stage."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import fmean, stdev
from tempfile import TemporaryDirectory
from typing import NamedTuple

from trimtab_agents.bundle import PpoPolicy
from trimtab_agents.proposer import Proposer
from trimtab_controller.approvals import Approvals
from trimtab_controller.board import Board
from trimtab_controller.canary.canaries import Canaries
from trimtab_controller.config import Config
from trimtab_controller.drills.drills import Drills
from trimtab_controller.journal import Journal
from trimtab_controller.live_bench.books import WARM_UP_S, Score
from trimtab_controller.live_bench.model import TICK_S, ModelSensor, ModelStage
from trimtab_controller.loop import Loop
from trimtab_controller.mandate import Mandate
from trimtab_controller.memory import recall
from trimtab_controller.sense import Eyes
from trimtab_controller.service import Service
from trimtab_controller.variants.rounds import Rounds
from trimtab_guard.modes import Mode
from trimtab_stage.config import StageConfig
from trimtab_stage.replay import Replay


class Expected(NamedTuple):
    """The mean over seeds, and how far one seed's run lies from it (standard deviation)."""

    score: Score
    spread: Score

    @classmethod
    def of(cls, scores: list[Score]) -> Expected:
        """At least two scores."""
        fleets, misses = zip(*scores, strict=True)
        return cls(Score(fmean(fleets), fmean(misses)), Score(stdev(fleets), stdev(misses)))


def alone(stage: StageConfig, replay: Replay, seconds: float, seed: int) -> Score:
    """The HPA's run in the simulator."""
    model = _model(stage, replay, seconds, seed)
    for _ in range(_ticks(seconds)):
        model.advance()
    return model.books.score(stage.profile, seconds)


def steered(
    stage: StageConfig,
    replay: Replay,
    seconds: float,
    seed: int,
    config: Config,
    policy: PpoPolicy,
) -> Score:
    """The policy's run in the simulator, behind the guard and over the HPA.

    The daemon's beat and the trace's seconds may meet at any phase: each seed has another one.
    """
    model = _model(stage, replay, seconds, seed)
    beat = round(config.tick_s / TICK_S)
    with _daemon(config, model, policy) as loop:
        for tick in range(_ticks(seconds)):
            if (tick - seed) % beat == 0:
                loop.tick()
            model.advance()
    return model.books.score(stage.profile, seconds)


def _ticks(seconds: float) -> int:
    return math.ceil((WARM_UP_S + seconds) / TICK_S)


def _model(stage: StageConfig, replay: Replay, seconds: float, seed: int) -> ModelStage:
    return ModelStage(stage, replay, _ticks(seconds), seed)


@contextmanager
def _daemon(config: Config, model: ModelStage, policy: PpoPolicy) -> Iterator[Loop]:
    """The loop as the daemon puts it together, around the model and its clock."""
    (service,) = config.services
    clock, name, backends = model.now_s, service.name, service.backends
    proposer = Proposer(
        policy, [service.profile], [service.spec.miss_price], config.tick_s, config.speed
    )
    with TemporaryDirectory(prefix="trimtab-") as folder:
        journal = Journal.open(Path(folder) / "journal.db")
        mandate = Mandate(journal, config.by_name, Mode.GUARDED, Path(folder) / "stop", clock())
        approvals = Approvals(journal, config.approval.wait_s, config.approval.grant_s)
        canaries, rounds = Canaries(journal, clock), Rounds(journal, clock, {})
        board = Board(mandate, approvals, canaries, rounds, Drills(journal), config.cluster, clock)
        eyes = Eyes(name, backends, model, ModelSensor(model), clock)
        memory = recall(journal, [name]).memories[name]
        steered = Service(service, model, eyes, memory, journal, board, clock)
        try:
            yield Loop([steered], proposer, journal, board, clock)
        finally:
            journal.close()
