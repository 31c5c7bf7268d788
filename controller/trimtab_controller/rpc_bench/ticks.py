"""A whole tick of many services: real loop, guard, journal and policy over simulated stages."""

from __future__ import annotations

import gc
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from trimtab_agents.bundle import load as load_bundle
from trimtab_agents.proposer import Proposer
from trimtab_controller.approvals import Approvals
from trimtab_controller.board import Board
from trimtab_controller.canary.canaries import Canaries
from trimtab_controller.daemon import collect_seldom
from trimtab_controller.decide import Budgeted
from trimtab_controller.drills.drills import Drills
from trimtab_controller.journal import Journal
from trimtab_controller.loop import Loop
from trimtab_controller.mandate import Mandate
from trimtab_controller.memory import recall
from trimtab_controller.protocols import Policy
from trimtab_controller.rpc_bench.city import MISS_PRICE, TICK_S, City, Clock, configured
from trimtab_controller.sense import Eyes
from trimtab_controller.service import Service
from trimtab_controller.variants.rounds import Rounds
from trimtab_envs.codec import DECISION_S
from trimtab_guard.limits import ClusterLimits
from trimtab_guard.model import Proposal, State
from trimtab_guard.modes import Mode

SEED = 0


# Ticks between two decisions of the policy.
DECISION_TICKS = round(DECISION_S / TICK_S)
# Until then memories are as good as empty, and the guard has little to remember.
WARM_TICKS = 2 * DECISION_TICKS


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds of the processor that ticks took, and the policy's part; ``wall_s``: as they pass."""

    tick_s: tuple[float, ...]
    inference_s: tuple[float, ...]
    wall_s: tuple[float, ...]

    def deciding(self) -> Pace:
        """Only the ticks in which the policy decides, if the first one was such."""
        parts = (self.tick_s, self.inference_s, self.wall_s)
        return Pace(*(part[::DECISION_TICKS] for part in parts))


class Timed:
    """A policy that keeps how many seconds of the processor its answers took."""

    def __init__(self, policy: Policy) -> None:
        self.name = policy.name
        self.seconds: list[float] = []
        self._policy = policy

    def propose(self, states: Sequence[State]) -> list[Proposal]:
        """As the policy's."""
        begun_s = time.thread_time()
        proposals = self._policy.propose(states)
        self.seconds.append(time.thread_time() - begun_s)
        return proposals


class Daemon:
    """The daemon's own parts around a `City`, with a journal in ``folder``.

    Everything is guarded: what the default limits allow is written.
    """

    def __init__(self, folder: Path, services: int, backends: int) -> None:
        self.configs = configs = configured(services, backends)
        self.clock = Clock()
        self.city = City(configs, self.clock, np.random.default_rng(SEED))
        self.journal = Journal.open(folder / "journal.db")
        mandate = Mandate(
            self.journal,
            {config.name: config for config in configs},
            Mode.GUARDED,
            folder / "stop",
            self.clock(),
        )
        approvals = Approvals(self.journal, 900.0, 3600.0)
        canaries = Canaries(self.journal, self.clock)
        rounds = Rounds(self.journal, self.clock, {})
        drills = Drills(self.journal)
        self.board = Board(
            mandate, approvals, canaries, rounds, drills, ClusterLimits(), self.clock
        )
        past = recall(self.journal, [config.name for config in configs])
        parts = [
            Service(
                config,
                home,
                Eyes(config.name, config.backends, home, home, self.clock),
                past.memories[config.name],
                self.journal,
                self.board,
                self.clock,
                past.seen(config.name, config.backends),
            )
            for config, home in zip(configs, self.city.homes, strict=True)
        ]
        profiles = [config.profile for config in configs]
        prices = [MISS_PRICE] * len(configs)
        self.policy = Timed(Proposer(load_bundle(), profiles, prices, TICK_S))
        budgeted = Budgeted(self.policy, 10 * TICK_S)
        self.loop = Loop(parts, budgeted, self.journal, self.board, self.clock)

    def pace(self, ticks: int, beat_s: float = 0.0) -> Pace:
        """Let so many ticks pass, at most one in ``beat_s`` seconds."""
        before, cpu_s, wall_s = len(self.policy.seconds), [], []
        for _ in range(ticks):
            self.city.pass_tick()
            began_s, busy_s = time.perf_counter(), time.process_time()
            self.loop.tick()
            cpu_s.append(time.process_time() - busy_s)
            wall_s.append(time.perf_counter() - began_s)
            time.sleep(max(0.0, beat_s - wall_s[-1]))
        return Pace(tuple(cpu_s), tuple(self.policy.seconds[before:]), tuple(wall_s))


def measured(folder: Path, services: int, ticks: int) -> Pace:
    """The ticks in which the policy decides, of so many after those that warm up."""
    daemon = Daemon(folder, services, 1)
    before = gc.get_threshold()
    collect_seldom(services)
    try:
        daemon.pace(WARM_TICKS)
        return daemon.pace(ticks).deciding()
    finally:
        gc.unfreeze()
        gc.set_threshold(*before)
        daemon.journal.close()
