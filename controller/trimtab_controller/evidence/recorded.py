"""A service's past out of the journal, as arrays at an even pace; read once, and not kept."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, fields
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


def _places(kind: type) -> dict[str, int]:
    return {field.name: place for place, field in enumerate(fields(kind))}


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
    builder: _Builder | None = None
    for tick in _ticks(journal, service.name, pace.day_began_s(last.time_s) - days * pace.day_s):
        if builder is None:
            builder = _Builder(pace, pace.day_began_s(tick[_TICK["time_s"]]), service.backends)
        builder.add(tick)
    return builder.built(service.profile) if builder else None


def _ticks(journal: Location, service: str, since_s: float) -> Iterator[list[Any]]:
    """A service's packed `TickRecord`s that saw it."""
    name, state = _TICK["service"], _TICK["state"]
    for entry in read(journal, ("tick",), since_s):
        for tick in entry.body["services"]:
            if tick[name] == service and tick[state]:
                yield tick


class _Builder:
    """Sums up records by tick; days grow as they come."""

    def __init__(self, pace: Pace, start_s: float, backends: tuple[str, ...]) -> None:
        self._pace, self._start_s, self._backends = pace, start_s, backends
        self._counts = np.full((0, len(backends), len(_COUNTS)), np.nan)
        # Sums of readings and of misses per backend, and of how many records they are.
        self._sums = np.zeros((0, len(backends), len(_READINGS)))
        self._misses = np.zeros((0, 2))
        self._records = np.zeros(0)
        self._ages_s: list[float] = []
        self._acted: list[int] = []
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
        day = place // self._pace.day_ticks
        self._acted += [0] * (day + 1 - len(self._acted))
        self._acted[day] += tick[_TICK["outcome"]] == Outcome.APPLIED.name
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
        """The tick of a moment; what is older than the first is the first."""
        place = max(0, int((time_s - self._start_s) // self._pace.tick_s))
        missing = (place // self._pace.day_ticks + 1) * self._pace.day_ticks - len(self._records)
        if missing > 0:
            self._counts = _grown(self._counts, missing, np.nan)
            self._sums = _grown(self._sums, missing, 0.0)
            self._misses = _grown(self._misses, missing, 0.0)
            self._records = _grown(self._records, missing, 0.0)
        return place

    def built(self, profile: Profile) -> Recorded:
        """All of it."""
        ticks = len(self._acted) * self._pace.day_ticks
        counts = _held(self._counts[:ticks])
        wanted, ready, starting, draining, weight = np.moveaxis(counts, 2, 0)[:, :, None]
        known = self._records[:ticks] > 0.0
        means = self._sums[:ticks] / np.maximum(self._records[:ticks], 1.0)[:, None, None]
        rates, in_flight = np.moveaxis(_held(np.where(known[:, None, None], means, np.nan)), 2, 0)
        missed, of = self._misses[:ticks].T
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
        acted = np.array(self._acted, dtype=np.int64)
        return Recorded(past, self._start_s, self._pace, acted, self._last_s, self._mode)


def _grown(array: Floats, more: int, value: float) -> Floats:
    return np.concatenate([array, np.full((more, *array.shape[1:]), value)])


def _held(values: Floats) -> Floats:
    """What is missing is as it was last; before anything was known, as it was first."""
    seen = np.asarray(np.isfinite(values.reshape(len(values), -1)).all(1))
    if not seen.any():
        return np.nan_to_num(values)
    last = np.maximum.accumulate(np.where(seen, np.arange(len(values)), 0))
    return np.asarray(values[np.where(seen[last], last, seen.argmax())])
