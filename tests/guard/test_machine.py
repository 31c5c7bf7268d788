"""The guard through a hostile life, beside a slow guard that was written from the invariants.

Policies lie, sensors break, clocks jump, humans and autoscalers interfere, the daemon restarts
and forgets. After every tick both guards must have allowed the same.
"""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from trimtab_guard.guard import judge
from trimtab_guard.history import History
from trimtab_guard.limits import BackendLimits
from trimtab_guard.model import Proposal, Reading, State, Verdict, Want

from .model_guard import SlowGuard
from .world import NAMES, NOW_S, backend, limits, replicas, state

# Short windows, so that a machine of a few dozen steps passes through all of them.
SHORT = {
    "rate_window_s": 10.0,
    "flap_window_s": 200.0,
    "hold_s": 20.0,
    "gap_s": 6.0,
    "weight_interval_s": 8.0,
    "blind_s": 12.0,
    "drop_s": 30.0,
    "envelope_s": 6.0,
}

counts = st.one_of(
    st.integers(0, 14), st.sampled_from([-1, 10**12, math.nan, math.inf, 2.5, 1_000_000])
)
weights = st.one_of(
    st.sampled_from([0.0, 0.25, 0.5, 1.0, 1e-320]),
    st.floats(0, 1),
    st.sampled_from([-0.1, math.nan, math.inf, 7.0]),
)
hostile = st.lists(st.tuples(counts, weights), min_size=2, max_size=2)
sane = st.lists(st.tuples(st.integers(0, 10), st.floats(0.01, 1)), min_size=2, max_size=2)
FAULTS: dict[str, dict[str, Any]] = {
    "none": {},
    "nan": {"rate_rps": Reading(math.nan, NOW_S)},
    "negative": {"in_flight": Reading(-3.0, NOW_S)},
    "late": {"rate_rps": Reading(100.0, NOW_S - 7)},
    "gone": {"rate_rps": Reading(100.0, NOW_S - 700)},
    "ahead": {"in_flight": Reading(4.0, NOW_S + 5)},
    "frozen": {"rate_rps": Reading(42.0, NOW_S)},
    "silent": {"rate_rps": Reading(0.0, NOW_S)},
    "bad count": {"wanted": -2},
    "bad share": {"weight": math.nan},
    "bad budget": {"disruption_min": math.nan},
}


