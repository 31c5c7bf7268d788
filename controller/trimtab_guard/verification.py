"""Whether an action made things worse: a test that may be looked at on every tick.

Each action is watched with a bet against the claim that no more requests miss than expected,
margin included. While the claim is true, no strategy of betting can multiply its stake: the
chance that the stake ever grows past 1 / alpha is at most alpha (Ville's inequality), however
often one looks and whenever one stops. The stake is spread over small and large regressions.

Requests that miss do so together, so a tick counts as at most ``verify_requests`` of them,
however many there were; the bound stays true when that many are independent of each other.

Once per tick, and after each write::

    seen = seen.with_sample(Sample(time_s, requests, misses, expected), limits, now_s)
    found = seen.regression(limits)  # then restore(found.before, ...) and rolled_back
    seen = seen.with_action(now_s, before)  # the wants that were in force before the write
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from trimtab_guard.limits import Limits
from trimtab_guard.model import Want
from trimtab_guard.senses import LARGEST, SKEW_S, possible

REGRESSIONS = (1 / 2, 1 / 4, 1 / 8, 1 / 16, 1 / 32, 1 / 64)
"""What the bets are on: how much of the requests that should be answered in time are not."""


class Sample(NamedTuple):
    """Requests that ended since the last sample, how many missed, and the share expected to.

    ``time_s`` is the event time; ``expected`` is the higher of what the recent past and what
    the simulator expect at this load, known before the requests ended.
    """

    time_s: float
    requests: float
    misses: float
    expected: float


class Regression(NamedTuple):
    """An action after which too many requests missed; ``before`` is what it had replaced."""

    time_s: float
    before: tuple[Want, ...]


@dataclass(frozen=True, slots=True)
class Watch:
    """One action under watch; ``stakes`` are the logarithms of what each bet has become."""

    time_s: float
    before: tuple[Want, ...]
    stakes: tuple[float, ...] = (0.0,) * len(REGRESSIONS)

    def with_gains(self, time_s: float, gains: Iterable[float]) -> Watch:
        """After bets on what ended by ``time_s``; what ended before the action is not its fault."""
        if time_s <= self.time_s:
            return self
        stakes = tuple(stake + gain for stake, gain in zip(self.stakes, gains, strict=True))
        return replace(self, stakes=stakes)

    def evidence(self) -> float:
        """The logarithm of the mean of all stakes."""
        most = max(self.stakes)
        total = math.fsum(math.exp(stake - most) for stake in self.stakes)
        return most + math.log(total / len(self.stakes))


class Verification(NamedTuple):
    """The actions of one service that are under watch, oldest first; JSON like `History`.

    ``time_s`` is the last sample's; nothing is autonomous before ``cooling_until_s``.
    """

    time_s: float = 0.0
    watches: tuple[Watch, ...] = ()
    cooling_until_s: float = 0.0

    def with_action(self, now_s: float, before: Iterable[Want]) -> Verification:
        """Watch what was just written in the place of ``before``; a rollback is not watched."""
        return self._replace(watches=(*self.watches, Watch(now_s, tuple(before))))

    def with_sample(self, sample: Sample, limits: Limits, now_s: float) -> Verification:
        """Bet on what ended after each action, and let go of what has been watched for long.

        A sample that is impossible or not new is no evidence. A clock that has gone back
        neither ends a watch nor prolongs a cool-down.
        """
        present = self._at(limits, now_s)
        if not present.time_s < sample.time_s <= now_s + SKEW_S or not _is_sound(sample):
            return present
        gains = _gains(sample, limits) if present.watches else ()
        watches = tuple(watch.with_gains(sample.time_s, gains) for watch in present.watches)
        return Verification(min(sample.time_s, now_s), watches, present.cooling_until_s)

    def regression(self, limits: Limits) -> Regression | None:
        """The oldest action that is found to have made things worse."""
        enough = -math.log(limits.verify_alpha)
        guilty = (watch for watch in self.watches if watch.evidence() >= enough)
        return next((Regression(watch.time_s, watch.before) for watch in guilty), None)

    def rolled_back(self, now_s: float, limits: Limits) -> Verification:
        """Nothing is under watch any more, and the cool-down begins."""
        return self._replace(watches=(), cooling_until_s=now_s + limits.cool_s)

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers, lists and dicts: what ``json.dumps`` takes."""
        return {
            "time_s": self.time_s,
            "watches": [
                [w.time_s, [[b.name, b.replicas, b.weight] for b in w.before], list(w.stakes)]
                for w in self.watches
            ],
            "cooling_until_s": self.cooling_until_s,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Verification:
        """The inverse of ``to_dict``; ``ValueError`` when ``data`` is something else."""
        try:
            watches = tuple(_watch(*raw) for raw in data["watches"])
            return cls(_number(data["time_s"]), watches, _number(data["cooling_until_s"]))
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"not a verification ({error!r}); start with an empty one") from error

    def _at(self, limits: Limits, now_s: float) -> Verification:
        return Verification(
            time_s=min(self.time_s, now_s),
            watches=tuple(
                replace(watch, time_s=min(watch.time_s, now_s))
                for watch in self.watches
                if now_s - watch.time_s <= limits.verify_s
            ),
            cooling_until_s=min(self.cooling_until_s, now_s + limits.cool_s),
        )


def _is_sound(sample: Sample) -> bool:
    return (
        possible(sample.requests, LARGEST)
        and possible(sample.misses, sample.requests)
        and possible(sample.expected, 1.0)
    )


def _gains(sample: Sample, limits: Limits) -> tuple[float, ...]:
    """What one sample adds to the logarithm of each stake."""
    allowed = sample.expected + limits.verify_margin
    if allowed >= 1.0:
        return (0.0,) * len(REGRESSIONS)
    weight = min(1.0, limits.verify_requests / max(1.0, sample.requests))
    misses, hits = weight * sample.misses, weight * (sample.requests - sample.misses)
    shares = (allowed + (1.0 - allowed) * worse for worse in REGRESSIONS)
    return tuple(
        misses * math.log(share / allowed) + hits * math.log((1.0 - share) / (1.0 - allowed))
        for share in shares
    )


def _watch(time_s: float, before: Iterable[Iterable[Any]], stakes: Iterable[float]) -> Watch:
    bets = tuple(map(_number, stakes))
    if len(bets) != len(REGRESSIONS):
        raise ValueError(f"{len(bets)} stakes instead of {len(REGRESSIONS)}")
    wants = tuple(Want(str(name), int(count), _number(share)) for name, count, share in before)
    return Watch(_number(time_s), wants, bets)


def _number(value: float) -> float:
    if not math.isfinite(value):
        raise ValueError(f"{value!r} is not a finite number")
    return value
