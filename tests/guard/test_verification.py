"""After an action: real regressions are found soon, harmless actions are left alone."""

from __future__ import annotations

import json
import math
import random
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab_guard.guard import restore
from trimtab_guard.limits import Limits
from trimtab_guard.model import Want
from trimtab_guard.verification import REGRESSIONS, Regression, Sample, Verification, Watch

from .world import NOW_S, limits, replicas, state, watched
from .world import shares as shares_of

BEFORE = (Want("od", 5, 0.5), Want("spot", 3, 0.5))
LIMITS = limits()
ACTED = Verification().with_action(NOW_S, BEFORE)


def seen(
    start: Verification, *samples: tuple[float, float], expected: float = 0.01, **fields: Any
) -> Verification:
    """After one sample of (requests, misses) per second, ``start`` having acted at NOW_S."""
    allowed = limits(**fields)
    for second, (requests, misses) in enumerate(samples, 1):
        now_s = NOW_S + second
        start = start.with_sample(Sample(now_s, requests, misses, expected), allowed, now_s)
    return start


def seconds_until_found(share: float, requests: float, expected: float = 0.01) -> float:
    verification = ACTED
    for second in range(1, 301):
        now_s = NOW_S + second
        sample = Sample(now_s, requests, share * requests, expected)
        verification = verification.with_sample(sample, LIMITS, now_s)
        if verification.regression(LIMITS):
            return second
    return math.inf


@pytest.mark.parametrize(
    ("share", "requests", "most_s"),
    [
        pytest.param(1.0, 200, 1, id="nothing is answered"),
        pytest.param(0.3, 200, 3, id="every third misses"),
        pytest.param(0.1, 200, 12, id="every tenth"),
        pytest.param(0.06, 200, 70, id="twice what is tolerated"),
        pytest.param(0.3, 2, 30, id="a quiet service"),
        pytest.param(0.03, 200, math.inf, id="within the margin"),
        pytest.param(0.0, 200, math.inf, id="all is well"),
        pytest.param(1.0, 0, math.inf, id="nobody asks"),
    ],
)
def test_a_regression_is_found_the_sooner_the_worse_it_is(
    share: float, requests: float, most_s: float
) -> None:
    found_s = seconds_until_found(share, requests)
    assert found_s <= most_s
    assert math.isinf(found_s) == math.isinf(most_s)


def test_what_was_expected_is_no_regression() -> None:
    assert math.isinf(seconds_until_found(0.3, 200, expected=0.3))
    assert math.isinf(seconds_until_found(1.0, 200, expected=0.98))
    assert math.isinf(seconds_until_found(1.0, 200, expected=1.0))


@pytest.mark.parametrize("expected", [0.98, 1.0])
def test_where_every_miss_is_allowed_no_request_is_evidence(expected: float) -> None:
    assert seen(ACTED, (100, 100), (100, 0), expected=expected).watches == ACTED.watches


def odds(sample: Sample, allowed: Limits) -> float:
    (watch,) = ACTED.with_sample(sample, allowed, sample.time_s).watches
    return math.exp(watch.evidence())


@pytest.mark.parametrize("requests", [1, 3, 20, 21, 60])
@pytest.mark.parametrize("miss", [0.0, 0.02, 0.06])
def test_while_nothing_is_worse_the_mean_stake_does_not_grow(requests: int, miss: float) -> None:
    """The martingale, summed over every outcome: exactly 1 at the tolerated share."""
    allowed = limits(verify_margin=0.05)
    mean = math.fsum(
        math.comb(requests, k)
        * miss**k
        * (1 - miss) ** (requests - k)
        * odds(Sample(NOW_S + 1, requests, k, 0.01), allowed)
        for k in range(requests + 1)
    )
    assert mean <= 1 + 1e-9
    if miss == 0.06 and requests <= allowed.verify_requests:
        assert mean == pytest.approx(1)


