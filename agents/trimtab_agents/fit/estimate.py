"""Everything that a recording tells of a service, with 90 % intervals, and what it does not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, sqrt

import numpy as np
from numpy.typing import NDArray

from trimtab_agents.fit import lag as lag_of
from trimtab_agents.fit.latency import SLOTS, Fitted, fit_slots, refitted
from trimtab_agents.fit.recording import Recording
from trimtab_agents.fit.startup import CVS, Startup, quantiles, starts
from trimtab_agents.fit.windows import Load, Rows
from trimtab_sim.profile import Floats

# The ends and the middle of what is likely.
LOW_MIDDLE_HIGH = np.array([0.05, 0.5, 0.95])
ENDS = LOW_MIDDLE_HIGH[[0, 2]]
DRAWS = 500
# Neighbouring segments share the weather: they are drawn together. So are windows, for the lag.
BLOCK_SEGMENTS, BLOCK_WINDOWS = 4, 12
LEAST_SEGMENTS = 12
LEAST_STARTS = 3
# So far from the truth an estimate of how long replicas take to start may be.
NEAR = 0.10
# The simulator's steady state is not the truth, and more requests do not help: 95 % of the errors
# that `trimtab bench fit` shows in log service time and scv are smaller.
MODEL_ERROR = 0.015, 0.04
# How waiting sets in tells the slots, but the model knows best how long services take where little
# waits: below this utilisation, if 90 % of the scatter is less than the model's own error there.
CALM_UTILISATION, LIKELY_SIGMAS = 0.7, 1.645
# Slots from some number to more than so many times that are no number.
WIDE = 2.0
# Part of the windows that must be left when those after a change are left out.
_ENOUGH = 0.2


@dataclass(frozen=True, slots=True)
class Found:
    """A quantity of `BackendProfile` or `Profile` by its name there.

    ``low`` to ``high`` holds it with 90 % confidence. ``value`` is ``None`` where the recording
    cannot tell: ``why`` says why not, and ``low`` and ``high`` how far it can. With a value
    ``why`` says what would tell it within `NEAR`, where this recording does not.
    """

    quantity: str
    value: float | None
    low: float | None = None
    high: float | None = None
    why: str = ""


@dataclass(frozen=True, slots=True)
class Service:
    """Of the service its lag, and of each backend its own quantities."""

    lag: Found
    backends: dict[str, tuple[Found, ...]]


def estimate(
    recordings: Sequence[Recording], rng: np.random.Generator, lag_s: float | None = None
) -> Service:
    """Fit every backend; ``rng`` draws the bootstrap. ``lag_s`` is the metric lag where known."""
    first = [_first_fit(recording) for recording in recordings]
    if lag_s is None:
        lag = _lag([(one, fit) for one, fit in zip(recordings, first, strict=True) if fit], rng)
    else:
        lag = Found("metric_lag_s", lag_s, lag_s, lag_s)
    backends = {
        one.backend: (*_service_time(one, fit, lag, rng), *_startup(one))
        for one, fit in zip(recordings, first, strict=True)
    }
    return Service(lag, backends)


def _first_fit(recording: Recording) -> Fitted | None:
    """A fit that needs no lag."""
    load = Load.of(recording)
    stable = _stable(load, 0, lag_of.lags(recording.step_s))
    return _refined(load, stable, _best(load, stable, None))


def _stable(load: Load, after: int, before: int) -> Rows:
    """Windows far from any change of the replicas; nearer ones where there are too few."""
    stable = load.unchanged(before, after)
    while stable.mean() < _ENOUGH and max(before, after) > 1:
        before, after = max(before // 2, 1), max(after // 2, 1)
        stable = load.unchanged(before, after)
    return stable


def _refined(load: Load, stable: Rows, fit: Fitted | None) -> Fitted | None:
    """A fit of the windows at rest, as the fit before tells them."""
    return _best(load, stable & load.at_rest(fit.slots / fit.mean_s), fit) if fit else None


def _best(load: Load, chosen: Rows, fit: Fitted | None) -> Fitted | None:
    fits = _fits(load, chosen, fit)
    return fits[0] if fits else None


def _fits(load: Load, chosen: Rows, fit: Fitted | None) -> list[Fitted]:
    """The likeliest first; none where there is too little."""
    segments = load.segments(chosen)
    if len(segments.replicas) < LEAST_SEGMENTS or not segments.answers.any():
        return []
    if fit:
        return fit_slots(segments, fit.slots, fit.mean_s, fit.scv)
    counts = segments.answers.sum(0)
    middle = np.append(load.bounds_s, load.bounds_s[-1])
    return fit_slots(segments, 4, float(counts @ middle / counts.sum()), 1.0)


def _lag(fits: Sequence[tuple[Recording, Fitted]], rng: np.random.Generator) -> Found:
    name = "metric_lag_s"
    if not fits:
        return Found(name, None, why="too little of the recording is at rest")
    step_s = fits[0][0].step_s
    found = np.concatenate([lag_of.deviances(*each) for each in fits], axis=1)
    if found.shape[1] < BLOCK_WINDOWS:
        return Found(name, None, why="too few rows: record longer")
    drawn = _likely(found @ _draws(found.shape[1], BLOCK_WINDOWS, rng), rng)
    low, high = np.quantile(drawn, ENDS)
    # Neither is known better than to a step when replicas changed.
    low_s, high_s = max(low - 1.0, 0.0) * step_s, (high + 1.0) * step_s
    if high_s - low_s > 0.5 * lag_of.lags(step_s) * step_s:
        why = "replicas changed too seldom, or too little waited, to tell which metrics are theirs"
        return Found(name, None, low_s, high_s, why)
    return Found(name, float(found.sum(1).argmin()) * step_s, low_s, high_s)


def _service_time(
    recording: Recording, first: Fitted | None, lag: Found, rng: np.random.Generator
) -> tuple[Found, ...]:
    """Service time, its scv and slots, of windows whose replicas no likely lag could mistake."""
    names = "service_time_s", "service_scv", "concurrency"
    low = lag.low or 0.0
    high = lag_of.lags(recording.step_s) * recording.step_s if lag.high is None else lag.high
    earliest, latest = (round(end_s / recording.step_s) for end_s in (low, high))
    late = (earliest + latest) // 2
    load = Load.of(recording, late)
    stable = _stable(load, max(late - earliest, 1), max(latest - late, 1))
    fit = _refined(load, stable, first)
    rest = load.at_rest(fit.slots / fit.mean_s) if fit else stable
    fits = _fits(load, stable & rest, fit) if fit else []
    if not fits:
        why = "too few requests while replicas stayed as they were: record longer"
        return tuple(Found(name, None, why=why) for name in names)
    calm = _calm(load, stable, fits)
    drawn = _drawn(fits, calm, rng)
    return (
        _positive(names[0], calm[0].mean_s, drawn[0], MODEL_ERROR[0]),
        _positive(names[1], calm[0].scv, drawn[1], MODEL_ERROR[1]),
        _slots(calm[0].slots, drawn[2]),
    )


def _calm(load: Load, stable: Rows, fits: Sequence[Fitted]) -> Sequence[Fitted]:
    """The same slots, with service times of windows in which little waits if those tell enough."""
    best = fits[0]
    rest = load.at_rest(best.slots / best.mean_s, CALM_UTILISATION)
    segments = load.segments(stable & rest)
    if len(segments.replicas) < LEAST_SEGMENTS:
        return fits
    calm = refitted(segments, fits)
    return calm if LIKELY_SIGMAS * calm[0].error < MODEL_ERROR[0] else fits


def _drawn(
    fits: Sequence[Fitted], calm: Sequence[Fitted], rng: np.random.Generator
) -> tuple[Floats, Floats, Floats]:
    """Bootstrap draws of mean, scv and slots, ``[DRAWS]`` each.

    ``fits`` tell which slots; with those, mean and scv are a step of scoring from ``calm``.
    """
    weights = _draws(len(fits[0].deviance), BLOCK_SEGMENTS, rng)
    which = _likely(np.stack([fit.deviance for fit in fits]) @ weights, rng)
    if calm is not fits:
        weights = _draws(len(calm[0].deviance), BLOCK_SEGMENTS, rng)
    steps = np.stack([fit.influence.T @ weights for fit in calm])
    rows = np.arange(weights.shape[1])
    mean_s, scv, slots = (
        np.array([getattr(fit, name) for fit in calm])[which] for name in ("mean_s", "scv", "slots")
    )
    return mean_s * np.exp(steps[which, 0, rows]), scv * np.exp(steps[which, 1, rows]), slots


def _draws(length: int, block: int, rng: np.random.Generator) -> Floats:
    """How often each of ``length`` is drawn, in blocks, ``[length, DRAWS]``."""
    blocks = -(-length // block)
    counts = rng.multinomial(blocks, np.full(blocks, 1.0 / blocks), DRAWS)
    return np.asarray(np.repeat(counts, block, axis=1)[:, :length].T, dtype=np.float64)


def _positive(quantity: str, value: float, drawn: Floats, error: float) -> Found:
    """With the scatter of the draws and the model's own error, which are independent."""
    ends = np.log(np.quantile(drawn, ENDS) / value)
    low, high = value * np.exp(np.array([-1.0, 1.0]) * np.hypot(ends, error))
    return Found(quantity, value, float(low), float(high))


