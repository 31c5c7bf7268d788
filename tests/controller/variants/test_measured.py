"""What is made of Envoy's counters: every request counts once, and what hangs is no rest."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from trimtab_controller.canary.sides import Totals
from trimtab_controller.variants.plan import Plan, Variant
from trimtab_controller.variants.sight import measured

SLO_S = 0.3
IN_TIME, CUT, LATE = (290.0, 10.0), (300.0, 10.0), (2000.0, 100.0)
NOTHING = Totals({}, 0, 0, 0)
COUNTS = st.integers(0, 1000)


@given(COUNTS, COUNTS, COUNTS, st.integers(0, 3000), COUNTS, st.floats(1.0, 600.0))
def test_misses_are_some_of_the_requests(
    in_time: int, cut: int, late: int, errors: int, active: int, seconds: float
) -> None:
    answers = in_time + cut + late
    bins = {IN_TIME: in_time, CUT: cut, LATE: late}
    now = Totals(bins, answers, min(errors, answers), active)
    found = measured("v", NOTHING, now, seconds, SLO_S)
    assert cut + late <= found.misses <= found.requests
    assert answers <= found.requests <= answers + active
    if active <= answers / seconds * SLO_S:  # as many as have come within the SLO's time
        assert found.requests == answers


@given(st.integers(1, 500), st.integers(2, 500), st.integers(1, 500))
def test_one_that_hangs_misses_more_the_longer_it_does(
    answers: int, active: int, more: int
) -> None:
    def hung(inside: int) -> float:
        now = Totals({IN_TIME: answers}, answers, 0, inside)
        return measured("v", NOTHING, now, 1000.0, SLO_S).miss_share

    assert 0.0 < hung(active) < hung(active + more) < 1.0


@given(st.floats(0.0, 1e5), st.floats(0.1, 1e4), st.floats(0.01, 1.0))
def test_copies_never_are_more_than_was_said(rps: float, rate_rps: float, most: float) -> None:
    plan = Plan("web", "a", "e", (Variant("v"),), rate_rps=rate_rps, most_share=most)
    share = plan.share(rps)
    assert 0.0 < share <= most
    assert share * rps <= rate_rps * (1 + 1e-9)
