"""The trusted, durable memory: what the windows of the guard are counted over.

A frozen value that turns into plain JSON and back, so the journal can keep it and a
restarted daemon goes on with the same windows, budgets and cool-downs.

Once per tick, in this order (``judge`` learns from the state by itself)::

    verdict = judge(proposal, baseline, state, limits, history, now_s)
    history = history.with_state(state)
    history = history.with_proposal(proposal)  # the one in force, new or not
    history = history.with_change(now_s, "spot", 3, 5)  # per change really made
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple, TypeVar

from trimtab_guard.limits import LONGEST_WINDOW_S
from trimtab_guard.model import Proposal, State
from trimtab_guard.proposals import flaws
from trimtab_guard.senses import (
    SKEW_S,
    WHOLE_SHARE,
    Known,
    countable,
    learn,
    possible,
    signals,
    trusted_s,
)
from trimtab_guard.series import Band, Peaks, Point, Steps

Series = TypeVar("Series", Band, Peaks, Steps)

NOTHING: Mapping[str, Any] = MappingProxyType({})
"""Of no backend and no signal."""
NO_PEAKS, NO_STEPS = Peaks(), Steps()
"""Of a backend that was never seen."""


class History(NamedTuple):
    """What is known of one service's past hour.

    ``time_s`` is the last tick and ``backends`` who was there; ``recorded_s`` the last tick
    with a sound proposal in force and ``proposed_s`` when that one was made; ``strayed_s`` the
    last tick with one from outside of its policy's envelope. ``dark_s`` keeps, per tick, for
    how long nothing had been believable or proposed, and ``load`` the requests per second.
    ``proposals`` are replicas proposed; ``replicas`` and ``shares`` what was in force, whoever
    changed it.
    """

    time_s: float
    recorded_s: float
    proposed_s: float = 0.0
    strayed_s: float = 0.0
    backends: tuple[str, ...] = ()
    dark_s: Peaks = Peaks()
    load: Peaks = Peaks()
    proposals: Mapping[str, Peaks] = NOTHING
    replicas: Mapping[str, Steps] = NOTHING
    shares: Mapping[str, Band] = NOTHING
    senses: Mapping[str, Known] = NOTHING

    @classmethod
    def empty(cls, now_s: float) -> History:
        """No memory: as if all had been dark for longer than any window."""
        return cls(time_s=now_s, recorded_s=now_s - LONGEST_WINDOW_S)

    def with_state(self, state: State) -> History:
        """What is known after ``state``; the same state twice adds nothing.

        A clock that has gone back opens no window: what seemed to lie ahead counts as having
        happened now, and the jump as time in the dark. A change is made after the state that it
        rests on: it stays when it was, though that state may come once more.
        """
        now_s = state.time_s
        if not math.isfinite(now_s):
            return self
        seen = signals(state)
        senses = learn(self.senses, seen, now_s)
        lit_s = min(self.recorded_s, trusted_s(senses, seen))
        dark_s = max(now_s - lit_s, self.recorded_s - now_s)
        past_s = now_s - LONGEST_WINDOW_S
        latest_change_s = now_s if now_s < self.time_s else math.inf
        names = tuple([backend.name for backend in state.backends])
        replicas = _recent(self.replicas, past_s, latest_change_s, names)
        shares = _recent(self.shares, past_s, now_s, names)
        return History(
            time_s=now_s,
            recorded_s=min(self.recorded_s, now_s),
            proposed_s=min(self.proposed_s, now_s),
            strayed_s=min(self.strayed_s, now_s),
            backends=names,
            dark_s=self.dark_s.between(past_s, now_s).with_value(now_s, dark_s),
            load=_with_load(self.load.between(past_s, now_s), state),
            proposals=_recent(self.proposals, past_s, now_s, names),
            replicas=_with_counts(replicas, state),
            shares=_with_shares(shares, state),
            senses=senses,
        )

    def with_proposal(self, proposal: Proposal) -> History:
        """Remember the proposal in force at the last tick; a broken one is no evidence.

        Nor is one from outside of its policy's envelope, but that it was outside is remembered.
        """
        if any(flaws(proposal, self.backends, self.proposed_s, self.time_s)):
            return self
        if not proposal.in_envelope:
            return self._replace(proposed_s=proposal.time_s, strayed_s=self.time_s)
        seen = dict(self.proposals)
        for want in proposal.backends:
            peaks = seen.get(want.name, NO_PEAKS)
            seen[want.name] = peaks.with_value(self.time_s, want.replicas)
        return self._replace(recorded_s=self.time_s, proposed_s=proposal.time_s, proposals=seen)

    def with_change(self, time_s: float, backend: str, before: int, after: int) -> History:
        """Remember replicas that were really changed, before the next state can show it."""
        steps = self.replicas.get(backend, Steps())
        changed = steps.with_level(time_s, before).with_level(time_s, after)
        return self._replace(replicas={**self.replicas, backend: changed})

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers, lists and dicts: what ``json.dumps`` takes."""
        return {
            "time_s": self.time_s,
            "recorded_s": self.recorded_s,
            "proposed_s": self.proposed_s,
            "strayed_s": self.strayed_s,
            "backends": list(self.backends),
            "dark_s": _lists(self.dark_s.points),
            "load": _lists(self.load.points),
            "proposals": {name: _lists(peaks.points) for name, peaks in self.proposals.items()},
            "replicas": {name: _lists(steps.points) for name, steps in self.replicas.items()},
            "shares": {
                name: [
                    band.level,
                    band.last_s,
                    _lists(band.highs.points),
                    _lists(band.depths.points),
                ]
                for name, band in self.shares.items()
            },
            "senses": {name: list(known) for name, known in self.senses.items()},
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> History:
        """The inverse of ``to_dict``; ``ValueError`` when ``data`` is something else."""
        try:
            return cls(
                time_s=_number(data["time_s"]),
                recorded_s=_number(data["recorded_s"]),
                proposed_s=_number(data["proposed_s"]),
                strayed_s=_number(data["strayed_s"]),
                backends=tuple(str(name) for name in data["backends"]),
                dark_s=Peaks(_points(data["dark_s"])),
                load=Peaks(_points(data["load"])),
                proposals={name: Peaks(_points(p)) for name, p in data["proposals"].items()},
                replicas={name: Steps(_points(p)) for name, p in data["replicas"].items()},
                shares={name: _band(*raw) for name, raw in data["shares"].items()},
                senses={name: _known(k) for name, k in data["senses"].items()},
            )
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ValueError(f"not a guard history ({error!r}); start with an empty one") from error


def load_rps(state: State) -> float:
    """Requests per second at all backends, to two digits, so that a slow fall has few steps."""
    total_rps = 0.0
    for backend in state.backends:
        total_rps += backend.rate_rps.value
    return float(f"{total_rps:.1e}")


def _with_load(known: Peaks, state: State) -> Peaks:
    for backend in state.backends:
        if not possible(backend.rate_rps.value):
            return known
    return known.with_value(state.time_s, load_rps(state))


def _with_counts(known: Mapping[str, Steps], state: State) -> Mapping[str, Steps]:
    read_s = state.replicas_time_s
    for backend in state.backends:
        name, count = backend.name, backend.wanted
        steps = known.get(name, NO_STEPS)
        if countable(count) and steps.last_s <= read_s <= state.time_s + SKEW_S:
            moved = steps.with_level(min(read_s, state.time_s), count)
            known = known if moved is steps else {**known, name: moved}
    return known


def _with_shares(known: Mapping[str, Band], state: State) -> Mapping[str, Band]:
    seen, read_s = dict(known), state.replicas_time_s
    for backend in state.backends:
        name, share = backend.name, backend.weight
        band = known.get(name) or Band(share)
        if possible(share, WHOLE_SHARE) and band.last_s <= read_s <= state.time_s + SKEW_S:
            seen[name] = band.with_level(min(read_s, state.time_s), share)
    return seen


def _recent(
    series: Mapping[str, Series], past_s: float, now_s: float, names: tuple[str, ...]
) -> Mapping[str, Series]:
    """Without what is older than any window, and without backends that are long gone."""
    recent = {
        name: points.between(past_s, now_s)
        for name, points in series.items()
        if name in names or points.last_s >= past_s
    }
    return series if recent == series else recent


def _lists(points: Iterable[Point]) -> list[list[float]]:
    return [list(point) for point in points]


def _points(lists: Iterable[tuple[float, float]]) -> tuple[Point, ...]:
    return tuple((_number(time_s), _number(value)) for time_s, value in lists)


def _band(level: float, last_s: float, highs: Iterable[Point], depths: Iterable[Point]) -> Band:
    return Band(_number(level), _number(last_s), Peaks(_points(highs)), Peaks(_points(depths)))


def _known(numbers: Iterable[float]) -> Known:
    value, time_s, moved_s, equal = map(_number, numbers)
    return Known(value, time_s, moved_s, int(equal))


def _number(value: float) -> float:
    if not math.isfinite(value):
        raise ValueError(f"{value!r} is not a finite number")
    return value
