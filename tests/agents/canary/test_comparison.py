import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from math import inf

import numpy as np
import pytest
from tests.agents.canary.conftest import Look, histogram

from trimtab_agents.canary import Call, Comparison, Histogram, Reason, Rules, Side, Verdict
from trimtab_agents.canary.gathered import Gathered

RULES = Rules()
Pair = tuple[Side | None, Side | None]


def compared(looks: Iterator[Pair]) -> Verdict:
    """The verdict after all looks."""
    comparison = Comparison.begin(RULES)
    for old, new in looks:
        comparison = comparison.after(old, new)
    return comparison.verdict()


def until_called(looks: Iterator[Pair]) -> Verdict:
    """The first verdict, or the last look's."""
    comparison = Comparison.begin(RULES)
    for old, new in looks:
        comparison = comparison.after(old, new)
        if comparison.verdict().call is not Call.NONE:
            break
    return comparison.verdict()


@pytest.mark.parametrize(
    ("new", "call", "metric"),
    [
        pytest.param({"slower": 1.3}, Call.BAD, "latency p50", id="slower"),
        pytest.param({"errors": 0.02}, Call.BAD, "errors", id="fails more often"),
        pytest.param({"in_flight": 12.0}, Call.BAD, "saturation", id="fills up"),
        pytest.param({}, Call.GOOD, None, id="equal"),
        pytest.param({"slower": 0.7}, Call.GOOD, None, id="faster"),
        pytest.param({"slower": 1.02}, Call.GOOD, None, id="slower by what does not matter"),
    ],
)
def test_a_version_is_told_from_another(
    look: Look, new: dict[str, float], call: Call, metric: str | None
) -> None:
    verdict = until_called((look(t), look(t, **new)) for t in range(200))
    assert verdict.call is call
    if metric:
        worst = max(verdict.effects, key=lambda effect: effect.bad)
        assert worst.metric == metric
        assert worst.low > 0.0


def test_a_version_that_hangs_is_bad_though_it_answers_nothing(look: Look) -> None:
    hung = (replace(look(t, answers=0), in_flight=30.0 * (t + 1)) for t in range(60))
    verdict = until_called((look(t), new) for t, new in zip(range(60), hung, strict=True))
    assert verdict.call is Call.BAD
    assert verdict.new_answers == 0


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        pytest.param("good", "missing", Reason.MISSING, id="new is never measured"),
        pytest.param("missing", "missing", Reason.MISSING, id="nothing is measured"),
        pytest.param("good", "gone", Reason.MISSING, id="no replica of the new one is ready"),
        pytest.param("good", "frozen", Reason.FROZEN, id="new is frozen"),
        pytest.param("frozen", "good", Reason.FROZEN, id="old is frozen"),
        pytest.param("good", "repeated", Reason.FROZEN, id="new repeats itself, with new times"),
        pytest.param("same", "same", Reason.IDENTICAL, id="both are one"),
        pytest.param("idle", "idle", Reason.TOO_LITTLE, id="nobody asks"),
        pytest.param("good", "idle", Reason.TOO_LITTLE, id="nobody asks the new one"),
    ],
)
def test_what_is_no_data_is_no_verdict(look: Look, old: str, new: str, reason: Reason) -> None:
    first = look(0.0)
    shared = [look(t) for t in range(60)]
    kinds: dict[str, Callable[[int], Side | None]] = {
        "good": lambda t: look(t),
        "missing": lambda _: None,
        "gone": lambda t: replace(look(t), ready=0),
        "frozen": lambda _: first,
        "repeated": lambda t: replace(first, time_s=t),
        "same": lambda t: shared[t],
        "idle": lambda t: Side(Histogram((), ()), 0, 0, 0.0, 3, t),
    }
    verdict = compared((kinds[old](t), kinds[new](t)) for t in range(60))
    assert (verdict.call, verdict.reason) == (Call.NONE, reason)


def test_data_that_goes_missing_takes_a_good_verdict_back_but_never_a_bad_one(look: Look) -> None:
    for slower, call in ((1.0, Call.NONE), (1.4, Call.BAD)):
        comparison = Comparison.begin(RULES)
        for t in range(200):
            comparison = comparison.after(look(t), look(t, slower=slower))
        assert comparison.verdict().call is not Call.NONE
        assert comparison.after(look(999), None).verdict().call is call


def test_flawed_looks_are_evidence_for_nobody(look: Look) -> None:
    comparison = Comparison.begin(RULES)
    for t in range(10):
        comparison = comparison.after(look(t), look(t))
    flawed = comparison.after(look(10), None).after(None, look(11)).after(look(3), look(3))
    assert (flawed.log_capital == comparison.log_capital).all()
    assert flawed.answers == comparison.answers


