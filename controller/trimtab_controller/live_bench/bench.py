"""The benchmark from end to end: what is to be run, what is expected of it, and what is."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from trimtab_agents.bundle import PpoPolicy
from trimtab_agents.bundle import load as load_bundle
from trimtab_controller.config import Config
from trimtab_controller.config import load as load_config
from trimtab_controller.journal import read
from trimtab_controller.live_bench import steps
from trimtab_controller.live_bench.books import WARM_UP_S, Score
from trimtab_controller.live_bench.model import TICK_S, offered
from trimtab_controller.live_bench.predict import Expected, alone, steered
from trimtab_controller.live_bench.report import HPA, PLAYERS, PPO, Result
from trimtab_controller.live_bench.watch import Progress, Run, run
from trimtab_controller.memory import REMEMBERED
from trimtab_controller.up.commands import DEMO_CONFIG, Options
from trimtab_controller.up.folder import Folder, claim
from trimtab_controller.up.supervisor import UpError
from trimtab_guard.modes import Mode
from trimtab_sim.traces import Trace, read_trace, shipped_traces
from trimtab_stage.config import DEMO, StageConfig
from trimtab_stage.replay import Replay, plan

# A real load that rises in jumps, and on which one run is still much like the next.
TRACE = shipped_traces()["azfn_ramp_a_60s"]
# What `trimtab bench calibrate` finds for a start-up of 120 s, which is two seconds here.
HPA_TARGET = 0.62
# The peak comes when so much of the run is over.
PEAK_AT = 2.0 / 3.0
SEEDS = 8
# A run begins with the replicas that an operator would leave for its first load.
OPENING_UTILISATION = 0.7
# The third run, after those of the players.
STEPS = "steps"

# Opens the progress of one part: its name, and how much there is to do.
Begin = Callable[[str, float], Progress]


@dataclass(frozen=True, slots=True)
class Choices:
    """The user's choices; ``hpa_target`` is that of the HPA when it is alone.

    Journals and logs are left in ``path``.
    """

    path: Path
    trace: Path = TRACE
    seconds: float = 100.0
    hpa_target: float = HPA_TARGET
    policy: Path | None = None
    seed: int = DEMO.seed

    def stage(self, trace: Trace) -> StageConfig:
        """The stage that is steered: the peak of its load within the run, enough at first."""
        peak_s = float(np.argmax(trace.rate_rps)) * trace.step_s
        before_s = (WARM_UP_S + PEAK_AT * self.seconds) * DEMO.speed
        start_s = max(0.0, peak_s - before_s)
        stage = replace(DEMO, trace=self.trace, start_s=start_s, port=0, seed=self.seed)
        opening_rps = offered(_replay(stage, trace), round(WARM_UP_S / TICK_S)).max()
        carried_rps = sum(b.concurrency / b.service_time_s for b in stage.profile.backends)
        replicas = math.ceil(opening_rps / (OPENING_UTILISATION * carried_rps))
        return replace(stage, initial_replicas=max(1, replicas))

    def stages(self, trace: Trace) -> dict[str, StageConfig]:
        """The stage of each player: the policy has a relaxed HPA underneath."""
        stage = self.stage(trace)
        return {HPA: replace(stage, hpa_target=self.hpa_target), PPO: stage}


@dataclass(frozen=True, slots=True)
class Trial:
    """What is run: the stage of each player, what all of them play, and who steers."""

    choices: Choices
    stages: Mapping[str, StageConfig]
    replay: Replay
    config: Config
    policy: PpoPolicy

    @classmethod
    def of(cls, choices: Choices) -> Trial:
        """Raises `BundleError`, and ``ValueError``: a trace that cannot be replayed."""
        trace = read_trace(choices.trace)
        stages = choices.stages(trace)
        replay, config = _replay(stages[PPO], trace), load_config(DEMO_CONFIG)
        return cls(choices, stages, replay, config, load_bundle(choices.policy))

    @contextmanager
    def folders(self) -> Iterator[dict[str, Folder]]:
        """Hold a folder for each run; `FolderError`."""
        with ExitStack() as held:
            names = (*PLAYERS, STEPS)
            yield {name: held.enter_context(claim(self.choices.path / name)) for name in names}


def predict(trial: Trial, begin: Begin) -> dict[str, Expected]:
    """What the simulator says of each player; ``ValueError`` when no request would be judged."""
    stages, replay, seconds = trial.stages, trial.replay, trial.choices.seconds

    def play_alone(seed: int) -> Score:
        return alone(stages[HPA], replay, seconds, seed)

    def play_steered(seed: int) -> Score:
        return steered(stages[PPO], replay, seconds, seed, trial.config, trial.policy)

    return {HPA: _expected(HPA, play_alone, begin), PPO: _expected(PPO, play_steered, begin)}


def measure(
    trial: Trial, predicted: Mapping[str, Expected], folders: Mapping[str, Folder], begin: Begin
) -> Result:
    """Run both, then step the load; `UpError`, `Interrupted`."""
    runs = {who: _live(trial, who, folders[who], begin) for who in PLAYERS}
    (service,) = trial.config.services
    return Result(
        live={who: _score(trial, who, each) for who, each in runs.items()},
        predicted=predicted,
        miss_price=service.spec.miss_price,
        actions_s=_actions_s(trial, folders[STEPS], begin),
        lag_s=max(each.stage.load.worst_lag_s for each in runs.values()),
        facts=_facts(trial, runs),
    )


def _replay(stage: StageConfig, trace: Trace) -> Replay:
    return plan(trace, stage.speed, stage.start_s, stage.peak_rps)


def _expected(who: str, play: Callable[[int], Score], begin: Begin) -> Expected:
    progress = begin(f"{who}, simulated", SEEDS)
    scores = []
    for seed in range(SEEDS):
        scores.append(play(seed))
        progress(seed + 1, "")
    return Expected.of(scores)


def _live(trial: Trial, who: str, folder: Folder, begin: Begin) -> Run:
    # In shadow the daemon only looks on: HPA is alone, and the machine as busy as otherwise.
    mode = Mode.SHADOW if who == HPA else Mode.GUARDED
    seconds, policy = trial.choices.seconds, trial.choices.policy
    progress = begin(f"{who}, live", WARM_UP_S + seconds)
    return run(Options(trial.stages[who], mode, policy), trial.replay, folder, seconds, progress)


def _score(trial: Trial, who: str, seen: Run) -> Score:
    try:
        return seen.books.score(trial.stages[who].profile, trial.choices.seconds)
    except ValueError as error:
        raise UpError(f"{who}, live: {error}; try again") from error


def _actions_s(trial: Trial, folder: Folder, begin: Begin) -> list[float]:
    """Delays of the policy on the real stage after each step of a load that climbs stairs."""
    progress = begin("load steps, live", steps.END_S)
    path = folder.path / "steps.csv"
    steps.write_trace(path, trial.replay.speed)
    initial_replicas = DEMO.initial_replicas
    stage = replace(trial.stages[PPO], trace=path, start_s=0.0, initial_replicas=initial_replicas)
    options = Options(stage, Mode.GUARDED, trial.choices.policy)
    replay = _replay(stage, read_trace(path))
    seen = run(options, replay, folder, steps.END_S - WARM_UP_S, progress)
    raised_s = list(steps.raises_s(read(folder.journal, REMEMBERED)))
    return steps.delays_s(raised_s, seen.began_s)


def _facts(trial: Trial, runs: Mapping[str, Run]) -> dict[str, Any]:
    """What else a reader must know, the state of the machine above all."""
    choices = trial.choices
    return {
        "trace": choices.trace.stem,
        "seconds": choices.seconds,
        "policy": trial.policy.name,
        "hpa_target": choices.hpa_target,
        "generator": {
            who: {
                "requests": seen.stage.load.requests,
                "miss": seen.stage.load.misses / seen.stage.load.requests,
                "worst_lag_s": seen.stage.load.worst_lag_s,
            }
            for who, seen in runs.items()
        },
        "cores": os.cpu_count(),
        "load_average": {who: seen.load_average for who, seen in runs.items()},
    }
