"""What SAFETY.md promises of one verdict; a name says which promise was not kept."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from trimtab_controller.guard_bench.past import is_count, within
from trimtab_controller.guard_bench.routing import EXACT
from trimtab_controller.guard_bench.scaling import Scaling
from trimtab_controller.guard_bench.scene import Scene
from trimtab_guard.limits import BackendLimits
from trimtab_guard.model import BackendState, Proposal, Verdict, Want

ROUNDING = 1e-5
CENT = 1e-6
SAME_SHARE = 0.001
"""A service that moves less does not count as changing."""


def broken(
    scene: Scene, proposal: Proposal, baseline: Sequence[Want], verdict: Verdict
) -> Iterator[str]:
    """The promises that ``verdict`` does not keep."""
    if not scene.known:
        if verdict.backends:
            yield "an unknown present is not touched"
        if not verdict.reasons:
            yield "every refusal has a reason"
        return
    misshapen = tuple(_misshapen(scene, verdict))
    if misshapen:
        yield from misshapen
        return
    trusted = scene.doubt == "none" and _is_trusted(scene, proposal)
    heard = trusted and not scene.means.waits
    wishes = _wishes(scene, proposal if heard else None, () if trusted else baseline)
    for want, here, scaling, bounds in _rows(scene, verdict):
        yield from _miscounted(want.replicas, wishes[want.name], here, scaling, bounds)
    yield from _misspent(scene, wishes, verdict)
    yield from _misrouted(scene, verdict, held=not heard or scene.at.state.rollout)
    asked = {want.name: want for want in proposal.backends}
    if not verdict.reasons and any(asked.get(want.name) != want for want in verdict.backends):
        yield "every change has a reason"


def broken_by_restoring(scene: Scene, before: Sequence[Want], verdict: Verdict) -> Iterator[str]:
    """The same for taking back an action: shares at once, the higher replicas of then and now."""
    if not scene.known:
        if verdict.backends:
            yield "an unknown present is not touched"
        return
    misshapen = tuple(_misshapen(scene, verdict))
    if misshapen:
        yield from misshapen
        return
    then = {want.name: want for want in before}
    for want, here, scaling, bounds in _rows(scene, verdict):
        was = then[want.name].replicas if want.name in then else here.wanted
        yield from _miscounted(want.replicas, max(was, here.wanted), here, scaling, bounds)
    yield from _mislaid(scene, verdict)
    shares = [then[b.name].weight if b.name in then else b.weight for b in scene.at.state.backends]
    if _can_carry(scene, shares):
        for want, share in zip(verdict.backends, shares, strict=True):
            if abs(want.weight - share) > ROUNDING:
                yield "a rollback restores the shares"


def _is_trusted(scene: Scene, proposal: Proposal) -> bool:
    """Whether the policy has a say."""
    past, limits, now_s = scene.at.past, scene.at.limits, scene.at.now_s
    return (
        proposal.service == limits.service
        and past.is_sound(proposal, [b.name for b in scene.at.state.backends], now_s)
        and now_s - proposal.time_s <= limits.blind_s
        and proposal.in_envelope
        and now_s - past.strayed_s >= limits.envelope_s
    )


def _wishes(scene: Scene, heard: Proposal | None, baseline: Sequence[Want]) -> dict[str, int]:
    """Whose word counts: the proposal's; else the present's, with the baseline's on top.

    Who only waits for other services keeps the present: the baseline is there for a lost policy.
    """
    if heard:
        return {want.name: want.replicas for want in heard.backends}
    wishes = {backend.name: backend.wanted for backend in scene.at.state.backends}
    if scene.doubt != "held":
        for want in baseline:
            if want.name in wishes and is_count(want.replicas):
                wishes[want.name] = max(wishes[want.name], want.replicas)
    return wishes


def _miscounted(
    count: int, wish: int, here: BackendState, scaling: Scaling, bounds: BackendLimits
) -> Iterator[str]:
    yield from (name for name, floor in scaling.floors.items() if count < floor)
    yield from (name for name, most in scaling.ceilings.items() if count > most)
    goal = min(max(wish, bounds.min_replicas), bounds.max_replicas)
    if not min(here.wanted, goal) <= count <= max(here.wanted, goal):
        yield "nothing that nobody asked for"


def _misspent(scene: Scene, wishes: dict[str, int], verdict: Verdict) -> Iterator[str]:
    """Growth is paid for, and what can be paid is never refused, however full other windows are."""
    cost = wanted_cost = 0.0
    refused = False
    for want, here, scaling, bounds in _rows(scene, verdict):
        goal = min(max(wishes[want.name], bounds.min_replicas), bounds.max_replicas)
        granted = min(goal, scaling.ceilings["grows at the allowed rate"])
        refused |= want.replicas < granted
        cost += max(0, want.replicas - here.wanted) * bounds.price
        wanted_cost += max(0, granted - here.wanted) * bounds.price
    if cost > scene.means.left + CENT:
        yield "one budget for all new replicas"
    if refused and wanted_cost <= scene.means.left:
        yield "capacity within the limits is never refused"


def _misrouted(scene: Scene, verdict: Verdict, held: bool) -> Iterator[str]:
    yield from _mislaid(scene, verdict)
    routing = scene.routing
    spans = routing.held if held else routing.free
    slack = SAME_SHARE if scene.means.waits else ROUNDING
    for want, span in zip(verdict.backends, spans, strict=True):
        if not span.low - slack <= want.weight <= span.high + slack:
            yield "a held route stays" if held else "a share moves by a step at most"


def _mislaid(scene: Scene, verdict: Verdict) -> Iterator[str]:
    """Shares where they may never be, at whatever speed they came there."""
    routing = scene.routing
    for want, ready, most in zip(verdict.backends, routing.ready, routing.most, strict=True):
        if want.weight and not ready and any(routing.ready):
            yield "no share without a ready replica"
        elif want.weight > most + ROUNDING:
            yield "no more load than can be carried"


def _can_carry(scene: Scene, shares: Sequence[float]) -> bool:
    routing = scene.routing
    return (
        any(routing.ready)
        and abs(sum(shares) - 1) <= EXACT
        and all(share <= most for share, most in zip(shares, routing.most, strict=True))
    )


def _misshapen(scene: Scene, verdict: Verdict) -> Iterator[str]:
    listed = [backend.name for backend in scene.at.state.backends]
    if [want.name for want in verdict.backends] != listed:
        yield "just what is listed, in its order"
    if not all(is_count(w.replicas) and within(w.weight, 1 + ROUNDING) for w in verdict.backends):
        yield "possible replicas and shares"
    if not abs(sum(want.weight for want in verdict.backends) - 1) <= ROUNDING:
        yield "shares sum to one"


def _rows(
    scene: Scene, verdict: Verdict
) -> Iterator[tuple[Want, BackendState, Scaling, BackendLimits]]:
    rows = zip(verdict.backends, scene.at.pairs, scene.scaling, strict=True)
    for want, (here, bounds), scaling in rows:
        yield want, here, scaling, bounds
