"""Waits and misses against exact formulas and against the request-level event model.

The aim (DESIGN.md section 5) is 1: mean wait within 5 % or 1 % of the service time, share
late within 5 % or half a point. The tables state, per case, the multiple of it that this
version reaches; the reference's and the simulator's own confidence intervals come on top.
`trimtab bench fidelity` prints the whole comparison.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest

from trimtab_agents.bench.fidelity import changes, steady
from trimtab_agents.bench.fidelity.cases import CHANGES, FAILURES, SERVICE_S
from trimtab_agents.bench.fidelity.exact import mg1_wait
from trimtab_agents.bench.fidelity.rows import EVENT_MODEL, Estimate, Row
from trimtab_agents.bench.fidelity.steady import Case, Steady

from . import event_model

COPIES = 12
TICKS, SETTLING_TICKS = 500, 60


def simulate(cases: list[Case], tick_s: float) -> list[Steady]:
    return steady.simulated(cases, tick_s, COPIES, TICKS * tick_s, SETTLING_TICKS * tick_s)


def excess(found: Steady, expected: Steady) -> tuple[float, float]:
    """Errors of wait and late share beyond the intervals, as multiples of the aim."""
    wait = Row(EVENT_MODEL, "", "wait", expected.wait, found.wait)
    late = Row(EVENT_MODEL, "", "late", expected.late, found.late)
    return wait.excess, late.excess


@pytest.mark.parametrize("tick_s", [1.0, 5.0])
def test_one_replica_is_mmc(tick_s: float) -> None:
    for case, found in zip(steady.MMC, simulate(steady.MMC, tick_s), strict=True):
        wait, late = excess(found, steady.exact_mmc(case))
        assert wait < 1.0, (case, found)
        assert late < 1.0, (case, found)


def test_one_slot_is_mg1() -> None:
    for case, found in zip(steady.MG1, simulate(steady.MG1, 5.0), strict=True):
        expected = Estimate(mg1_wait(case.scv, case.utilisation))
        assert Row("M/G/1", str(case), "wait", expected, found.wait).is_within, (case, found)


@pytest.mark.parametrize("case", [Case(1, 1.0, 1, 0.7), Case(4, 1.0, 1, 0.8)], ids=str)
def test_the_event_model_is_mmc_too(case: Case) -> None:
    phase = event_model.Phase(60_000 / case.rate_rps, case.rate_rps)
    backend = event_model.Backend(case.slots, case.scv)
    rng = np.random.default_rng(3)
    world = event_model.run(backend, 1, [phase], phase.seconds / 20, rng)
    arrived = world.arrived[1:-1]
    wait, late = world.wait_s[1:-1] / SERVICE_S / arrived, world.late[1:-1] / arrived
    exact = steady.exact_mmc(case)
    for found, expected in ((wait, exact.wait), (late, exact.late)):
        assert found.mean() == pytest.approx(expected.value, abs=2 * steady.half_width(found))


# (slots, scv) -> multiples of the aim for wait and late share, over 1 to 16 replicas and
# utilisation 0.3 to 0.95.
REACHED = {
    (1, 1.0): (1.0, 1.7),
    (4, 1.0): (1.0, 0.6),
    (16, 1.0): (1.0, 0.3),
    (4, 0.25): (1.0, 0.5),
    (4, 4.0): (1.2, 1.0),
}


@pytest.mark.parametrize("tick_s", [1.0, 5.0, 15.0])
def test_steady_state_is_that_of_the_event_model(tick_s: float) -> None:
    reference = steady.referenced()
    assert {case[:2] for case in reference} == set(REACHED)
    found = simulate(list(reference), tick_s)
    for (case, expected), ours in zip(reference.items(), found, strict=True):
        wait, late = excess(ours, expected)
        most_wait, most_late = REACHED[case.slots, case.scv]
        assert wait < most_wait, (case, ours, expected)
        assert late < most_late, (case, ours, expected)


class Limits(NamedTuple):
    """How far one change may be off: points of late share over all and in the worst 5 s, and
    the number in the system, relative to its peak.
    """

    total: float
    worst: float
    inside: float


CHANGE_LIMITS = {
    "crowd, doubled": Limits(0.005, 0.02, 0.1),
    "short burst": Limits(0.005, 0.01, 0.12),
    # Requests that time out leave the simulator's count too early, and with a long tail.
    "time-outs": Limits(0.005, 0.01, 0.25),
    "small, doubled": Limits(0.012, 0.01, 0.1),
    # In ticks of 5 s both queues get level within one, which is only followed on average.
    "two more of ten": Limits(0.016, 0.09, 0.1),
    "scaled down": Limits(0.005, 0.01, 0.1),
    # Old replicas' queues are of unequal length when service times vary much or slots are few;
    # the simulator knows only their mean.
    "scv 4": Limits(0.015, 0.07, 0.1),
    "one slot": Limits(0.04, 0.21, 0.1),
    "sixteen slots": Limits(0.005, 0.01, 0.1),
}


@pytest.mark.parametrize("tick_s", [1.0, 5.0])
@pytest.mark.parametrize("name", CHANGE_LIMITS)
def test_changes_are_lived_through_as_in_the_event_model(name: str, tick_s: float) -> None:
    expected = changes.referenced()[name]
    found = changes.simulated(CHANGES[name], tick_s)
    limits = CHANGE_LIMITS[name]
    assert found.total.value == pytest.approx(expected.total.value, abs=limits.total)
    worst = np.abs(found.late - expected.late) - expected.half_width
    assert worst.max() < limits.worst
    if tick_s == 1.0:
        # The reference counts at the bucket's end, the simulator over the tick before it.
        off = np.abs(found.inside - expected.inside) / expected.inside.max()
        assert off.max() < limits.inside, (np.round(found.inside), expected.inside)


def test_every_change_has_a_reference_and_a_limit() -> None:
    assert set(changes.referenced()) == set(CHANGES | FAILURES)
    assert set(CHANGES) == set(CHANGE_LIMITS)
