"""Whether a decision was right, once what it started could serve."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import isfinite, nan

from trimtab_controller.memory import Outcome, TickRecord
from trimtab_controller.up.words import clock_time, percent
from trimtab_guard.model import State
from trimtab_sim.profile import Profile

# Less of the planned load than this, and there were more replicas than it took.
GENEROUS_SHARE = 0.75
IN_FORCE = (Outcome.APPLIED, Outcome.UNCHANGED)


class Judgement(StrEnum):
    """How a decision looks after the fact."""

    RIGHT = "right"
    SHORT = "too few"
    GENEROUS = "too many"
    TOO_EARLY = "too early to say"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Hindsight:
    """What came from ``since_s`` to ``until_s``; NaN where nothing was measured.

    ``peak_rps`` is the highest load, ``miss_share`` that of all requests.
    """

    judgement: Judgement
    words: str
    since_s: float = nan
    until_s: float = nan
    peak_rps: float = nan
    miss_share: float = nan


def hindsight(tick: TickRecord, later: Sequence[TickRecord], profile: Profile) -> Hindsight:
    """Compare ``tick`` with the ``later`` ones, which may begin and end anywhere.

    As long as it took until replicas served that were started then, they are watched. Where nothing
    was carried out, misses are somebody else's, and only the load counts.
    """
    proposal, verdict = tick.proposal, tick.verdict
    if not (proposal and verdict and verdict.backends and isfinite(proposal.due_s)):
        return Hindsight(Judgement.UNKNOWN, "unknown: it has no forecast to compare with")
    due_s = proposal.due_s
    states = (other.state for other in later if due_s <= other.time_s <= watched_until_s(tick))
    seen = [state for state in states if state and isfinite(load_rps(state))]
    if not seen:
        return _unseen(due_s, is_over=bool(later) and later[-1].time_s >= due_s)
    peak, missed = _peak_rps(seen), _miss_share(seen)
    replica_rps = {b.name: b.concurrency / b.service_time_s for b in profile.backends}
    carried = sum(replica_rps[want.name] * want.replicas for want in verdict.backends)
    allowed = 1.0 - profile.slo_share
    ours = missed if tick.outcome in IN_FORCE else nan
    judgement = _judged(peak, proposal.demand_rps, carried, ours > allowed)
    words = (
        f"{judgement}: from {clock_time(due_s)} on the load came to {peak:.0f} rps of "
        f"{proposal.demand_rps:.0f} planned and {carried:.0f} carried; misses were "
        f"{_told(missed)}, {percent(allowed)} allowed"
    )
    return Hindsight(judgement, words, due_s, seen[-1].time_s, peak, missed)


def watched_until_s(tick: TickRecord) -> float:
    """Until when what ``tick`` started is watched; its own time when it has no forecast."""
    if not (tick.proposal and isfinite(tick.proposal.due_s)):
        return tick.time_s
    return tick.proposal.due_s + (tick.proposal.due_s - tick.time_s)


def load_rps(state: State) -> float:
    """Of the whole service; NaN where a backend was not measured."""
    return sum(backend.rate_rps.value for backend in state.backends)


def _unseen(due_s: float, *, is_over: bool) -> Hindsight:
    since = clock_time(due_s)
    if is_over:
        return Hindsight(Judgement.UNKNOWN, f"unknown: no load was measured from {since} on")
    words = f"too early to say: what it started serves from {since} on"
    return Hindsight(Judgement.TOO_EARLY, words)


def _judged(peak: float, planned: float, carried: float, missed: bool) -> Judgement:
    if missed or peak > carried:
        return Judgement.SHORT
    return Judgement.GENEROUS if peak < GENEROUS_SHARE * planned else Judgement.RIGHT


def _peak_rps(states: Sequence[State]) -> float:
    return max(map(load_rps, states))


def _miss_share(states: Sequence[State]) -> float:
    """Of all requests; NaN where misses were not measured, or there were no requests."""
    measured = [
        (load_rps(state), state.miss_share.value)
        for state in states
        if isfinite(state.miss_share.value)
    ]
    requests = sum(load for load, _ in measured)
    return sum(load * share for load, share in measured) / requests if requests else nan


def _told(share: float) -> str:
    return percent(share) if isfinite(share) else "not measured"
