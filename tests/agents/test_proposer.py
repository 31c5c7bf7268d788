"""The join between a policy of arrays and a daemon of named services."""

from __future__ import annotations

import math
from datetime import datetime
from itertools import product

import numpy as np
import pytest

from trimtab_agents.bundle import load
from trimtab_agents.envelope import Stray
from trimtab_agents.proposer import Proposer
from trimtab_guard.model import BackendState, Reading, State
from trimtab_sim.profile import BackendProfile, Floats, Profile, Profiles
from trimtab_sim.signals import Sensed, Wanted

PROFILES = (
    Profile("web", (BackendProfile("a"), BackendProfile("b")), metric_lag_s=2.0),
    Profile("api", (BackendProfile("only", startup_mean_s=30.0),)),
)


class Recorder:
    """A policy that wants one replica more than there is, and remembers what it was shown."""

    name = "recorder"

    def reset(self, profiles: Profiles, miss_price: Floats, tick_s: float) -> None:
        self.profiles, self.miss_price, self.tick_s = profiles, miss_price, tick_s
        self.strays: list[Stray | None] = [None] * profiles.shape[0]

    def act(self, sensed: Sensed) -> Wanted:
        self.sensed = sensed
        return Wanted(sensed.wanted + 1, sensed.weight, 1.2 * np.nan_to_num(sensed.rate_rps))


def backend(name: str, rate_rps: float = 100.0, wanted: int = 2) -> BackendState:
    return BackendState(
        name, wanted, 0, wanted, 0, 0.5, Reading(rate_rps, 98.0), Reading(5.0, 98.0)
    )


def state(service: str, *backends: BackendState) -> State:
    reading = Reading(50.0, 98.0)
    return State(service, 100.0, 100.0, backends, reading, reading, Reading(0.0, 98.0))


def proposer(time_scale: float = 1.0) -> tuple[Proposer, Recorder]:
    policy = Recorder()
    return Proposer(policy, PROFILES, [10.0, 50.0], 1.0, time_scale), policy


def test_each_service_gets_its_own_backends_wants() -> None:
    joined, _ = proposer()
    states = [
        state("web", backend("a", wanted=3), backend("b", wanted=4)),
        state("api", backend("only")),
    ]
    web, api = joined.propose(states)
    assert [(want.name, want.replicas) for want in web.backends] == [("a", 4), ("b", 5)]
    assert [(want.name, want.replicas) for want in api.backends] == [("only", 3)]
    assert (web.service, web.policy, web.time_s) == ("web", "recorder", 100.0)


def test_the_sentence_has_the_numbers_of_the_state() -> None:
    joined, _ = proposer()
    web, _ = joined.propose(
        [state("web", backend("a"), backend("b", rate_rps=60.0)), state("api", backend("only"))]
    )
    # 2 + 2 ready replicas of 4 slots and 50 ms carry 80 rps each; a start-up takes 45 s.
    due = f"{datetime.fromtimestamp(web.due_s):%H:%M:%S}"
    assert web.why == (
        f"load 160 rps may rise to 192 by {due}, 4 ready replicas carry 320; 2 more: 6 carry 480"
    )
    assert (web.demand_rps, web.due_s) == (192.0, 146.0)


def test_a_load_that_was_not_measured_is_not_called_zero() -> None:
    joined, _ = proposer()
    web, api = joined.propose(
        [state("web", backend("a", math.nan), backend("b")), state("api", backend("only"))]
    )
    assert web.why.startswith("load not measured")
    assert api.why.startswith("load 100 rps")


def test_a_policy_outside_of_its_training_says_so() -> None:
    joined, policy = proposer()
    states = [state("web", backend("a"), backend("b")), state("api", backend("only"))]
    policy.strays[0] = Stray(1, "log_startup_s", 2.1911, -1.1, 0.9486)
    web, api = joined.propose(states)
    assert (web.in_envelope, api.in_envelope) == (False, True)
    assert web.why.endswith(
        "6 carry 480; outside of its training: log_startup_s of b is 2.19, was -1.1 to 0.949"
    )


def test_a_replay_faster_than_life_shows_the_policy_lifes_own_seconds() -> None:
    joined, policy = proposer(time_scale=60.0)
    joined.propose([state("web", backend("a"), backend("b")), state("api", backend("only"))])
    assert policy.tick_s == 60.0
    assert policy.profiles.startup_mean_s[1, 0] == 30.0 * 60.0
    assert policy.profiles.metric_lag_s.tolist() == [120.0, 0.0]
    assert policy.profiles.service_time_s[0, 0] == pytest.approx(0.05)
    assert policy.sensed.age_s.tolist() == [120.0, 120.0]
    assert policy.sensed.time_s.tolist() == [6000.0, 6000.0]
    assert policy.miss_price.tolist() == [10.0, 50.0]


NEVER = math.nan
NO_RATES = (NEVER, math.inf, -math.inf, -5.0, -1e308, 1e308, 1e10)
NO_AGES_S = (NEVER, math.inf, -math.inf, 1e300, -1e300)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("value", "age_s"),
    [*product(NO_RATES, (0.0, *NO_AGES_S)), *product([150.0], NO_AGES_S)],
)
def test_what_cannot_have_been_measured_leaves_no_trace_in_the_shipped_policy(
    value: float, age_s: float
) -> None:
    def seen(lie: Reading | None) -> list[list[int]]:
        joined = Proposer(load(), [Profile("api", (BackendProfile("only"),))], [50.0], 5.0)
        counts = []
        for tick in range(30):
            now_s = 1_800_000_000.0 + 5.0 * tick
            rate = lie if lie and 10 <= tick < 13 else Reading(150.0, now_s)
            if lie is None and 10 <= tick < 13:
                rate = Reading(NEVER, now_s)
            only = BackendState("only", 3, 0, 3, 0, 1.0, rate, Reading(7.5, now_s))
            calm = Reading(50.0, now_s)
            now = State("api", now_s, now_s, (only,), calm, calm, Reading(0.0, now_s))
            counts.append([want.replicas for want in joined.propose([now])[0].backends])
        return counts

    lie = Reading(value, 1_800_000_050.0 - age_s)
    assert seen(lie)[13:] == seen(None)[13:]
