"""One hostile life: a few services, tick by tick, and what the guard allows is really done."""

from __future__ import annotations

from random import Random
from typing import Any

from trimtab_controller.guard_bench.ceilings import (
    Ledger,
    Watched,
    broken_by_acting,
    broken_by_mode,
    ceiling,
    price,
)
from trimtab_controller.guard_bench.copies import Guard
from trimtab_controller.guard_bench.facts import make_calendar, make_facts
from trimtab_controller.guard_bench.hostile import CHALLENGERS
from trimtab_controller.guard_bench.moment import Moment
from trimtab_controller.guard_bench.promises import broken, broken_by_restoring
from trimtab_controller.guard_bench.scene import Scene
from trimtab_controller.guard_bench.steered import Steered, proposed
from trimtab_controller.guard_bench.tally import Tally
from trimtab_controller.guard_bench.world import make_cluster_limits, make_limits, make_service
from trimtab_guard.model import Proposal, State, Verdict, Want

TICKS = 150
"""A life; long enough for every short window many times over, and for the default ones once."""
CHALLENGERS_PER_TICK = 3
A_TUESDAY_S = 1_700_000_000.0
JUMPS_S = (-400, -60, -30, -10, -5, -0.5, 15, 40, 5000)
DELAYS_S = (0.2, 2, 4, -0.5, -2)
"""Between a state and its judge, whose clock need not be the sensor's."""
REQUESTS, EXPECTED = 100, 0.05
"""Of every sample of a verification, and the share that is expected to miss."""


