"""A service's past out of the journal, as arrays at an even pace; read once, and not kept."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trimtab_agents.evidence.past import Past
from trimtab_controller.config import Config, ServiceConfig
from trimtab_controller.journal import read, reading
from trimtab_controller.journal.chain import Location
from trimtab_controller.memory import Outcome, TickRecord
from trimtab_guard.model import BackendState, State
from trimtab_guard.modes import Mode
from trimtab_sim.profile import Floats, Profile

DAY_S = 86_400.0
# The pace of a Kubernetes HPA: nothing that scales changes its mind more often.
REPLAY_TICK_S = 15.0
# More readings are missing from a day than this: it is none.
WHOLE = 0.8


def _places(kind: type[TickRecord | State | BackendState]) -> dict[str, int]:
    return {name: place for place, name in enumerate(kind._fields)}


# Records are positional, and to build their dataclasses takes ten times as long as to read them.
_TICK, _STATE, _BACKEND = map(_places, (TickRecord, State, BackendState))
_COUNTS = tuple(_BACKEND[name] for name in ("wanted", "ready", "starting", "draining", "weight"))
_READINGS = tuple(_BACKEND[name] for name in ("rate_rps", "in_flight"))


@dataclass(frozen=True, slots=True)
class Pace:
    """How a journal is cut into ticks and days; with a replay's ``speed`` both are shorter."""

    tick_s: float
    day_s: float

    @classmethod
    def of(cls, config: Config) -> Pace:
        """Ticks of the daemon, or several of them at once; days of the policy's time."""
        at_once = max(1, round(REPLAY_TICK_S / config.speed / config.tick_s))
        return cls(at_once * config.tick_s, DAY_S / config.speed)

    @property
    def day_ticks(self) -> int:
        """Ticks in a day; a day is never cut short by more than a part of a tick."""
        return round(self.day_s / self.tick_s)

    def day_began_s(self, time_s: float) -> float:
        """When the day of this moment began, in UTC."""
        return math.floor(time_s / self.day_s) * self.day_s


@dataclass(frozen=True, slots=True)
class Recorded:
    """A service's past from ``start_s`` on.

    ``acted`` is how often trimtab wrote, by day; ``mode`` is the last.
    """

    past: Past
    start_s: float
    pace: Pace
    acted: NDArray[np.int64]
    last_s: float
    mode: Mode

    @property
    def counted(self) -> NDArray[np.bool_]:
        """The days that are evidence: whole, seen, and nobody's but the incumbent's."""
        over = self.start_s + self.pace.day_s * np.arange(1, len(self.acted) + 1) <= (
            self.last_s + 2.0 * self.pace.tick_s
        )
        return np.asarray(over & (self.acted == 0) & (self.past.fresh[:, 0] >= WHOLE))

    @property
    def seen_s(self) -> float:
        """How long the service was seen, in seconds."""
        return float(self.past.known.sum()) * self.pace.tick_s


def recorded(
    journal: Location, config: Config, service: ServiceConfig, days: int
) -> Recorded | None:
    """The last ``days`` days that are over, and the one that is not; `JournalError`.

    ``None`` when there is nothing.
    """
    with reading(journal) as snapshot:
        last = snapshot.last("tick")
    if last is None:
        return None
    pace = Pace.of(config)
    today_s = pace.day_began_s(last.time_s)
    ticks = _ticks(journal, service.name, today_s - days * pace.day_s, today_s + pace.day_s)
    first = next(ticks, None)
    if first is None:
        return None
    start_s = pace.day_began_s(first[_TICK["time_s"]])
    builder = _Builder(pace, start_s, round((today_s - start_s) / pace.day_s) + 1, service.backends)
    for tick in chain([first], ticks):
        builder.add(tick)
    return builder.built(service.profile)


def _ticks(journal: Location, service: str, since_s: float, until_s: float) -> Iterator[list[Any]]:
    """A service's packed `TickRecord`s that saw it; not those of a clock that was wrong."""
    name, state, time_s = _TICK["service"], _TICK["state"], _TICK["time_s"]
    for entry in read(journal, ("tick",), since_s):
        for tick in entry.body["services"]:
            if tick[name] == service and tick[state] and since_s <= tick[time_s] < until_s:
                yield tick