@given(st.floats(1, 1000), st.floats(0, 0.9), st.sampled_from([1, 20]))
def test_requests_that_miss_together_are_one_piece_of_evidence(
    requests: float, expected: float, most: int
) -> None:
    """With a weight of one, not even all-or-nothing ticks can multiply the stake."""
    allowed = limits(verify_requests=most)
    tolerated = min(1.0, expected + allowed.verify_margin)
    whole = odds(Sample(NOW_S + 1, requests, requests, expected), allowed)
    none = odds(Sample(NOW_S + 1, requests, 0, expected), allowed)
    if most == 1:
        assert tolerated * whole + (1 - tolerated) * none <= 1 + 1e-9
    heavier = odds(Sample(NOW_S + 1, 10 * requests, 10 * requests, expected), allowed)
    assert requests < most or heavier == pytest.approx(whole)


def test_harmless_actions_are_rarely_rolled_back_however_often_one_looks() -> None:
    """400 lives of 100 looks each, right at the edge of what is tolerated."""
    rng = random.Random(7)
    allowed = limits(verify_alpha=0.05)
    alarms = 0
    for _ in range(400):
        verification = ACTED
        for second in range(1, 101):
            misses = sum(rng.random() < 0.03 for _ in range(20))
            sample = Sample(NOW_S + second, 20, misses, 0.01)
            verification = verification.with_sample(sample, allowed, NOW_S + second)
            if verification.regression(allowed):
                alarms += 1
                break
    # 20 are allowed; 33 would be three standard deviations more.
    assert 0 < alarms <= 33


@given(
    st.lists(
        st.tuples(st.integers(0, 40), st.floats(0, 1), st.floats(0, 0.9)), min_size=1, max_size=30
    )
)
def test_the_stakes_are_those_of_a_slow_bettor(rows: list[tuple[int, float, float]]) -> None:
    """Beside a product of likelihood ratios, request by request."""
    verification, bets = ACTED, [1.0] * len(REGRESSIONS)
    for second, (requests, share, expected) in enumerate(rows, 1):
        now_s = NOW_S + second
        misses = int(share * requests)
        verification = verification.with_sample(
            Sample(now_s, requests, misses, expected), LIMITS, now_s
        )
        null = expected + LIMITS.verify_margin
        for index, worse in enumerate(REGRESSIONS):
            alternative = null + (1 - null) * worse
            stake = 1.0
            for request in range(requests):
                missed = request < misses
                stake *= alternative / null if missed else (1 - alternative) / (1 - null)
            bets[index] *= stake ** min(1.0, LIMITS.verify_requests / max(requests, 1))
    mean = sum(bets) / len(bets)
    expected_odds = math.log(mean) if 0 < mean < math.inf else None
    (watch,) = verification.watches
    assert expected_odds is None or watch.evidence() == pytest.approx(expected_odds, abs=1e-6)


@pytest.mark.parametrize(
    "sample",
    [
        pytest.param(Sample(NOW_S, 100, 100, 0.01), id="ended before the action"),
        pytest.param(Sample(NOW_S + 1, 100, 101, 0.01), id="more misses than requests"),
        pytest.param(Sample(NOW_S + 1, 100, math.nan, 0.01), id="misses unknown"),
        pytest.param(Sample(NOW_S + 1, math.nan, 1, 0.01), id="requests unknown"),
        pytest.param(Sample(NOW_S + 1, math.inf, 100, 0.01), id="infinitely many"),
        pytest.param(Sample(NOW_S + 1, 2e9, 100, 0.01), id="more than there can be"),
        pytest.param(Sample(NOW_S + 1, 100, -1, 0.01), id="negative"),
        pytest.param(Sample(NOW_S + 1, 100, 100, math.nan), id="nothing expected"),
        pytest.param(Sample(NOW_S + 1, 100, 100, 1.5), id="the impossible expected"),
        pytest.param(Sample(NOW_S + 3, 100, 100, 0.01), id="of the future"),
        pytest.param(Sample(math.nan, 100, 100, 0.01), id="at no time"),
    ],
)
def test_what_is_no_evidence_changes_no_stake(sample: Sample) -> None:
    after = ACTED.with_sample(sample, LIMITS, NOW_S + 1)
    assert after.watches == ACTED.watches
    assert after.time_s in (0.0, NOW_S)  # and what comes then is not taken for old
    good = Sample(NOW_S + 1, 100, 100, 0.01)
    assert ACTED.with_sample(good, LIMITS, NOW_S + 1).watches != ACTED.watches


