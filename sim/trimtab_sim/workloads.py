"""Random loads to train on: wide, composed, and none of them copied from a real trace.

Each generator takes ``(rng, ticks, tick_s)`` and returns a non-negative relative load
``[ticks]``. ``random_workloads`` multiplies, adds and splices them, and holds the result over
a sampling step with counting noise, as traces that were counted per minute look.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Generator = Callable[[np.random.Generator, int, float], Floats]

_MINUTE_S = 60.0
_DAY_S = 86_400.0


def log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    """One number between ``low`` and ``high``, every order of magnitude equally likely."""
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def _times_s(ticks: int, tick_s: float) -> Floats:
    return np.arange(ticks, dtype=np.float64) * tick_s


def _event_times_s(
    rng: np.random.Generator, ticks: int, tick_s: float, mean_gap_s: float
) -> Floats:
    """Poisson event times over the whole span."""
    span_s = ticks * tick_s
    return rng.uniform(0.0, span_s, rng.poisson(span_s / mean_gap_s))


def constant(rng: np.random.Generator, ticks: int, tick_s: float) -> Floats:
    """Always 1."""
    del rng, tick_s
    return np.ones(ticks)


def _wave(rng: np.random.Generator, times_s: Floats, period_s: float) -> Floats:
    """A smooth, positive cycle: one hump, often skewed or double, 1.2 to 10 from foot to peak."""
    phase = 2.0 * np.pi * (times_s / period_s + rng.uniform())
    second = rng.uniform(0.0, 0.6) * np.sin(2.0 * phase + rng.uniform(0.0, 2.0 * np.pi))
    swing = 0.5 * np.log(log_uniform(rng, 1.2, 10.0))
    return np.asarray(np.exp(swing * (np.sin(phase) + second)))


def diurnal(rng: np.random.Generator, ticks: int, tick_s: float) -> Floats:
    """One cycle again and again, its period anywhere between ten minutes and a day."""
    return _wave(rng, _times_s(ticks, tick_s), log_uniform(rng, 10 * _MINUTE_S, _DAY_S))


def weekly(rng: np.random.Generator, ticks: int, tick_s: float) -> Floats:
    """Cycles of which two in seven are quieter; the week may be compressed."""
    times_s = _times_s(ticks, tick_s)
    day_s = log_uniform(rng, 10 * _MINUTE_S, _DAY_S)
    day = np.floor(times_s / day_s + rng.uniform(0.0, 7.0)) % 7
    return _wave(rng, times_s, day_s) * np.where(day >= 5, rng.uniform(0.2, 0.9), 1.0)


def ramp(rng: np.random.Generator, ticks: int, tick_s: float) -> Floats:
    """From one level to another, over a random part of the span."""
    start, end = np.sort(rng.uniform(0.0, ticks * tick_s, 2))
    levels = [log_uniform(rng, 0.1, 1.0), log_uniform(rng, 0.1, 1.0)]
    return np.interp(_times_s(ticks, tick_s), [start, end], levels)


def steps(rng: np.random.Generator, ticks: int, tick_s: float) -> Floats:
    """Sudden moves between levels, from seconds to hours apart."""
    gap_s = log_uniform(rng, _MINUTE_S, 4 * 3600.0)
    changes = np.sort(_event_times_s(rng, ticks, tick_s, gap_s))
    spread = rng.uniform(0.2, 1.2)
    levels = np.exp(rng.normal(0.0, spread, len(changes) + 1))
    return levels[np.searchsorted(changes, _times_s(ticks, tick_s), side="right")]


def flash_crowd(rng: np.random.Generator, ticks: int, tick_s: float) -> Floats:
    """A base load with crowds that come within seconds to minutes and fade slowly."""
    times_s = _times_s(ticks, tick_s)
    load = np.ones(ticks)
    for at_s in _event_times_s(rng, ticks, tick_s, log_uniform(rng, 20 * _MINUTE_S, 6 * 3600.0)):
        rise_s = log_uniform(rng, 1.0, 5 * _MINUTE_S)
        fade_s = log_uniform(rng, 30.0, 60 * _MINUTE_S)
        since_s = np.maximum(times_s - at_s, 0.0)
        fade = np.exp(-np.maximum(since_s - rise_s, 0.0) / fade_s)
        shape = np.minimum(since_s / rise_s, 1.0) * fade
        load += log_uniform(rng, 0.5, 10.0) * shape
    return load


def batch(rng: np.random.Generator, ticks: int, tick_s: float) -> Floats:
    """Jobs that switch on and off, at a beat with jitter, falling off while they run."""
    period_s = log_uniform(rng, _MINUTE_S, 2 * 3600.0)
    duty, slope = rng.uniform(0.05, 0.8), rng.uniform(0.0, 1.0)
    cycle, place = np.divmod(_times_s(ticks, tick_s) / period_s + rng.uniform(), 1.0)
    number = cycle.astype(np.intp)
    late = rng.uniform(0.0, rng.uniform(0.0, 1.0 - duty), number[-1] + 1)[number]
    height = np.exp(rng.normal(0.0, rng.uniform(0.0, 0.5), number[-1] + 1))[number]
    ran = (place - late) / duty
    running = (ran >= 0.0) & (ran < 1.0)
    return rng.uniform(0.0, 0.3) + np.where(running, height * (1.0 - slope * ran), 0.0)


def heavy_noise(rng: np.random.Generator, ticks: int, tick_s: float) -> Floats:
    """Log-normal noise that forgets itself within a second to an hour (AR(1))."""
    memory_ticks = max(log_uniform(rng, 1.0, 3600.0) / tick_s, 0.2)
    # A circular convolution is an AR(1) process that is stationary from its first tick.
    kernel = np.exp(-np.arange(ticks) / memory_ticks)
    kernel /= np.sqrt((kernel * kernel).sum())
    noise = np.fft.irfft(np.fft.rfft(rng.standard_normal(ticks)) * np.fft.rfft(kernel), ticks)
    return np.exp(log_uniform(rng, 0.05, 0.9) * noise)


def idle_spikes(rng: np.random.Generator, ticks: int, tick_s: float) -> Floats:
    """Next to nothing, and rare short bursts of many times that; some bring others after them."""
    times_s = _times_s(ticks, tick_s)
    load = np.full(ticks, rng.uniform(0.02, 0.5))
    width_s = log_uniform(rng, 5.0, 5 * _MINUTE_S)
    highest = log_uniform(rng, 5.0, 100.0)
    for at_s in _clustered_times_s(rng, ticks, tick_s):
        end_s = at_s + width_s * rng.uniform(0.5, 1.5)
        load[(times_s >= at_s) & (times_s < end_s)] += log_uniform(rng, 1.0, highest)
    return load


def _clustered_times_s(rng: np.random.Generator, ticks: int, tick_s: float) -> Floats:
    """Poisson event times, of which each brings up to three more within the next hour or so."""
    first_s = _event_times_s(rng, ticks, tick_s, log_uniform(rng, 4 * _MINUTE_S, 3 * 3600.0))
    followers = rng.poisson(rng.uniform(0.0, 3.0), len(first_s))
    gap_s = log_uniform(rng, 2 * _MINUTE_S, 30 * _MINUTE_S)
    later_s = np.repeat(first_s, followers) + rng.exponential(gap_s, followers.sum())
    return np.concatenate([first_s, later_s])


def plateau_dips(rng: np.random.Generator, ticks: int, tick_s: float) -> Floats:
    """A flat load that drops suddenly for a while."""
    times_s = _times_s(ticks, tick_s)
    load = np.ones(ticks)
    for at_s in _event_times_s(rng, ticks, tick_s, log_uniform(rng, 5 * _MINUTE_S, 3 * 3600.0)):
        end_s = at_s + log_uniform(rng, 10.0, 20 * _MINUTE_S)
        load[(times_s >= at_s) & (times_s < end_s)] *= rng.uniform(0.0, 0.8)
    return load


GENERATORS: dict[str, Generator] = {
    "constant": constant,
    "diurnal": diurnal,
    "weekly": weekly,
    "ramp": ramp,
    "steps": steps,
    "flash_crowd": flash_crowd,
    "batch": batch,
    "heavy_noise": heavy_noise,
    "idle_spikes": idle_spikes,
    "plateau_dips": plateau_dips,
}


# How often a load rests for a minute, for five, or for any other time.
STEP_PARTS = (0.35, 0.2, 0.45)


def sampled(rng: np.random.Generator, load: Floats, tick_s: float) -> Floats:
    """``load`` as a meter would have recorded it: held over a step, with counting noise.

    Steps of a minute, of five, or anything from 1 to 300 s; the noise of a count whose mean per
    step is 3 to 3,000.
    """
    step_s = rng.choice([_MINUTE_S, 5.0 * _MINUTE_S, log_uniform(rng, 1.0, 300.0)], p=STEP_PARTS)
    hold = max(round(step_s / tick_s), 1)
    starts = np.arange(0, len(load), hold)
    mean = np.add.reduceat(load, starts) / np.diff(np.append(starts, len(load)))
    counts = log_uniform(rng, 3.0, 3000.0) * mean / max(mean.mean(), 1e-9)
    noisy = rng.standard_gamma(np.maximum(counts, 1e-3))
    return np.repeat(noisy, hold)[: len(load)]


def _normal(load: Floats) -> Floats:
    mean = load.mean()
    return load / mean if mean > 1e-9 else np.ones_like(load)


def compose(rng: np.random.Generator, ticks: int, tick_s: float) -> Floats:
    """One to three random shapes, multiplied or added."""
    names = list(GENERATORS)
    load = _normal(GENERATORS[names[rng.integers(len(names))]](rng, ticks, tick_s))
    for _ in range(rng.integers(3)):
        other = _normal(GENERATORS[names[rng.integers(len(names))]](rng, ticks, tick_s))
        load = load * other if rng.uniform() < 0.5 else load + log_uniform(rng, 0.2, 3.0) * other
        load = _normal(load)
    return load


def random_workload(rng: np.random.Generator, ticks: int, tick_s: float) -> Floats:
    """One relative load ``[ticks]`` of mean 1; one in five changes its character half-way."""
    load = compose(rng, ticks, tick_s)
    if rng.uniform() < 0.2:
        other = compose(rng, ticks, tick_s) * log_uniform(rng, 0.3, 3.0)
        cut = rng.integers(ticks)
        load = np.concatenate([load[:cut], other[cut:]])
    if rng.uniform() < 0.8:
        load = sampled(rng, load, tick_s)
    return _normal(load)


def random_workloads(rng: np.random.Generator, batch: int, ticks: int, tick_s: float) -> Floats:
    """``batch`` independent relative loads ``[batch, ticks]``, the mean of each row 1."""
    return np.stack([random_workload(rng, ticks, tick_s) for _ in range(batch)])
