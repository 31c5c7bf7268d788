"""A second guard, written from the invariants alone: slow, and as plain as can be.

It keeps everything that ever happened, prunes nothing, and finds the replicas that it allows
by trying every number. It shares constants and the limits' values with the guard, no logic.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise

from trimtab_guard.limits import LONGEST_WINDOW_S, Limits
from trimtab_guard.model import BackendState, Proposal, Reading, State, Want

LARGEST, SKEW_S, FROZEN_READINGS = 1e9, 1.0, 30

Log = list[tuple[float, float]]


def is_number(value: float, most: float) -> bool:
    return math.isfinite(value) and 0 <= value <= most


def is_count(value: float) -> bool:
    return is_number(value, LARGEST) and float(value).is_integer()


def is_share(value: float) -> bool:
    return is_number(value, 1.000001)


class SlowGuard:
    def __init__(self, now_s: float) -> None:
        self.now_s = self.before_s = now_s
        self.proposed_s = 0.0
        self.recorded_s = now_s - LONGEST_WINDOW_S
        self.names: list[str] = []
        self.dark: Log = []
        self.loads: Log = []
        self.strayed_s = -math.inf
        self.asked: dict[str, Log] = defaultdict(list)
        self.levels: dict[str, Log] = defaultdict(list)
        self.shares: dict[str, Log] = defaultdict(list)
        self.readings: dict[str, Log] = defaultdict(list)

    # What it remembers.

    def see(self, state: State) -> None:
        self.before_s = self.now_s
        if state.time_s < self.now_s:
            self._clock_went_back(state.time_s)
        now_s = self.now_s = state.time_s
        self.names = [backend.name for backend in state.backends]
        for name, reading, most in self._signals(state):
            last = self.readings[name][-1:]
            entry = (min(reading.time_s, now_s), reading.value)
            possible = is_number(reading.value, most) and reading.time_s <= now_s + SKEW_S
            if possible and _last_s(last) <= reading.time_s and entry not in last:
                self.readings[name].append(entry)
        for backend in state.backends:
            for log, value, sound in (
                (self.levels, backend.wanted, is_count),
                (self.shares, backend.weight, is_share),
            ):
                mine = log[backend.name]
                if sound(value) and _last_s(mine) <= state.replicas_time_s <= now_s + SKEW_S:
                    _set(mine, min(state.replicas_time_s, now_s), value)
        needed = [f"{name}.{kind}" for name in self.names for kind in ("rate_rps", "in_flight")]
        known_s = min([self.recorded_s, *map(self._believed_s, needed)])
        self.dark.append((now_s, now_s - known_s))
        if all(is_number(b.rate_rps.value, LARGEST) for b in state.backends):
            self.loads.append((now_s, _two_digits(sum(b.rate_rps.value for b in state.backends))))

    def propose(self, proposal: Proposal) -> None:
        if not self._is_sound(proposal, self.names, self.now_s):
            return
        if not proposal.in_envelope:
            self.strayed_s, self.proposed_s = self.now_s, proposal.time_s
        else:
            self.recorded_s, self.proposed_s = self.now_s, proposal.time_s
            for want in proposal.backends:
                self.asked[want.name].append((self.now_s, want.replicas))

    def change(self, time_s: float, name: str, before: int, after: int) -> None:
        _set(self.levels[name], time_s, before)
        _set(self.levels[name], time_s, after)

    def _clock_went_back(self, now_s: float) -> None:
        jump_s = self.recorded_s - now_s
        by_name = (self.asked, self.levels, self.shares, self.readings)
        for log in (self.dark, self.loads, *(log for logs in by_name for log in logs.values())):
            log[:] = [(min(time_s, now_s), value) for time_s, value in log]
        self.dark.append((now_s, jump_s))
        self.recorded_s = min(self.recorded_s, now_s)
        self.proposed_s = min(self.proposed_s, now_s)
        self.strayed_s = min(self.strayed_s, now_s)

    # What it believes.

    def _signals(self, state: State) -> list[tuple[str, Reading, float]]:
        found: list[tuple[str, Reading, float]] = []
        for backend in state.backends:
            found.append((f"{backend.name}.rate_rps", backend.rate_rps, LARGEST))
            found.append((f"{backend.name}.in_flight", backend.in_flight, LARGEST))
        found.append(("p50_ms", state.p50_ms, LARGEST))
        found.append(("p95_ms", state.p95_ms, LARGEST))
        found.append(("miss_share", state.miss_share, 1.000001))
        return found

    def _run(self, name: str) -> list[float]:
        """Event times of the latest readings that are all equal, newest first."""
        run = []
        for time_s, value in reversed(self.readings[name]):
            if value != self._value(name):
                break
            run.append(time_s)
        return run

    def _rests(self, name: str) -> bool:
        return len(self._run(name)) >= FROZEN_READINGS

    def _value(self, name: str) -> float:
        return self.readings[name][-1][1]

    def _is_frozen(self, name: str) -> bool:
        if not name.endswith(".rate_rps") or not self._run(name) or not self._rests(name):
            return False
        known = {of for of, readings in self.readings.items() if readings}
        witnesses = {name.replace(".rate_rps", ".in_flight")} & known
        if self._value(name) > 0:
            witnesses |= {of for of in known if of.endswith(".rate_rps")}
        return any(not self._rests(witness) for witness in witnesses)

    def _believed_s(self, name: str) -> float:
        run = self._run(name)
        if not run:
            return 0.0
        return run[-1] if self._is_frozen(name) else run[0]

    def _doubt(self, state: State, limits: Limits, now_s: float) -> str:
        worst = "none"
        for name, reading, _ in self._signals(state):
            optional = not name.endswith((".rate_rps", ".in_flight"))
            believed = bool(self._run(name)) and self._value(name) == reading.value
            if optional and (believed or math.isnan(reading.value)):
                continue
            age_s = now_s - self._believed_s(name)
            if age_s > limits.blind_s:
                return "blind"
            if not believed or self._is_frozen(name) or age_s > limits.stale_s:
                worst = "stale"
        return worst

    # What it allows.

    def judge(
        self,
        proposal: Proposal,
        baseline: Sequence[Want],
        state: State,
        limits: Limits,
        now_s: float,
    ) -> dict[str, tuple[int, float]]:
        """Replicas and share per backend; empty when nothing may be touched.

        To be asked after ``see``.
        """
        if not self._is_seen(state, limits, now_s):
            return {}
        doubt = self._doubt(state, limits, now_s)
        trusted = (
            proposal.service == limits.service
            and self._is_sound(proposal, [b.name for b in state.backends], now_s)
            and now_s - proposal.time_s <= limits.blind_s
            and proposal.in_envelope
            and now_s - self.strayed_s >= limits.envelope_s
        )
        wishes = {b.name: (b.wanted, b.weight) for b in state.backends}
        if doubt == "none" and trusted:
            wishes = {want.name: (want.replicas, want.weight) for want in proposal.backends}
        elif doubt != "stale":
            for want in baseline:
                if want.name in wishes and is_count(want.replicas):
                    count, share = wishes[want.name]
                    wishes[want.name] = (max(count, want.replicas), share)
        up_only = doubt != "none"
        if state.rollout:
            wishes = {b.name: (wishes[b.name][0], b.weight) for b in state.backends}
        load = _two_digits(sum(b.rate_rps.value for b in state.backends))
        recent = [rps for time_s, rps in self.loads if time_s >= now_s - limits.drop_s]
        fell = any(load < limits.drop_share * rps for rps in recent)
        wish = [wishes[b.name][1] for b in state.backends]
        shares = self._route(wish, up_only, state, limits, now_s)
        return {
            b.name: (
                self._replicas(wishes[b.name][0], b, up_only or state.rollout, fell, limits, now_s),
                share,
            )
            for b, share in zip(state.backends, shares, strict=True)
        }

    def _is_seen(self, state: State, limits: Limits, now_s: float) -> bool:
        return (
            state.service == limits.service
            and sorted(b.name for b in state.backends) == sorted(b.name for b in limits.backends)
            and now_s >= self.before_s - SKEW_S
            and all(
                now_s - limits.stale_s <= time_s <= now_s + SKEW_S
                for time_s in (state.time_s, state.replicas_time_s)
            )
            and all(
                is_share(b.weight)
                and all(map(is_count, (b.wanted, b.starting, b.ready, b.draining)))
                and is_count(b.disruption_min)
                for b in state.backends
            )
        )

    def _is_sound(self, proposal: Proposal, names: Sequence[str], now_s: float) -> bool:
        wants = proposal.backends
        return (
            sorted(want.name for want in wants) == sorted(names)
            and all(is_count(want.replicas) and is_share(want.weight) for want in wants)
            and any(want.weight for want in wants)
            and self.proposed_s <= proposal.time_s <= now_s + SKEW_S
        )

    def _replicas(
        self,
        wish: int,
        backend: BackendState,
        up_only: bool,
        fell: bool,
        limits: Limits,
        now_s: float,
    ) -> int:
        """The number nearest to the wish that breaks no rule, tried from the wish on."""
        (bounds,) = (b for b in limits.backends if b.name == backend.name)
        present = backend.wanted
        goal = min(max(wish, bounds.min_replicas), bounds.max_replicas)
        for count in range(goal, present, -1):
            if self._may_grow(count, backend, limits, now_s):
                return count
        if up_only:
            return present
        top = max(present, bounds.max_replicas)
        peak = min(max([wish, *self._asked(backend, limits, now_s)]), bounds.max_replicas)
        least = max(backend.disruption_min, bounds.max_replicas if fell else 0)
        for count in range(max(goal, peak, least), present):
            if self._may_shrink(count, top, backend, limits, now_s):
                return count
        return present

    def _asked(self, backend: BackendState, limits: Limits, now_s: float) -> list[float]:
        log = self.asked[backend.name]
        return [count for time_s, count in log if time_s >= now_s - limits.hold_s]

    def _may_grow(self, count: int, backend: BackendState, limits: Limits, now_s: float) -> bool:
        recent = _in_force(self.levels[backend.name], now_s - limits.rate_window_s)
        return all(
            count - level <= max(limits.up_replicas, level * limits.up_percent // 100)
            for level in [backend.wanted, *recent]
        )

    def _may_shrink(
        self, count: int, top: int, backend: BackendState, limits: Limits, now_s: float
    ) -> bool:
        recent = _in_force(self.levels[backend.name], now_s - limits.rate_window_s)
        moves = _in_force(self.levels[backend.name], now_s - limits.flap_window_s)
        churn = sum(abs(after - before) for before, after in pairwise(moves))
        (bounds,) = (b for b in limits.backends if b.name == backend.name)
        needed = 1
        while needed * bounds.capacity_rps < backend.rate_rps.value * (1 + limits.headroom):
            needed += 1
        needed = min(needed, bounds.max_replicas)
        dark_s = max(dark for time_s, dark in self.dark if time_s >= now_s - limits.hold_s)
        return (
            (backend.weight == 0 or count >= min(top, needed))
            and dark_s <= max(limits.gap_s, limits.stale_s)
            and all(
                level - count <= max(limits.down_replicas, level * limits.down_percent // 100)
                for level in [backend.wanted, *recent]
            )
            and churn + (backend.wanted - count) + (top - count) <= int(limits.flap_budget * top)
        )

    def _route(
        self, wish: list[float], up_only: bool, state: State, limits: Limits, now_s: float
    ) -> list[float]:
        ready = [backend.ready for backend in state.backends]
        present = [backend.weight for backend in state.backends]
        if not any(ready):
            return _to_one(present if any(present) else [1.0] * len(present))
        each = {b.name: b.capacity_rps for b in limits.backends}
        able = [b.ready * each[b.name] for b in state.backends]
        load = 0 if up_only else sum(b.rate_rps.value for b in state.backends)
        base = _carried(_served(present, able), able, load * (1 + limits.headroom))
        goal = _carried(_served(wish, able), able, load * (1 + limits.headroom))
        spans = [
            [here, *_in_force(self.shares[backend.name], now_s - limits.weight_interval_s)]
            for here, backend in zip(base, state.backends, strict=True)
        ]
        low, high = 0.0, 1.0
        for _ in range(60):
            middle = (low + high) / 2
            moved = [b + middle * (g - b) for b, g in zip(base, goal, strict=True)]
            fits = all(
                (m <= b or m - min(span) <= limits.weight_step)
                and (m >= b or max(span) - m <= limits.weight_step)
                for b, m, span in zip(base, moved, spans, strict=True)
            )
            low, high = (middle, high) if fits else (low, middle)
        return [b + high * (g - b) for b, g in zip(base, goal, strict=True)]


def _two_digits(value: float) -> float:
    return float(f"{value:.1e}")


def _set(log: Log, time_s: float, value: float) -> None:
    if not log or log[-1][1] != value:
        log.append((max(time_s, _last_s(log)), value))


def _last_s(log: Log) -> float:
    return log[-1][0] if log else 0.0


def _in_force(log: Log, since_s: float) -> list[float]:
    before = [value for time_s, value in log if time_s < since_s][-1:]
    return before + [value for time_s, value in log if time_s >= since_s]


def _served(shares: Sequence[float], able: Sequence[float]) -> list[float]:
    kept = [share if can else 0.0 for share, can in zip(shares, able, strict=True)]
    return _to_one(kept if any(kept) else able)


def _carried(shares: list[float], able: Sequence[float], load: float) -> list[float]:
    """Two backends: all that is too much for one goes to the other, if there is room."""
    if sum(able) <= load:
        return _to_one(able)
    for one, other in ((0, 1), (1, 0)):
        too_much = shares[one] - able[one] / load if load else 0.0
        if too_much > 1e-6:
            moved = list(shares)
            moved[one] -= too_much
            moved[other] += too_much
            return moved
    return shares


def _to_one(shares: Sequence[float]) -> list[float]:
    return [share / sum(shares) for share in shares]
