"""The way from one routing snapshot to the next never sends traffic to nobody."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from trimtab_stage.xds import WEIGHT_PARTS, Snapshot, route_weights, steps

BACKENDS = ("a", "b", "c")
SHARES = st.fixed_dictionaries(dict.fromkeys(BACKENDS, st.floats(0, 1))).filter(
    lambda shares: sum(shares.values()) > 0
)
SOCKETS = st.lists(st.sampled_from("123"), unique=True).map(tuple)


@st.composite
def snapshots(draw: st.DrawFn) -> Snapshot:
    endpoints = draw(st.fixed_dictionaries(dict.fromkeys(BACKENDS, SOCKETS)))
    serving = [backend for backend in BACKENDS if endpoints[backend]]
    variants = draw(st.dictionaries(st.sampled_from(("copy-1", "copy-2")), SOCKETS))
    mirrors = {cluster: draw(st.integers(1, 10**6)) for cluster in variants if variants[cluster]}
    return Snapshot(endpoints | variants, route_weights(draw(SHARES), serving), mirrors)


def is_safe(snapshot: Snapshot) -> bool:
    """No weight on an empty backend, no copies to an empty cluster."""
    return all(snapshot.endpoints[b] for b, parts in snapshot.weights.items() if parts) and all(
        snapshot.endpoints[cluster] for cluster in snapshot.mirrors
    )


@given(SHARES, st.sets(st.sampled_from(BACKENDS)))
def test_the_route_always_has_a_weight(shares: dict[str, float], serving: set[str]) -> None:
    weights = route_weights(shares, serving)
    assert abs(sum(weights.values()) - WEIGHT_PARTS) <= len(BACKENDS)
    able = any(shares[backend] > 0 for backend in serving)
    assert not able or all(weights[b] == 0 for b in BACKENDS if b not in serving)


@given(snapshots().filter(is_safe), snapshots().filter(is_safe))
def test_every_step_is_safe_and_the_last_is_the_goal(before: Snapshot, after: Snapshot) -> None:
    way = steps(before, after)
    assert all(is_safe(step) for step in way)
    assert (way[-1] if way else before) == after
    for last, step in zip([before, *way], way, strict=False):
        assert last != step
        same_route = (last.weights, last.mirrors) == (step.weights, step.mirrors)
        assert last.endpoints == step.endpoints or same_route


def test_the_first_snapshot_is_told_at_once() -> None:
    first = Snapshot({"a": ("1",)}, {"a": WEIGHT_PARTS})
    assert steps(None, first) == [first]