def _likely(deviance: Floats, rng: np.random.Generator) -> NDArray[np.intp]:
    """Which hypothesis each draw is for, ``[DRAWS]``, of deviances ``[hypotheses, DRAWS]``.

    With Gumbel's noise each is chosen as often as it is likely, not the best one always: two that
    explain the same are a draw.
    """
    return np.asarray((0.5 * deviance - rng.gumbel(size=deviance.shape)).argmin(0))


def _slots(best: int, drawn: Floats) -> Found:
    low, high = np.quantile(drawn, ENDS)
    if high >= SLOTS[-1] or high > WIDE * low:
        why = f"too little ever waited: {low:.0f} or more would explain it"
        return Found("concurrency", None, float(low), None, why)
    return Found("concurrency", float(best), float(low), float(high))


def _startup(recording: Recording) -> tuple[Found, Found]:
    names = "startup_mean_s", "startup_cv"
    found = starts(recording)
    landed = len(found.waits)
    if landed < LEAST_STARTS:
        why = f"{landed} of {len(found.begun)} replicas that were started became ready"
        return Found(names[0], None, why=why), Found(names[1], None, why=why)
    likely = Startup.of(found)
    mean_s = quantiles(likely.mean_s, likely.weight.sum(1), LOW_MIDDLE_HIGH)
    cv = quantiles(CVS, likely.weight.sum(0), LOW_MIDDLE_HIGH)
    unsure = _unsure(landed, recording.step_s, mean_s, float(cv[1]))
    return (
        Found(names[0], float(mean_s[1]), float(mean_s[0]), float(mean_s[2]), unsure),
        Found(names[1], float(cv[1]), float(cv[0]), float(cv[2])),
    )


