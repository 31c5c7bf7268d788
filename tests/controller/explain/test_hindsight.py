"""Right, too few, too many: judged by what came, and by nothing before it could."""

from __future__ import annotations

import math

import pytest

from trimtab_controller.explain.hindsight import Judgement, hindsight
from trimtab_controller.memory import Outcome, TickRecord
from trimtab_guard.model import UNREAD, BackendState, Proposal, Reading, State, Verdict, Want
from trimtab_guard.modes import Mode
from trimtab_sim.profile import BackendProfile, Profile

# A replica carries 40 rps; what is started now serves 30 s later. 1 % may miss.
PROFILE = Profile("web", (BackendProfile("a", concurrency=4, service_time_s=0.1),))
STARTUP_S, PLANNED_RPS, REPLICAS = 30.0, 400.0, 12
CARRIED_RPS = 480.0


def tick(time_s: float, load_rps: float, miss_share: float, **changes: object) -> TickRecord:
    def reading(value: float) -> Reading:
        return Reading(value, time_s)

    backend = BackendState("a", 9, 0, 9, 0, 1.0, reading(load_rps), reading(1.0))
    state = State("web", time_s, time_s, (backend,), UNREAD, UNREAD, reading(miss_share))
    wants = (Want("a", REPLICAS, 1.0),)
    record = TickRecord(
        service="web",
        time_s=time_s,
        mode=Mode.GUARDED,
        outcome=Outcome.APPLIED,
        state=state,
        proposal=Proposal("web", "ppo", time_s, wants, "", True, PLANNED_RPS, time_s + STARTUP_S),
        verdict=Verdict("web", time_s, wants),
    )
    return record._replace(**changes)


def after(load_rps: float, miss_share: float, *, start_s: float = 30.0) -> list[TickRecord]:
    return [tick(start_s + 5.0 * i, load_rps, miss_share) for i in range(6)]


NOW = tick(0.0, 350.0, 0.0)
SHADOW = NOW._replace(outcome=Outcome.SHADOW)
BLIND = NOW._replace(proposal=None)


@pytest.mark.parametrize(
    ("decision", "later", "judgement"),
    [
        pytest.param(NOW, after(390.0, 0.004), Judgement.RIGHT, id="as planned"),
        pytest.param(NOW, after(300.0, 0.0), Judgement.RIGHT, id="three quarters of it"),
        pytest.param(NOW, after(299.0, 0.0), Judgement.GENEROUS, id="less than that"),
        pytest.param(NOW, after(390.0, 0.011), Judgement.SHORT, id="misses"),
        pytest.param(NOW, after(CARRIED_RPS, 0.0), Judgement.RIGHT, id="just carried"),
        pytest.param(NOW, after(CARRIED_RPS + 1, 0.0), Judgement.SHORT, id="not carried"),
        pytest.param(SHADOW, after(390.0, 0.5), Judgement.RIGHT, id="another's misses"),
        pytest.param(SHADOW, after(CARRIED_RPS + 1, 0.0), Judgement.SHORT, id="short in shadow"),
        pytest.param(NOW, [], Judgement.TOO_EARLY, id="nothing since"),
        pytest.param(NOW, after(999.0, 1.0, start_s=4.0)[:5], Judgement.TOO_EARLY, id="too early"),
        pytest.param(NOW, after(390.0, 0.0, start_s=70.0), Judgement.UNKNOWN, id="a hole"),
        pytest.param(NOW, after(math.nan, 0.0), Judgement.UNKNOWN, id="not measured"),
        pytest.param(BLIND, after(390.0, 0.0), Judgement.UNKNOWN, id="no proposal"),
        pytest.param(NOW, after(390.0, math.nan), Judgement.RIGHT, id="misses not measured"),
    ],
)
def test_judged_by_what_came(
    decision: TickRecord, later: list[TickRecord], judgement: Judgement
) -> None:
    found = hindsight(decision, later, PROFILE)
    assert found.judgement is judgement
    assert found.words.startswith(judgement)


def test_misses_are_of_all_requests() -> None:
    found = hindsight(NOW, [tick(30.0, 100.0, 0.1), tick(35.0, 300.0, 0.02)], PROFILE)
    assert found.miss_share == pytest.approx((100 * 0.1 + 300 * 0.02) / 400)
    assert (found.peak_rps, found.since_s, found.until_s) == (300.0, 30.0, 35.0)
    assert "came to 300 rps of 400 planned and 480 carried; misses were 4.0 %, 1.0 % allowed" in (
        found.words
    )


def test_what_comes_long_after_is_another_decisions() -> None:
    later = [*after(390.0, 0.0), tick(61.0, 9999.0, 1.0)]
    assert hindsight(NOW, later, PROFILE).judgement is Judgement.RIGHT