class _Builder:
    """Sums up the records of so many days by tick."""

    def __init__(self, pace: Pace, start_s: float, days: int, backends: tuple[str, ...]) -> None:
        self._pace, self._start_s, self._backends = pace, start_s, backends
        ticks = days * pace.day_ticks
        self._counts = np.full((ticks, len(backends), len(_COUNTS)), np.nan)
        # Sums of readings per backend, of misses and requests, and how many records they are of.
        self._sums = np.zeros((ticks, len(backends), len(_READINGS)))
        self._misses = np.zeros((ticks, 2))
        self._records = np.zeros(ticks)
        self._ages_s: list[float] = []
        self._acted = np.zeros(days, dtype=np.int64)
        self._last_s, self._mode = start_s, Mode.SHADOW

    def add(self, tick: list[Any]) -> None:
        """Take in a record; one of other backends than today's is none."""
        state = tick[_TICK["state"]]
        backends = state[_STATE["backends"]]
        if tuple(backend[_BACKEND["name"]] for backend in backends) != self._backends:
            return
        self._last_s = max(self._last_s, tick[_TICK["time_s"]])
        self._mode = Mode[tick[_TICK["mode"]]]
        place = self._place(tick[_TICK["time_s"]])
        self._acted[place // self._pace.day_ticks] += tick[_TICK["outcome"]] == Outcome.APPLIED.name
        self._counts[place] = [[backend[at] for at in _COUNTS] for backend in backends]
        readings = [[backend[at] for at in _READINGS] for backend in backends]
        values = np.array([[value for value, _ in row] for row in readings], dtype=np.float64)
        if not np.isfinite(values).all():
            return
        read_s = min(time_s for row in readings for _, time_s in row)
        self._ages_s.append(tick[_TICK["time_s"]] - read_s)
        at = self._place(read_s)
        self._sums[at] += values
        self._records[at] += 1.0
        share = state[_STATE["miss_share"]][0]
        if share is not None:
            requests = values[:, 0].sum()
            self._misses[at] += share * requests, requests

    def _place(self, time_s: float) -> int:
        """The tick of a moment; what is before the first, or after the last, is in that."""
        place = int((time_s - self._start_s) // self._pace.tick_s)
        return min(max(0, place), len(self._records) - 1)

    def built(self, profile: Profile) -> Recorded:
        """All of it."""
        counts = _held(self._counts)
        wanted, ready, starting, draining, weight = np.moveaxis(counts, 2, 0)[:, :, None]
        known = self._records > 0.0
        means = self._sums / np.maximum(self._records, 1.0)[:, None, None]
        rates, in_flight = np.moveaxis(_held(np.where(known[:, None, None], means, np.nan)), 2, 0)
        missed, of = self._misses.T
        age_s = float(np.median(self._ages_s)) if self._ages_s else 0.0
        past = Past(
            tick_s=self._pace.tick_s,
            day_ticks=self._pace.day_ticks,
            lag_ticks=max(0, round((profile.metric_lag_s - age_s) / self._pace.tick_s)),
            wanted=wanted,
            ready=ready,
            billed=starting + ready + draining,
            weight=weight,
            rate_rps=rates[:, None],
            in_flight=in_flight[:, None],
            miss_share=(missed / np.maximum(of, 1e-9))[:, None],
            known=known[:, None],
        )
        return Recorded(past, self._start_s, self._pace, self._acted, self._last_s, self._mode)


def _held(values: Floats) -> Floats:
    """What is missing is as it was last; before anything was known, as it was first."""
    seen = np.asarray(np.isfinite(values.reshape(len(values), -1)).all(1))
    if not seen.any():
        return np.nan_to_num(values)
    last = np.maximum.accumulate(np.where(seen, np.arange(len(values)), 0))
    return np.asarray(values[np.where(seen[last], last, seen.argmax())])