@pytest.mark.parametrize(
    ("ended_s", "known_s"),
    [(-0.5, 0.5), (0.0, 1.0), (0.5, 1.0), (1.0, 1.0)],
    ids=["a while ago", "now", "a bit ahead", "as far ahead as clocks may be"],
)
def test_the_time_of_a_sample_is_its_own_but_never_ahead(ended_s: float, known_s: float) -> None:
    now_s = NOW_S + 1
    after = ACTED.with_sample(Sample(now_s + ended_s, 100, 100, 0.01), LIMITS, now_s)
    assert after.time_s == NOW_S + known_s
    assert after.watches != ACTED.watches


def test_one_request_weighs_one_however_few_may_count() -> None:
    missed = Sample(NOW_S + 1, 1, 1, 0.01)
    assert odds(missed, limits(verify_requests=1)) == odds(missed, limits(verify_requests=2))


def test_the_bets_are_on_large_and_small_regressions() -> None:
    assert REGRESSIONS == (0.5, 0.25, 0.125, 0.0625, 0.03125, 0.015625)


def test_just_enough_evidence_is_enough() -> None:
    enough = -math.log(LIMITS.verify_alpha)
    for stake, found in ((enough, True), (math.nextafter(enough, 0), False)):
        watching = Verification(watches=(Watch(NOW_S, BEFORE, (stake,) * 6),))
        assert (watching.regression(LIMITS) is not None) == found


def test_nothing_is_watched_or_cooling_at_first() -> None:
    assert Verification() == Verification(time_s=0.0, watches=(), cooling_until_s=0.0)


def test_the_same_sample_counts_once() -> None:
    sample = Sample(NOW_S + 1, 100, 100, 0.01)
    once = ACTED.with_sample(sample, LIMITS, NOW_S + 1)
    assert once.with_sample(sample, LIMITS, NOW_S + 2) == once


@pytest.mark.parametrize(("age_s", "left"), [(300, 1), (300.001, 0)])
def test_an_action_is_watched_for_its_window(age_s: float, left: int) -> None:
    late = ACTED.with_sample(Sample(NOW_S + age_s, 1, 0, 0.01), LIMITS, NOW_S + age_s)
    assert len(late.watches) == left


def test_the_oldest_guilty_action_is_named() -> None:
    later = (Want("od", 6, 0.4), Want("spot", 3, 0.6))
    both = seen(ACTED, (100, 0), (100, 0)).with_action(NOW_S + 2.5, later)
    bad = both
    for now_s in (NOW_S + 3, NOW_S + 4):
        bad = bad.with_sample(Sample(now_s, 100, 100, 0.01), LIMITS, now_s)
    assert bad.regression(LIMITS) == Regression(NOW_S, BEFORE)
    exonerated = bad._replace(watches=(replace(bad.watches[0], stakes=(0.0,) * 6), bad.watches[1]))
    assert exonerated.regression(LIMITS) == Regression(NOW_S + 2.5, later)


def test_one_rollback_and_then_a_cool_down() -> None:
    bad = seen(ACTED, (100, 100), (100, 100))
    after = bad.rolled_back(NOW_S + 2, LIMITS)
    assert after.cooling_until_s == NOW_S + 602
    assert after.regression(LIMITS) is None
    assert seen(after, *[(100, 100)] * 9).regression(LIMITS) is None