def test_the_slower_the_more_evidence() -> None:
    """With the same draws, evidence of worse only grows and that of fine only falls."""
    rng = np.random.default_rng(5)
    draws = rng.lognormal(-3.0, 0.8, (20, 2, 300))
    verdicts = [
        compared(
            (
                Side(histogram(old), 300, 0, 40.0, 10, t),
                Side(histogram(slower * new), 300, 0, 40.0, 10, t),
            )
            for t, (old, new) in enumerate(draws)
        )
        for slower in (0.8, 0.9, 1.0, 1.1, 1.2, 1.4)
    ]
    # Single bets may fall where the shares come near 1; the sum over them must not.
    assert (np.diff([verdict.bad for verdict in verdicts]) > -0.5).all()
    assert verdicts[-1].bad > verdicts[2].bad + 5.0
    values = np.array([[effect.value for effect in verdict.effects[:4]] for verdict in verdicts])
    assert (np.diff(values, axis=0) > 0.0).all()


def test_intervals_hold_the_truth_and_shrink(look: Look) -> None:
    comparison, widths = Comparison.begin(RULES), []
    for t in range(80):
        comparison = comparison.after(look(t), look(t, slower=1.1))
        latency = comparison.verdict().effects[:5]
        assert all(effect.low <= 0.1 <= effect.high for effect in latency)
        widths.append(latency[0].high - latency[0].low)
    assert widths[0] == np.inf
    assert widths[-1] < 0.4


def test_it_goes_on_after_a_restart_as_if_it_had_never_stopped(look: Look) -> None:
    steady = restarted = Comparison.begin(RULES)
    endless = Histogram((10.0, inf), (1,))
    for t in np.arange(0.0, 3.0, 0.05):
        old, new = look(t), look(t, slower=1.2) if t % 0.4 else None
        old = replace(old, latency=old.latency.and_(endless))
        steady = steady.after(old, new)
        text = json.dumps(restarted.as_json(), allow_nan=False)
        restarted = Comparison.from_json(json.loads(text), RULES).after(old, new)
    assert restarted.verdict() == steady.verdict()
    assert restarted.as_json() == steady.as_json()


def test_begun_afresh_it_has_proved_nothing_and_knows_where_to_look(look: Look) -> None:
    comparison = Comparison.begin(RULES)
    for t in range(20):
        comparison = comparison.after(look(t), look(t, slower=1.1))
    afresh = comparison.afresh(RULES)
    assert (afresh.bad, afresh.good, afresh.looks, afresh.answers) == (0.0, 0.0, 0, (0, 0))
    assert (afresh.past, afresh.clumps) == (comparison.past, comparison.clumps)
    # Its first look is a bet already, and a frozen one is known.
    assert afresh.after(look(20), look(20)).log_capital.any()
    assert afresh.after(look(19), look(20)).verdict().reason is Reason.FROZEN


@pytest.mark.parametrize(
    ("change", "rules"),
    [
        pytest.param({}, Rules(alpha=0.05), id="other rules"),
        pytest.param({"score": [[0.0]]}, RULES, id="other metrics"),
        pytest.param({"trust": None}, RULES, id="broken"),
        pytest.param({"clumps": {"sizes": 1}}, RULES, id="another version"),
    ],
)
def test_what_was_saved_otherwise_is_not_gone_on_with(
    change: dict[str, object], rules: Rules
) -> None:
    data = Comparison.begin(RULES).as_json() | change
    with pytest.raises(ValueError, match="begin a new one"):
        Comparison.from_json(data, rules)


def test_short_ticks_of_a_slow_service_are_put_together(look: Look) -> None:
    """Answers take 0.07 s: about five ticks of 0.03 s, two latencies, make a look."""
    ticks = [(look(0.03 * t, answers=20), look(0.03 * t, answers=20)) for t in range(41)]
    comparison, looks = Comparison.begin(RULES), []
    for old, new in ticks:
        comparison = comparison.after(old, new)
        looks.append(comparison.looks)
    assert looks[0] == 1
    assert 7 <= looks[-1] <= 10
    held = comparison.gathered.ticks if comparison.gathered else 0
    assert comparison.answers[0] == 20 * (len(ticks) - held)


def test_ticks_that_are_put_together_lose_nothing() -> None:
    one = Side(Histogram((0.1, 0.2), (4,)), 4, 1, 6.0, 3, 1.0)
    other = Side(Histogram((0.2, 0.4, inf), (5, 2)), 7, 0, 8.0, 2, 2.0)
    both = Gathered(0.0, 1, one, one).and_(other, other)
    assert both.old == both.new
    assert both.old.latency == Histogram((0.1, 0.2, 0.4, inf), (4, 5, 2))
    assert (both.old.answers, both.old.errors, both.old.time_s) == (11, 1, 2.0)
    assert both.old.saturation == pytest.approx((2.0 + 4.0) / 2.0)


@pytest.mark.parametrize("shares", [1, 2, 3, 5])
def test_the_comparisons_at_all_shares_are_false_as_seldom_as_one(shares: int) -> None:
    alphas = [RULES.at(share, shares).alpha for share in range(shares)]
    assert sum(alphas) == pytest.approx(RULES.alpha)
    assert max(alphas) == alphas[-1]
