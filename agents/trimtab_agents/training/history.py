"""A service's own load: the past that a policy is tuned on, and the end that is held back."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from trimtab_agents.bench.cells import TICK_S
from trimtab_envs.episodes import Episodes, EpisodeSource
from trimtab_envs.minutes import Bools
from trimtab_sim.profile import Floats, Profile, Profiles
from trimtab_sim.traces import Trace, TraceError, read_trace

SHORTEST_S = 4 * 3600.0
HELD_BACK_SHARE = 0.25
LONGEST_HELD_BACK_S = 24 * 3600.0
# Episodes last from one to the other, as far as the past reaches.
EPISODE_S = 3600.0, 24 * 3600.0
# Factors by which load and lambda of an episode are off at most: the next weeks will be, too.
LOAD_SPREAD, PRICE_SPREAD = 1.3, 2.0
# An episode's score is relative to its mean load, which is at least this part of the usual one.
LEAST_LOAD = 0.1


@dataclass(frozen=True, slots=True)
class Service:
    """One service as it is simulated; ``miss_price`` is its lambda."""

    profile: Profile
    miss_price: float


@dataclass(frozen=True, slots=True)
class History:
    """Rates in every tick: those to learn from ``[T]``, then those to judge by ``[H]``."""

    name: str
    sha256: str
    past_rps: Floats
    held_back_rps: Floats

    @property
    def past(self) -> Trace:
        """The part to learn from."""
        return Trace(self.name, TICK_S, self.past_rps)

    @property
    def past_h(self) -> float:
        """Hours of the part to learn from."""
        return len(self.past_rps) * TICK_S / 3600.0

    @property
    def held_back_h(self) -> float:
        """Hours of the part to judge by."""
        return len(self.held_back_rps) * TICK_S / 3600.0


def read_history(path: Path) -> History:
    """Read a trace and hold its last part back; ``TraceError`` when it is not enough of one."""
    trace = read_trace(path)
    if trace.duration_s < SHORTEST_S:
        raise TraceError(
            f"{path}: lasts {trace.duration_s / 3600:.1f} h: "
            f"give {SHORTEST_S / 3600:g} h at least, better a week"
        )
    rate_rps = trace.rates(TICK_S)
    held_back_s = min(HELD_BACK_SHARE * trace.duration_s, LONGEST_HELD_BACK_S)
    past, held_back = np.split(rate_rps, [len(rate_rps) - round(held_back_s / TICK_S)])
    for part, which in ((past, "first"), (held_back, "last")):
        if not part.any():
            raise TraceError(
                f"{path}: has no request in its {which} {len(part) * TICK_S / 3600:.1f} h: "
                "nothing to learn from or to judge by"
            )
    return History(trace.name, hashlib.sha256(path.read_bytes()).hexdigest(), past, held_back)


class PastEpisodes(EpisodeSource):
    """Cuts episodes of one service from its own past."""

    def __init__(self, rng: np.random.Generator, service: Service, past_rps: Floats) -> None:
        super().__init__(rng, TICK_S, pool=1)
        self._service = service
        self.pool = past_rps[None].astype(np.float32)

    def draw(
        self,
        services: int,
        backends: int,
        needed: Bools | None = None,  # noqa: ARG002 - the past is summed once for all of them
    ) -> Episodes:
        """Draw ``services`` new episodes; ``backends`` are as many as the service has."""
        rng = self._rng
        length = self.pool.shape[1]
        shortest, longest = (min(round(s / TICK_S), length) for s in EPISODE_S)
        ticks = np.exp(rng.uniform(np.log(shortest), np.log(longest), services)).astype(np.int64)
        start = (rng.random(services) * (length - ticks + 1)).astype(np.int64)
        gain = _around(1.0, LOAD_SPREAD, rng, services)
        requests = np.concatenate([[0.0], np.cumsum(self.pool[0], dtype=np.float64)])
        mean_rps = (requests[start + ticks] - requests[start]) / ticks
        none = np.zeros(services, dtype=np.int64)
        return Episodes(
            profiles=Profiles.stack([self._service.profile] * services),
            miss_price=_around(self._service.miss_price, PRICE_SPREAD, rng, services),
            row=none,
            start=start,
            ticks=ticks,
            gain=gain,
            mean_rps=gain * np.maximum(mean_rps, LEAST_LOAD * self.pool.mean()),
            slower=np.ones((services, backends)),
            slow_from=none,
            slow_to=none,
        )


def _around(value: float, spread: float, rng: np.random.Generator, count: int) -> Floats:
    """Numbers off by a factor of ``spread`` at most."""
    return np.asarray(value * np.exp(rng.uniform(-np.log(spread), np.log(spread), count)))
