"""The A/A certificate: what was done, replayed, must come out as it did.

Five things, each of which finds another way in which a model can be wrong: what the replicas
cost (their start-up), how many requests were inside in calm moments (by Little's law, the service
time), how many missed, when they missed (metrics that are later than they say), and whether the
load itself fell when replicas landed in an overload (clients that try again: those arrivals were
made by the misses, and another policy would have met others).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from trimtab_agents.evidence.findings import Check
from trimtab_agents.evidence.past import Past
from trimtab_agents.evidence.replay import Books, Cast, Ints, observed, replay
from trimtab_sim.profile import Floats, Profile, Profiles

COST, INSIDE, MISSES, MISS_POINTS = 0.03, 0.10, 0.25, 0.005
# Log of load that goes away with all misses: 0 where nobody tries again, near 0.7 for one retry.
ECHO = 0.25
# The metrics are taken for so many ticks later than they say, too. The first of them are alike:
# within a tick nobody knows what came first.
SHIFTS = np.array([0, -1, 1, 2, 3, 4, 8])
ALIKE = 3
# Another shift must explain the misses so much better.
CLEARLY = 0.8
# A landing counts in an overload only: so many missed just before.
OVERLOAD = 0.1


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the checks compare, ``[B]`` each but ``apart`` ``[S, B]`` for `SHIFTS`.

    ``cost`` and ``inside`` are means over time; pairs are as seen and as replayed.
    """

    cost: tuple[Floats, Floats]
    inside: tuple[Floats, Floats]
    misses: tuple[Floats, Floats]
    apart: Floats
    echo: Floats

    @classmethod
    def of(cls, past: Past, seen: Books, same: Books, shifted: Sequence[Books]) -> Evidence:
        """Of the recorded books, those of the replay, and those at each of `SHIFTS`."""

        def share(books: Books) -> Floats:
            return np.asarray(books.misses.sum(0) / np.maximum(books.requests.sum(0), 1.0))

        seconds = np.maximum(past.known.sum(0), 1.0) * past.tick_s
        return cls(
            cost=(seen.cost.sum(0) / seconds, same.cost.sum(0) / seconds),
            inside=(seen.inside.sum(0) / seconds, same.inside.sum(0) / seconds),
            misses=(share(seen), share(same)),
            apart=np.stack([books.apart.sum(0) for books in shifted]),
            echo=echo(past),
        )

    def checks(self, row: int, tick_s: float) -> tuple[Check, ...]:
        """The verdict on one service."""
        late = int(SHIFTS[_best(self.apart[:, row])])
        seen, replayed = (100.0 * float(share[row]) for share in self.misses)
        echoed = float(self.echo[row])
        most = max(100.0 * MISS_POINTS, MISSES * seen)
        shifts = f"{SHIFTS.min() * tick_s:g} to {SHIFTS.max() * tick_s:g}"
        return (
            _ratio("replicas x price", self.cost, row, COST, "they start faster or slower"),
            _ratio("requests inside", self.inside, row, INSIDE, "its service time is another"),
            Check(
                "misses, %",
                seen,
                replayed,
                abs(replayed - seen) <= most,
                f"± {most:.2g}",
                "overloads take another course than its profile says",
            ),
            Check(
                "misses late by, s",
                late * tick_s,
                0.0,
                late == 0,
                f"0, of {shifts}",
                f"its metrics are about {late * tick_s:g} s later than metric_lag_s says",
            ),
            Check(
                "load gone with misses",
                echoed,
                0.0,
                echoed <= ECHO,
                f"≤ {ECHO:g}",
                "clients try again, so that arrivals depend on who scales",
            ),
        )

    def passed(self, tick_s: float) -> list[bool]:
        """Whether each service has its certificate."""
        rows = range(len(self.echo))
        return [all(check.passed for check in self.checks(row, tick_s)) for row in rows]


def certify(past: Past, profiles: Sequence[Profile], seed: int) -> Evidence:
    """Replay what was done with all services of ``past``, under their ``profiles``."""
    batch, worlds = len(profiles), len(SHIFTS) + 1
    stacked = Profiles.stack([*profiles] * worlds)
    shift = past.lag_ticks + np.repeat([0, *SHIFTS], batch)
    as_ready = np.arange(worlds * batch) >= batch
    cast = Cast(np.tile(np.arange(batch), worlds), shift, stacked, as_ready)
    books = replay(past, cast, None, seed)
    same, *shifted = (books.rows(slice(at, at + batch)) for at in range(0, worlds * batch, batch))
    return Evidence.of(past, observed(past, stacked.price[:batch]), same, shifted)


def _ratio(name: str, both: tuple[Floats, Floats], row: int, most: float, meaning: str) -> Check:
    seen, replayed = (float(values[row]) for values in both)
    passed = abs(replayed - seen) <= most * seen and seen > 0.0
    return Check(name, seen, replayed, passed, f"± {most:.0%}", meaning)


def _best(apart: Floats) -> int:
    """The shift that explains the misses best; none where it is not clearly better."""
    best = int(apart.argmin())
    return best if best >= ALIKE and apart[best] < CLEARLY * apart[:ALIKE].min() else 0


def echo(past: Past) -> Floats:
    """How much of the load goes away when replicas that land end all misses, in its log, ``[B]``.

    The regression of the change of the load on that of the misses, over landings in an overload.
    The load decides what lands only a start-up later, so that what falls with it, at once, was
    not there of itself.
    """
    end = len(past.known) - past.lag_ticks - 2
    landing = np.arange(2, max(2, end))
    late = landing + past.lag_ticks
    load = np.log(np.maximum(past.rate_rps.sum(2), 1e-9))
    ready = past.ready.sum(2)
    miss = past.miss_share
    change = _around(load, late)
    relief = _around(miss, late)
    counted = ready[landing] > ready[landing - 1]
    counted &= np.minimum(miss[late - 1], miss[late - 2]) > OVERLOAD
    for moment in (-2, -1, 0, 1):
        counted &= past.known[late + moment]
    squares = (counted * relief * relief).sum(0)
    return np.asarray((counted * relief * change).sum(0) / np.maximum(squares, 1e-3))


def _around(values: Floats, at: Ints) -> Floats:
    """Mean of two ticks from then on, less that of the two before."""
    return np.asarray((values[at] + values[at + 1] - values[at - 1] - values[at - 2]) / 2.0)
