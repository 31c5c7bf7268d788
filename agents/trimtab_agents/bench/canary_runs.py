"""Is the canary's verdict right, and how soon? Many services of which the truth is known.

Each is played twice: with the same version on both sides, and with one whose p95 is a fifth higher.
As in the daemon there is a comparison for each share of the route, which looks at every tick until
it says bad or a side has had 20,000 requests. Beside it stands a Mann-Whitney test of the very same
answers, as Kayenta makes one of its metrics: at a horizon that was fixed before, and looked at in
every tick.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import NormalDist
from typing import Any

import numpy as np

from trimtab_agents.bench.canary_worlds import (
    EDGES_MS,
    STEPS,
    Bools,
    World,
    canary,
    on_grid,
    worse,
)
from trimtab_agents.canary import Call, Comparison, Rules
from trimtab_sim.profile import Floats

RULES = Rules()
POWER = 0.95
# Horizons of the fixed test: requests that met the new version.
HORIZONS = (*range(250, 4000, 250), *range(4000, 16001, 1000))
# What is asked of the verdict: at most so much, and at least.
MOST, LEAST = {"false_rollback": RULES.alpha}, {"caught_20pct": POWER}


@dataclass(frozen=True, slots=True)
class Played:
    """One canary, by requests that met the new version.

    bad, good: so many until the first such verdict; infinite where there was none.
    requests, ranks: so many by look, and how far the Mann-Whitney statistic then was above what
    equal versions have, in standard deviations.
    """

    bad: float
    good: float
    requests: Floats
    ranks: Floats

    @classmethod
    def of(cls, world: World, factor: float, rng: np.random.Generator) -> Played:
        """The comparison ends with a bad verdict; the other test sees everything."""
        share, begun, first = 0, 0, {Call.BAD: np.inf, Call.GOOD: np.inf}
        comparison = Comparison.begin(RULES.at(share, len(STEPS)))
        sums, seen = np.zeros((2, len(EDGES_MS))), []
        for old, new in canary(world, factor, rng):
            if new.ready > STEPS[share] and not comparison.is_bad:
                share, begun = share + 1, begun + comparison.answers[1]
                comparison = comparison.afresh(RULES.at(share, len(STEPS)))
            if not comparison.is_bad:
                comparison = comparison.after(old, new)
                call = comparison.verdict().call
                if call is not Call.GOOD or share == len(STEPS) - 1:
                    first[call] = min(first.get(call, np.inf), begun + comparison.answers[1])
            sums += on_grid(old.latency), on_grid(new.latency)
            seen.append((sums[1].sum(), excess(*sums)))
        requests, ranks = np.array(seen).T
        return cls(first[Call.BAD], first[Call.GOOD], requests, ranks)

    def rank_at(self, horizon: float) -> float:
        """The fixed test's statistic once so many requests met the new version, or at the end."""
        place = int(np.searchsorted(self.requests, horizon))
        return float(self.ranks[min(place, len(self.ranks) - 1)])


@dataclass(frozen=True, slots=True)
class Pair:
    """A service with the same version twice, and with one that is worse."""

    slots: int
    equal: Played
    worse: Played

    @classmethod
    def of(cls, seed: Sequence[int], slots: Sequence[int]) -> Pair:
        """Drawn and played; each of the three has random numbers of its own."""
        worlds, equal, bad = (np.random.default_rng([*seed, part]) for part in range(3))
        world = World.drawn(worlds, slots)
        return cls(
            world.slots, Played.of(world, 1.0, equal), Played.of(world, worse(world, worlds), bad)
        )


def excess(old: Floats, new: Floats) -> float:
    """The Mann-Whitney statistic of two histograms over the same bins, standardised, ties and all.

    Mann and Whitney (1947), "On a test of whether one of two random variables is stochastically
    larger than the other"; 0 where a side is empty.
    """
    of_old, of_new, ties = old.sum(), new.sum(), old + new
    both = of_old + of_new
    wins = new @ (np.cumsum(old) - old / 2.0)
    tied = (ties**3 - ties).sum() / max(both * (both - 1.0), 1.0)
    variance = of_old * of_new * (both + 1.0 - tied) / 12.0
    return float((wins - of_old * of_new / 2.0) / sqrt(variance)) if variance > 0.0 else 0.0