def _unsure(landed: int, step_s: float, mean_s: Floats, cv: float) -> str:
    """What to do where a mean, ``[3]``, of so many start-ups is too uncertain; else nothing."""
    low, middle, high = mean_s
    wide = round(max(high / middle, middle / low) - 1.0, 2)
    if wide <= NEAR:
        return ""
    # Where in its row a start-up begins is not known. If by a clock, it is the same for all, and
    # no number of them tells it; what else there is scatters as 1 / sqrt(n), whoever estimates it.
    row = step_s / middle
    of_rows, of_starts = LIKELY_SIGMAS * row / sqrt(12.0), LIKELY_SIGMAS * cv / sqrt(landed)
    if of_rows > of_starts:
        return f"rows {step_s:g} s apart tell it within {wide:.0%}; nearer ones tell more"
    left = max(NEAR**2 - of_rows**2, NEAR**2 / 4.0)
    enough = LIKELY_SIGMAS**2 * (cv**2 + row**2 / 6.0) / left
    if enough <= landed:
        enough = landed * (wide / NEAR) ** 2
    about = 10 * ceil(enough / 10)
    return f"{landed} start-ups tell it within {wide:.0%}; {NEAR:.0%} take about {about}"


def everything(service: Service) -> list[tuple[str, Found]]:
    """Every quantity with its backend; the service's own with an empty one."""
    of_backends = [(name, one) for name, found in service.backends.items() for one in found]
    return [("", service.lag), *of_backends]