class HostileLife(RuleBasedStateMachine):
    @initialize()
    def start(self) -> None:
        self.now_s = NOW_S
        self.limits = limits(1, 8, **SHORT)
        self.replicas = dict.fromkeys(NAMES, 3)
        self.ready = dict.fromkeys(NAMES, 3)
        self.weights = dict.fromkeys(NAMES, 0.5)
        self.fault = "none"
        self.in_envelope, self.rollout, self.disruption_min, self.load_rps = True, False, 0, 100.0
        self.proposal = self.propose([(3, 0.5), (3, 0.5)])
        self.forget()
        self.insist([(3, 0.5), (3, 0.5)], ticks=25)

    def propose(self, wants: list[tuple[float, float]], **fields: Any) -> Proposal:
        backends = tuple(Want(n, *want) for n, want in zip(NAMES, wants, strict=True))  # type: ignore[arg-type]  # hostile on purpose
        return Proposal(
            **{"service": "web", "policy": "hostile", "time_s": self.now_s, "backends": backends}
            | {"in_envelope": self.in_envelope}
            | fields
        )

    def sense(self) -> State:
        late_s = self.now_s - NOW_S
        fault = {
            name: Reading(value.value, value.time_s + late_s)
            if isinstance(value, Reading)
            else value
            for name, value in FAULTS[self.fault].items()
        }
        backends = [
            backend(
                name,
                self.now_s,
                **{
                    "wanted": self.replicas[name],
                    "ready": self.ready[name],
                    "weight": self.weights[name],
                    "disruption_min": self.disruption_min,
                    "rate_rps": Reading(self.load_rps + self.now_s % 7, self.now_s),
                }
                | (fault if name == "spot" else {}),
            )
            for name in NAMES
        ]
        return state(self.now_s, backends=tuple(backends), rollout=self.rollout)

    def tick(self, seconds: float, obey: bool) -> None:
        self.now_s += seconds
        seen, before = self.sense(), self.history
        baseline = (Want("od", 6, 0.0), Want("spot", 2, 1.0))
        result = judge(self.proposal, baseline, seen, self.limits, before, self.now_s)
        self.slow.see(seen)
        expected = self.slow.judge(self.proposal, baseline, seen, self.limits, self.now_s)
        assert replicas(result) == {name: count for name, (count, _) in expected.items()}
        for want in result.backends:
            assert want.weight == pytest.approx(expected[want.name][1], abs=1e-5)
        self.judged_again(result, baseline, seen, before)
        self.history = before.with_state(seen).with_proposal(self.proposal)
        self.slow.propose(self.proposal)
        if obey:
            self.obey(result)

    def judged_again(
        self, result: Verdict, baseline: tuple[Want, ...], seen: State, before: History
    ) -> None:
        again = self.proposal._replace(service="web", time_s=self.now_s, backends=result.backends)
        if result.backends:
            repeated = judge(again, baseline, seen, self.limits, before, self.now_s)
            assert repeated.backends == result.backends

    def obey(self, result: Verdict) -> None:
        for want in result.backends:
            was = self.replicas[want.name]
            if want.replicas != was:
                self.history = self.history.with_change(self.now_s, want.name, was, want.replicas)
                self.slow.change(self.now_s, want.name, was, want.replicas)
            self.replicas[want.name] = want.replicas
            self.weights[want.name] = want.weight

    @rule(wants=hostile, seconds=st.sampled_from([1, 2, 5, 9]), obey=st.booleans())
    def lie(self, wants: list[tuple[float, float]], seconds: float, obey: bool) -> None:
        self.proposal = self.propose(wants)
        self.tick(seconds, obey)

    @rule(seconds=st.sampled_from([1, 2, 3]), ticks=st.integers(2, 20), obey=st.booleans())
    def go_on(self, seconds: float, ticks: int, obey: bool) -> None:
        for _ in range(ticks):
            self.tick(seconds, obey)

    @rule(wants=sane, ticks=st.integers(5, 40))
    def insist(self, wants: list[tuple[float, float]], ticks: int) -> None:
        for _ in range(ticks):
            self.proposal = self.propose(wants)
            self.tick(1, obey=True)

    @rule(this=sane, that=sane, ticks=st.integers(5, 40))
    def waver(
        self, this: list[tuple[float, float]], that: list[tuple[float, float]], ticks: int
    ) -> None:
        for turn in range(ticks):
            self.insist(that if turn % 3 else this, ticks=1)

    @rule(
        fields=st.sampled_from(
            [
                {"service": "other"},
                {"time_s": NOW_S - 60},
                {"time_s": NOW_S + 9999},
                {"time_s": math.nan},
                {"backends": ()},
                {"backends": (Want("od", 4, 1.0),)},
                {"backends": (Want("od", 4, 0.5), Want("od", 4, 0.5))},
                {"backends": (Want("od", 4, 0.5), Want("elsewhere", 4, 0.5))},
                {"backends": (Want("spot", 7, 0.5), Want("od", 2, 0.5))},
            ]
        )
    )
    def propose_nonsense(self, fields: dict[str, Any]) -> None:
        self.proposal = self.propose([(1, 0.5), (9, 0.5)], **fields)
        self.tick(1, obey=True)

    @rule(fault=st.sampled_from(sorted(FAULTS)), ticks=st.integers(1, 45))
    def sensor_breaks(self, fault: str, ticks: int) -> None:
        self.fault = fault
        for _ in range(ticks):
            self.proposal = self.propose([(2, 0.4), (7, 0.6)])
            self.tick(1, obey=True)
        self.fault = "none"

    @rule(seconds=st.sampled_from([-400, -30, -5, -0.5, 15, 40, 1000]))
    def clock_jumps(self, seconds: float) -> None:
        self.now_s += seconds

    @rule(name=st.sampled_from(NAMES), count=st.integers(0, 14))
    def somebody_scales(self, name: str, count: int) -> None:
        self.replicas[name] = count

    @rule(name=st.sampled_from(NAMES), count=st.integers(0, 5))
    def replicas_come_and_go(self, name: str, count: int) -> None:
        self.ready[name] = count

    @rule(load_rps=st.sampled_from([0.0, 5.0, 30.0, 70.0, 100.0, 300.0]))
    def load_changes(self, load_rps: float) -> None:
        self.load_rps = load_rps

    @rule(count=st.integers(0, 10))
    def disruption_budget_changes(self, count: int) -> None:
        self.disruption_min = count

    @rule(wants=sane, ticks=st.integers(1, 20))
    def roll_out(self, wants: list[tuple[float, float]], ticks: int) -> None:
        self.rollout = True
        self.insist(wants, ticks)
        self.rollout = False

    @rule(wants=sane, ticks=st.integers(1, 20))
    def stray(self, wants: list[tuple[float, float]], ticks: int) -> None:
        self.in_envelope = False
        self.insist(wants, ticks)
        self.in_envelope = True

    @rule(
        least=st.integers(0, 3),
        most=st.integers(3, 12),
        percent=st.sampled_from([10, 50, 100]),
        hold_s=st.sampled_from([2.0, 20.0]),
        blind_s=st.sampled_from([12.0, 45.0]),
        capacity_rps=st.sampled_from([30.0, 70.0, 1e9]),
    )
    def limits_change(
        self,
        least: int,
        most: int,
        percent: int,
        hold_s: float,
        blind_s: float,
        capacity_rps: float,
    ) -> None:
        self.limits = replace(
            self.limits,
            backends=tuple(
                BackendLimits(name, least, most, rps)
                for name, rps in zip(NAMES, (capacity_rps, capacity_rps / 2), strict=True)
            ),
            down_percent=percent,
            hold_s=hold_s,
            blind_s=blind_s,
        )

    @rule()
    def restart(self) -> None:
        self.history = History.from_dict(json.loads(json.dumps(self.history.to_dict())))

    @rule()
    def forget(self) -> None:
        self.history = History.empty(self.now_s)
        self.slow = SlowGuard(self.now_s)

    @invariant()
    def stays_small(self) -> None:
        assert len(json.dumps(self.history.to_dict())) < 20_000


HostileLife.TestCase.settings = settings(
    max_examples=30,
    stateful_step_count=25,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink],
    suppress_health_check=list(HealthCheck),
)
test_hostile_life = HostileLife.TestCase
