"""The worst case is a bound that the most hostile policy cannot pass, and one that it reaches."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from trimtab_controller.cli import main
from trimtab_controller.worst_case import Worst, together, worst
from trimtab_guard.guard import judge
from trimtab_guard.history import History
from trimtab_guard.limits import BackendLimits, ClusterLimits, Limits
from trimtab_guard.model import BackendState, Proposal, Reading, State, Want

NAMES = ("a", "b")
Wish = tuple[int, int, float]  # replicas of a and of b, share of a
START = (1, 1, 0.5)


def limits(maximum: int = 20, **fields: float) -> Limits:
    """Windows of some ticks."""
    windows = {"rate_window_s": 5.0, "weight_interval_s": 4.0, "hold_s": 3.0, "gap_s": 3.0}
    backends = tuple(BackendLimits(name, 1, maximum) for name in NAMES)
    return Limits("web", backends, flap_window_s=20.0, **windows | fields)


def lived(limits: Limits, wishes: list[Wish]) -> Iterator[Wish]:
    """A life in which every verdict comes true within its tick, and every reading is fine."""
    now_s, present = 1000.0, START
    history = History.empty(now_s)
    for wish in wishes:
        now_s += 1.0
        yield present
        state = State("web", now_s, now_s, seen(present, now_s), *[Reading(1.0, now_s)] * 3)
        wants = (Want("a", wish[0], wish[2]), Want("b", wish[1], 1 - wish[2]))
        proposal = Proposal("web", "hostile", now_s, wants)
        verdict = judge(proposal, (), state, limits, history, now_s)
        history = history.with_state(state).with_proposal(proposal)
        a, b = verdict.backends
        present = (a.replicas, b.replicas, a.weight)
    yield present


def seen(present: Wish, now_s: float) -> tuple[BackendState, ...]:
    a, b, share = present
    moving = Reading(now_s, now_s)
    return tuple(
        BackendState(name, count, 0, max(1, count), 0, weight, moving, moving)
        for name, count, weight in (("a", a, share), ("b", b, 1 - share))
    )


def most(life: list[Wish], span: int) -> Worst:
    """What really happened to a within any span of ticks."""
    spans = [life[i : i + span + 1] for i in range(len(life))]
    return Worst(
        up=max(later[0] - part[0][0] for part in spans for later in part),
        down=max(part[0][0] - later[0] for part in spans for later in part),
        share=max(abs(later[2] - part[0][2]) for part in spans for later in part),
    )


hostile = st.tuples(st.integers(0, 40), st.integers(0, 40), st.floats(0.0, 1.0))
bursts = st.lists(st.tuples(hostile, st.integers(1, 12)), min_size=1, max_size=12)


@settings(max_examples=150)
@given(
    bursts=bursts,
    up=st.tuples(st.integers(0, 200), st.integers(0, 6)),
    down=st.tuples(st.integers(0, 100), st.integers(0, 4)),
    step=st.floats(0.0, 0.5),
    span=st.sampled_from([1, 5, 6, 17]),
)
def test_no_policy_passes_the_worst_case(
    bursts: list[tuple[Wish, int]],
    up: tuple[int, int],
    down: tuple[int, int],
    step: float,
    span: int,
) -> None:
    rates = {"up_percent": up[0], "up_replicas": up[1], "weight_step": step}
    allowed = limits(**rates, down_percent=down[0], down_replicas=down[1])
    life = list(lived(allowed, [wish for wish, times in bursts for _ in range(times)]))
    found, bound = most(life, span), worst(allowed, allowed.backends[0], float(span))
    assert found.up <= bound.up
    assert found.down <= bound.down
    assert found.share <= bound.share + 1e-4  # the guard takes a millionth per tick for the same


@settings(max_examples=100)
@given(bursts=bursts, capacity_rps=st.floats(50.0, 2000.0), span=st.sampled_from([1, 5, 17]))
def test_only_what_cannot_be_carried_moves_faster(
    bursts: list[tuple[Wish, int]], capacity_rps: float, span: int
) -> None:
    carry = tuple(BackendLimits(name, 1, 20, capacity_rps) for name in NAMES)
    allowed = replace(limits(), backends=carry)
    life = list(lived(allowed, [wish for wish, times in bursts for _ in range(times)]))
    spilled = [spill(allowed, present, 1001.0 + i) for i, present in enumerate(life)]
    for first in range(len(life) - span):
        moved = abs(life[first + span][2] - life[first][2])
        at_once = sum(spilled[first : first + span])
        assert moved <= worst(allowed, carry[0], float(span)).share + at_once + 1e-4


def spill(limits: Limits, present: Wish, now_s: float) -> float:
    """How much of the route is on backends whose replicas cannot carry it."""
    load_rps = 2 * now_s * (1 + limits.headroom)
    shares = ((0, present[2]), (1, 1 - present[2]))
    fits = [limits.backends[i].capacity_rps * max(1, present[i]) / load_rps for i in (0, 1)]
    return sum(max(0.0, share - fits[i]) for i, share in shares)


def test_a_greedy_policy_reaches_it() -> None:
    """A change counts from the tick that sees it, so windows are long and spans some of them."""
    rates = {"up_replicas": 3, "up_percent": 20, "down_percent": 20, "down_replicas": 2}
    allowed = limits(maximum=40, rate_window_s=60.0, weight_interval_s=30.0, **rates)
    life = list(lived(allowed, [(40, 1, 0.99)] * 800 + [(1, 1, 0.01)] * 400))
    for span in (60, 120, 180):
        found, bound = most(life, span), worst(allowed, allowed.backends[0], float(span))
        assert (*found,) == pytest.approx((*bound,))


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda limits: limits, [(5, 1, 0.2), (10, 9, 1.0), (10, 9, 1.0)]),
        (lambda limits: replace(limits, up_replicas=0, up_percent=0), [(0, 1, 0.2)]),
        (lambda limits: replace(limits, down_replicas=0, down_percent=0), [(5, 0, 0.2)]),
        (lambda limits: limits.scaled(60), [(10, 9, 1.0)]),
    ],
    ids=["defaults", "no growth", "no shrinking", "sixty times faster"],
)
def test_figures(change: Callable[[Limits], Limits], expected: list[Worst]) -> None:
    allowed = change(Limits("web", (BackendLimits("a"),)))
    spans = (60.0, 600.0, 3600.0)[: len(expected)]
    assert [worst(allowed, allowed.backends[0], span_s) for span_s in spans] == expected


@pytest.mark.parametrize(
    ("cluster", "expected"),
    [
        (ClusterLimits(), [(30.0, 2), (60.0, 2), (60.0, 2)]),
        (ClusterLimits(budget=7.0), [(7.0, 2), (7.0, 2), (42.0, 2)]),
        (ClusterLimits(services_at_once=1), [(30.0, 1), (60.0, 2), (60.0, 2)]),
    ],
    ids=["the sum of all", "a budget", "one after the other"],
)
def test_figures_of_all_services(cluster: ClusterLimits, expected: list[tuple[float, int]]) -> None:
    backends = (BackendLimits("a", price=2.0), BackendLimits("b", price=1.0))
    services = [Limits("web", backends), Limits("api", backends)]
    assert [together(services, cluster, span_s) for span_s in (60.0, 600.0, 3600.0)] == expected


def test_the_largest_fleet_is_no_trouble() -> None:
    backend = BackendLimits("a", 1, 100_000)
    assert worst(Limits("web", (backend,)), backend, 600.0).up > 99_000


def test_the_command_prints_every_backend_and_what_stays() -> None:
    result = CliRunner().invoke(main, ["limits", "worst-case"])
    assert result.exit_code == 0
    assert result.output.count("on-demand    within") == 3
    assert "each carries on-demand 66.7, spot 66.7 requests/s" in result.output
    assert "within a minute:    +16.8 an hour, 1 services changed" in result.output
    assert "floors stay, at most on-demand 12, spot 12 replicas (+15.4 an hour" in result.output


def test_the_command_names_what_is_wrong(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["limits", "worst-case", "--config", f"{tmp_path}/no.yaml"])
    assert result.exit_code == 1
    assert result.output.startswith(f"Error: {tmp_path}/no.yaml: No such file")
