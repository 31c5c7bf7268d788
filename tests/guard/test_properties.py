"""What no policy, sensor, clock or memory can bring about."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trimtab_guard.guard import judge
from trimtab_guard.history import History
from trimtab_guard.limits import BackendLimits, Limits
from trimtab_guard.model import Proposal, Reading, State, Verdict, Want

from .world import NAMES, NOW_S, backend, state

odd = st.sampled_from([math.nan, math.inf, -math.inf, -1.0, 0.0, 1e300, 1e-320, 0.5, 1.0])
times = st.one_of(st.floats(-120, 5).map(lambda s: NOW_S + s), st.just(NOW_S), odd)
counts = st.one_of(st.integers(0, 30), st.integers(-(10**30), 10**30), odd)
shares = st.one_of(st.floats(0, 1), odd)
readings = st.builds(Reading, st.one_of(st.floats(0, 1000), odd), times)
names = st.sampled_from([*NAMES, "other"])


@st.composite
def states(draw: st.DrawFn, sane: bool = False) -> State:
    """Any state; a ``sane`` one has possible counts and fresh signals."""
    if not sane and draw(st.integers(0, 3)) == 0:
        return state(
            draw(times),
            replicas_time_s=draw(times),
            backends=tuple(draw(st.lists(st.builds(
                backend, names, st.just(NOW_S), wanted=counts, ready=counts, weight=shares,
                rate_rps=readings, in_flight=readings), max_size=3))),
            p95_ms=draw(readings),
        )  # fmt: skip
    share = draw(st.floats(0, 1))
    fields = [
        {"wanted": draw(st.integers(0, 30)), "ready": draw(st.integers(0, 3)), "weight": weight}
        for weight in (share, 1 - share)
    ]
    if not sane and draw(st.booleans()):
        fields[0] |= {"rate_rps": draw(readings)}
    return state(od=fields[0], spot=fields[1])


@st.composite
def proposals(draw: st.DrawFn) -> Proposal:
    replicas = st.integers(0, 40)
    if draw(st.booleans()):
        wants = [Want(name, draw(replicas), draw(st.floats(0.01, 1))) for name in NAMES]
        return Proposal("web", "sane", NOW_S, tuple(wants))
    wants = draw(st.lists(st.builds(Want, names, counts, shares), max_size=4))
    return Proposal(draw(st.sampled_from(["web", "x"])), "hostile", draw(times), tuple(wants))


@st.composite
def limits(draw: st.DrawFn) -> Limits:
    least = draw(st.integers(0, 5))
    bounds = [BackendLimits(name, least, draw(st.integers(max(1, least), 25))) for name in NAMES]
    return Limits(
        "web",
        tuple(bounds),
        up_percent=draw(st.integers(0, 200)),
        up_replicas=draw(st.integers(0, 6)),
        down_percent=draw(st.integers(0, 100)),
        down_replicas=draw(st.integers(0, 3)),
        weight_step=draw(st.floats(0, 1)),
    )


@st.composite
def histories(draw: st.DrawFn) -> History:
    """A calm past that is long enough for every window, or a short or troubled one."""
    past = History.empty(NOW_S - 700 if draw(st.booleans()) else NOW_S - 20)
    start_s = int(NOW_S - past.time_s)
    level = draw(st.integers(0, 30))
    for age_s in range(start_s, 0, -20):
        seen = state(NOW_S - age_s, od={"wanted": level}, spot={"wanted": 5})
        asked = draw(st.integers(0, 3)) if age_s % 80 == 20 else 1
        wants = (Want("od", asked, 0.5), Want("spot", 1, 0.5))
        past = past.with_state(seen).with_proposal(Proposal("web", "p", seen.time_s, wants))
    for before, after in draw(
        st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), max_size=3)
    ):
        past = past.with_change(NOW_S - draw(st.integers(0, 700)), "od", before, after)
    return past


worlds = st.fixed_dictionaries(
    {
        "proposal": proposals(),
        "baseline": st.lists(st.builds(Want, names, counts, shares), max_size=3).map(tuple),
        "state": states(),
        "limits": limits(),
        "history": histories(),
        "now_s": st.one_of(st.just(NOW_S), st.floats(NOW_S - 100, NOW_S + 100)),
    }
)
sane_worlds = st.fixed_dictionaries(
    {
        "proposal": proposals(),
        "baseline": st.just(()),
        "state": states(sane=True),
        "limits": limits(),
        "history": histories(),
        "now_s": st.just(NOW_S),
    }
)
quick = settings(max_examples=150)


def pairs(world: dict[str, Any], result: Verdict) -> list[tuple[Want, Any, BackendLimits]]:
    """(want, present, range) of every backend that a verdict names."""
    ranges = {limits.name: limits for limits in world["limits"].backends}
    there = {present.name: present for present in world["state"].backends}
    return [(want, there[want.name], ranges[want.name]) for want in result.backends]


@quick
@given(worlds)
def test_a_verdict_is_always_possible_and_only_about_what_is_listed(world: dict[str, Any]) -> None:
    result = judge(**world)
    assert [want.name for want in result.backends] in (
        [],
        [b.name for b in world["state"].backends],
    )
    for want, present, allowed in pairs(world, result):
        assert isinstance(want.replicas, int)
        assert 0 <= want.weight <= 1 + 1e-5
        low = min(present.wanted, allowed.min_replicas)
        high = max(present.wanted, allowed.max_replicas)
        assert low <= want.replicas <= high
    if result.backends:
        assert sum(want.weight for want in result.backends) == pytest.approx(1, abs=1e-5)


@quick
@given(sane_worlds)
def test_outside_the_range_a_verdict_only_moves_towards_it(world: dict[str, Any]) -> None:
    for want, present, allowed in pairs(world, judge(**world)):
        if present.wanted < allowed.min_replicas:
            assert present.wanted <= want.replicas <= allowed.max_replicas
        elif present.wanted > allowed.max_replicas:
            assert allowed.min_replicas <= want.replicas <= present.wanted
        else:
            assert allowed.min_replicas <= want.replicas <= allowed.max_replicas


@quick
@given(sane_worlds)
def test_no_share_for_what_cannot_serve(world: dict[str, Any]) -> None:
    rows = pairs(world, judge(**world))
    if any(present.ready for _, present, _ in rows):
        assert all(want.weight == 0 for want, present, _ in rows if not present.ready)


@quick
@given(worlds)
def test_reasons_tell_the_whole_story(world: dict[str, Any]) -> None:
    """Without a reason nothing was changed, and every refusal has one."""
    result = judge(**world)
    if not result.reasons:
        asked = {want.name: want for want in world["proposal"].backends}
        assert result.backends == tuple(asked[want.name] for want in result.backends)
        assert len(result.backends) == len(asked)
    for reason in result.reasons:
        assert reason.before != reason.after


@quick
@given(worlds)
def test_a_verdict_judged_again_stays_as_it_is(world: dict[str, Any]) -> None:
    result = judge(**world)
    again = Proposal("web", "again", world["now_s"], result.backends)
    if result.backends and world["history"].proposed_s <= world["now_s"]:
        assert judge(**world | {"proposal": again}).backends == result.backends


@quick
@given(sane_worlds, st.integers(0, 40), st.integers(0, 40))
def test_wanting_more_never_gives_less(world: dict[str, Any], one: int, other: int) -> None:
    def given_for(count: int) -> int:
        wants = (Want("od", count, 0.5), Want("spot", 5, 0.5))
        proposal = Proposal("web", "p", NOW_S, wants)
        return judge(**world | {"proposal": proposal}).backends[0].replicas

    less, more = sorted((one, other))
    assert given_for(less) <= given_for(more)


TIGHTER: dict[str, Any] = {
    "up_percent": lambda value: value // 2,
    "up_replicas": lambda value: value // 2,
    "down_percent": lambda value: value // 2,
    "down_replicas": lambda value: value // 2,
    "rate_window_s": lambda value: value * 5,
    "flap_window_s": lambda value: value * 5,
    "hold_s": lambda value: value * 2,
    "gap_s": lambda value: value / 5,
    "drop_s": lambda value: value * 5,
    "drop_share": lambda value: value * 2,
    "headroom": lambda value: value * 2,
    "weight_step": lambda value: value / 2,
    "weight_interval_s": lambda value: value * 5,
}


@quick
@given(sane_worlds, st.sampled_from(sorted(TIGHTER)))
def test_a_tighter_limit_never_moves_further(world: dict[str, Any], name: str) -> None:
    loose = world["limits"]
    tight = replace(loose, **{name: TIGHTER[name](getattr(loose, name))})
    before, after = judge(**world), judge(**world | {"limits": tight})
    for want, tighter, (_, present, _) in zip(
        before.backends, after.backends, pairs(world, before), strict=True
    ):
        there = present.wanted
        assert min(want.replicas, there) <= tighter.replicas <= max(want.replicas, there)


@quick
@given(worlds)
def test_judging_leaves_everything_as_it_was(world: dict[str, Any]) -> None:
    copies = {name: repr(value) for name, value in world.items()}
    assert repr(judge(**world)) == repr(judge(**world))
    assert {name: repr(value) for name, value in world.items()} == copies


@quick
@given(states(sane=True), histories(), st.integers(0, 30), st.integers(0, 30))
def test_in_doubt_nothing_is_ever_taken_away(
    seen: State, past: History, one: int, other: int
) -> None:
    bad = seen.backends[0]._replace(rate_rps=Reading(math.nan, NOW_S))
    seen = seen._replace(backends=(bad, seen.backends[1]))
    wish = Proposal("web", "p", NOW_S, (Want("od", one, 0.5), Want("spot", other, 0.5)))
    allowed = Limits("web", tuple(BackendLimits(name, 0, 8) for name in NAMES))
    result = judge(wish, wish.backends, seen, allowed, past, NOW_S)
    for want, present in zip(result.backends, seen.backends, strict=True):
        assert want.replicas >= present.wanted