def prove(
    runs: int, seed: int, slots: Sequence[int], advance: Callable[[], object]
) -> dict[str, Any]:
    """Everything that the bench prints, of replicas with one of these numbers of slots.

    ``advance`` is called after each of the runs.
    """
    pairs = []
    for run in range(runs):
        pairs.append(Pair.of((seed, run), slots))
        advance()
    return report(pairs)


def report(pairs: Sequence[Pair]) -> dict[str, Any]:
    """Shares of the pairs, and medians over them of requests that met the new version."""
    equal, bad = [pair.equal for pair in pairs], [pair.worse for pair in pairs]
    false, caught = _until_bad(equal) < np.inf, _until_bad(bad) < np.inf
    slots = np.array([pair.slots for pair in pairs])
    return {
        "false_rollback": float(false.mean()),
        "false_rollback_95": interval(int(false.sum()), len(false)),
        "caught_20pct": float(caught.mean()),
        "caught_20pct_95": interval(int(caught.sum()), len(caught)),
        "requests_to_verdict": _finite(np.median(_until_bad(bad))),
        "requests_to_verdict_95": _finite(np.quantile(_until_bad(bad), POWER, method="higher")),
        "adopted_equal": float(np.mean([one.good < np.inf for one in equal])),
        "adopted_worse": float(np.mean([one.good < one.bad for one in bad])),
        "requests_to_adopt": _finite(np.median([one.good for one in equal])),
        **mann_whitney(equal, bad),
        "by_slots": {
            str(each): {
                "runs": int((slots == each).sum()),
                "false_rollback": float(false[slots == each].mean()),
                "caught_20pct": float(caught[slots == each].mean()),
            }
            for each in sorted(set(slots.tolist()))
        },
        "runs": len(pairs),
    }


def mann_whitney(equal: Sequence[Played], bad: Sequence[Played]) -> dict[str, Any]:
    """What a test at a fixed horizon needs, and how often it is false: there, and when watched.

    ``honest``: the same, with its threshold raised until it is false as seldom as it says.
    """
    nominal = NormalDist().inv_cdf(1.0 - RULES.alpha)
    null, found = _ranks(equal), _ranks(bad)
    honest = np.maximum(np.quantile(null, 1.0 - RULES.alpha, axis=0), nominal)
    needed, honestly = _first(found > nominal), _first(found > honest)
    return {
        "requests_to_verdict_mann_whitney": _requests(needed),
        "mann_whitney_false_rollback": float((null[:, needed or 0] > nominal).mean()),
        "mann_whitney_false_rollback_watched": float(
            np.mean([(one.ranks > nominal).any() for one in equal])
        ),
        "requests_to_verdict_mann_whitney_honest": _requests(honestly),
    }


def _ranks(played: Sequence[Played]) -> Floats:
    return np.array([[one.rank_at(horizon) for horizon in HORIZONS] for one in played])


def _first(rejected: Bools) -> int | None:
    """The first horizon, by place, at which the test has its power."""
    powerful = np.flatnonzero(rejected.mean(0) >= POWER)
    return int(powerful[0]) if len(powerful) else None


def _requests(place: int | None) -> float | None:
    return None if place is None else float(HORIZONS[place])


def _until_bad(played: Sequence[Played]) -> Floats:
    return np.array([one.bad for one in played])


def _finite(requests: Any) -> float | None:
    """JSON has no infinity: ``None`` where it takes more than there are."""
    return float(requests) if np.isfinite(requests) else None


def interval(hits: int, runs: int) -> tuple[float, float]:
    """Wilson's interval of 95 % for a share."""
    z = NormalDist().inv_cdf(0.975)
    share = hits / runs
    middle = (share + z * z / (2 * runs)) / (1.0 + z * z / runs)
    reach = z / (1.0 + z * z / runs) * sqrt(share * (1.0 - share) / runs + (z / (2 * runs)) ** 2)
    return max(middle - reach, 0.0), min(middle + reach, 1.0)