def test_a_rollback_restores_shares_and_never_takes_replicas() -> None:
    there = state(od={"wanted": 3, "weight": 0.2}, spot={"wanted": 7, "weight": 0.8})
    past = watched(there)
    verdict = restore(BEFORE, there, limits(), past, NOW_S)
    assert replicas(verdict) == {"od": 5, "spot": 7}
    assert shares_of(verdict) == {"od": 0.5, "spot": 0.5}
    told = [(reason.code, reason.backend) for reason in verdict.reasons]
    assert told == [("REGRESSION", "od"), ("REGRESSION", "od"), ("REGRESSION", "spot")]
    partly = restore(BEFORE[:1], there, limits(), past, NOW_S)
    assert replicas(partly) == {"od": 5, "spot": 7}


def test_a_rollback_keeps_the_range_and_the_rate() -> None:
    there = state(od={"wanted": 3}, spot={"wanted": 7})
    far = (Want("od", 30, 0.5), Want("spot", 3, 0.5))
    assert replicas(restore(far, there, limits(), watched(there), NOW_S)) == {"od": 7, "spot": 7}
    tight = limits(1, 5)
    assert replicas(restore(BEFORE, there, tight, watched(there), NOW_S))["od"] == 5


def test_a_clock_that_goes_back_frees_nothing_and_freezes_nothing() -> None:
    ahead = Verification().with_action(NOW_S + 9999, BEFORE).rolled_back(NOW_S + 9999, LIMITS)
    ahead = ahead.with_action(NOW_S + 9999, BEFORE)
    ahead = ahead._replace(time_s=NOW_S + 9999)
    back = ahead.with_sample(Sample(NOW_S, 100, 100, 0.01), LIMITS, NOW_S)
    assert back.cooling_until_s == NOW_S + LIMITS.cool_s
    assert [watch.time_s for watch in back.watches] == [NOW_S]
    later = seen(back, *[(100, 100)] * 5)
    assert later.regression(LIMITS) == Regression(NOW_S, BEFORE)


def watching(before: Any = (), stakes: Any = (0.0,) * 6) -> dict[str, Any]:
    return {"time_s": 0.0, "watches": [[0.0, before, stakes]], "cooling_until_s": 0.0}


def test_replicas_are_whole_also_where_json_has_them_as_floats() -> None:
    (watch,) = Verification.from_dict(watching(before=[["od", 5.0, 0.5]])).watches
    assert type(watch.before[0].replicas) is int


@given(st.lists(st.tuples(st.floats(0, 100), st.floats(0, 100)), max_size=20))
def test_a_restart_changes_nothing(samples: list[tuple[float, float]]) -> None:
    before = seen(ACTED, *samples).with_action(NOW_S + 30, BEFORE[:1])
    assert Verification.from_dict(json.loads(json.dumps(before.to_dict()))) == before


@pytest.mark.parametrize(
    ("data", "why"),
    [
        ({}, "watches"),
        ({"time_s": 0.0, "watches": [], "cooling_until_s": math.nan}, "nan is not a finite number"),
        ({"time_s": "x", "watches": [], "cooling_until_s": 0.0}, "TypeError"),
        (watching(stakes=[0.0] * 5), "5 stakes instead of 6"),
        (watching(before=[["od", 1]]), "not enough values"),
        (watching(stakes=[math.inf] * 6), "inf is not a finite number"),
    ],
)
def test_what_is_no_verification_is_refused(data: dict[str, Any], why: str) -> None:
    with pytest.raises(ValueError, match=rf"not a verification .*{why}.*; start with an empty one"):
        Verification.from_dict(data)


def test_stakes_of_any_size_have_evidence() -> None:
    assert Watch(0.0, (), (0.0, -1e9, -1e9, -1e9, -1e9, -1e9)).evidence() == pytest.approx(
        -math.log(6)
    )
    assert Watch(0.0, (), (1e6,) * 6).evidence() == pytest.approx(1e6)