class Life:
    """Some services under one clock, one budget and one schedule."""

    def __init__(self, guard: Guard, rng: Random, tally: Tally) -> None:
        self.guard, self.rng, self.tally = guard, rng, tally
        self.now_s = A_TUESDAY_S + rng.randrange(7 * 86400)
        self.turn = 0
        self.cluster = make_cluster_limits(rng)
        self.changes: tuple[Any, ...] = ()
        self.ledger = Ledger()
        names = ("web", "api", "batch")[: rng.choice((1, 2, 3, 3))]
        self.is_slow = rng.random() < 0.2
        self.steered = [
            Steered.begin(guard, make_service(rng, name, self.is_slow), self.now_s)
            for name in names
        ]
        self.calendar = make_calendar(rng, guard, self.now_s)

    def tick(self) -> None:
        """One tick of all services."""
        self.turn += 1
        self._move_clock()
        for steered in self.steered:
            verdict = self._judged(steered)
            if verdict and verdict.backends:
                self._act(steered, verdict)
        self._trouble()

    # The clock, and what happens at any time.

    def _move_clock(self) -> None:
        step_s = max(steered.service.limits.interval_s for steered in self.steered)
        self.now_s += self.rng.choice((0.5, 1, 1, 1, 2, 3)) * step_s
        if self.rng.random() < 0.01:
            self.now_s += self.rng.choice(JUMPS_S)
        self.changes = self.guard.ration.recent(self.changes, self.now_s)
        self.ledger.set_clock(self.now_s)

    def _trouble(self) -> None:
        """The daemon restarts, forgets, or reads its limits anew."""
        chance = self.rng.random()
        if chance < 0.01:
            for steered in self.steered:
                steered.restart(self.guard)
        elif chance < 0.012:
            self.steered = [
                Steered.begin(self.guard, steered.service, self.now_s) for steered in self.steered
            ]
        elif chance < 0.016:
            service = self.rng.choice(self.steered).service
            bounds = service.limits.backends
            service.limits = make_limits(self.rng, service.name, bounds, self.is_slow)

    # One service.

    def _judged(self, steered: Steered) -> Verdict | None:
        """The verdict on what is in force; challengers are judged in passing.

        None where an action was taken back instead.
        """
        service, rng = steered.service, self.rng
        service.tick(rng)
        truth = service.state(self.now_s)
        state = service.sensed(rng, truth)
        steered.past.see(state)
        now_s = self.now_s + (rng.choice(DELAYS_S) if rng.random() < 0.1 else 0.0)
        means = self.ledger.means(service.name, self.cluster, self.now_s)
        scene = Scene.of(Moment(steered.past, state, service.limits, now_s), means)
        baseline = self._baseline(truth)
        for _ in range(CHALLENGERS_PER_TICK):
            challenge = proposed(rng, rng.choice(CHALLENGERS), truth, service.limits, self.turn)
            self._judge(steered, scene, challenge, baseline)
        proposal = steered.in_force(rng, truth, self.turn)
        verdict = self._judge(steered, scene, proposal, baseline)
        steered.history = steered.history.with_state(state).with_proposal(proposal)
        steered.past.hear(proposal)
        restored = self._verify(steered, scene)
        if restored is None:
            return verdict
        if restored.backends:
            steered.write(self.now_s, restored.backends)
        return None

    def _judge(
        self, steered: Steered, scene: Scene, proposal: Proposal, baseline: tuple[Want, ...]
    ) -> Verdict:
        purse = self.guard.ration.Purse.counted(self.cluster, self.changes, self.now_s)
        arguments = scene.at.state, scene.at.limits, steered.history, scene.at.now_s, purse
        verdict = self.tally.timed(self.guard.guard.judge, proposal, baseline, *arguments)
        self.tally.blame(broken(scene, proposal, baseline, verdict))
        return verdict

    def _baseline(self, truth: State) -> tuple[Want, ...]:
        counts = (self.rng.choice((0, 3, 8, 50, -1, float("nan"))) for _ in truth.backends)
        return tuple(Want(b.name, n, 0.0) for b, n in zip(truth.backends, counts, strict=True))  # type: ignore[arg-type]  # hostile on purpose

    # What is really done.

    def _act(self, steered: Steered, verdict: Verdict) -> None:
        """Within the mode, and with a human who grants every second wish; some writes are lost."""
        mode, present = self._standing(steered), steered.service.present()
        gate = self.guard.modes.split(present, verdict, mode)
        self.tally.blame(broken_by_acting(present, verdict, str(mode), gate.act))
        granted = gate.ask if self.rng.random() < 0.5 else ()
        done = {want.name: want for want in (*gate.act, *granted)}
        if done and self.rng.random() < 0.95:
            wants = tuple(done.get(now.name, now) for now in present)
            cost = price(steered.service.limits, present, wants)
            steered.write(self.now_s, wants)
            self.changes += (self.guard.ration.Change(self.now_s, verdict.service, cost),)
            self.ledger.entries.append((self.now_s, verdict.service, cost))
            steered.verification = steered.verification.with_action(self.now_s, present)
            steered.watched.write(self.now_s, present)

    def _standing(self, steered: Steered) -> Any:
        """The mode that holds: mostly the highest."""
        rng, guard, now_s = self.rng, self.guard, self.now_s
        modes = list(guard.modes.Mode)
        mode = modes[-1] if rng.random() < 0.9 else rng.choice(modes)
        facts = make_facts(rng, guard, now_s, steered.verification.cooling_until_s)
        standing = guard.authority.effective(mode, facts, self.calendar.schedule, now_s)
        highest = ceiling(facts, self.calendar.is_open(now_s), now_s)
        self.tally.blame(broken_by_mode(str(mode), highest, str(standing.mode)))
        self.tally.count(standing.reasons)
        return standing.mode

    def _verify(self, steered: Steered, scene: Scene) -> Verdict | None:
        """What is written at once when misses rose after an action; none otherwise."""
        limits, now_s, watched = scene.at.limits, self.now_s, steered.watched
        allowed = EXPECTED + limits.verify_margin
        steered.ruin_ticks = 5 if self.rng.random() < 0.01 else max(0, steered.ruin_ticks - 1)
        misses = REQUESTS if steered.ruin_ticks else int(self.rng.random() * allowed * REQUESTS)
        sample = self.guard.verification.Sample(now_s, REQUESTS, misses, EXPECTED)
        steered.verification = steered.verification.with_sample(sample, limits, now_s)
        watched.set_clock(now_s, limits)
        watched.sample(now_s, REQUESTS, misses, allowed)
        found = steered.verification.regression(limits)
        self.tally.blame(watched.broken(found))
        if found is None:
            return None
        steered.verification = steered.verification.rolled_back(now_s, limits)
        steered.watched = Watched(sampled_s=watched.sampled_s)
        arguments = scene.at.state, limits, steered.history, scene.at.now_s
        verdict: Verdict = self.guard.guard.restore(found.before, *arguments)
        self.tally.blame(broken_by_restoring(scene, found.before, verdict))
        self.tally.count(verdict.reasons)
        return verdict
