"""How right forecasts are: ``python -m tools.foresight [SEED]`` prints what docs/FORECAST.md has.

Leaks of which the truth is known, in every kind of noise, and services that do not leak, made up or
driven by the shipped traces: whatever is called on those is a false alarm.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from trimtab_agents.foresight import Finding, Series, forecast, record
from trimtab_sim.profile import Floats
from trimtab_sim.traces import read_trace, shipped_traces

MINUTE_S, DAY = 60.0, 1440
Rng = np.random.Generator
LEAKS = 20
FLAT = 15
DAYS = 5  # of a trace, at most


def series(values: Floats, load: Floats | None = None, *, falls: bool = True) -> Series:
    """A value a minute."""
    count = len(values)
    load = np.full(count, 10.0) if load is None else load
    return Series.seen(MINUTE_S * np.arange(count), values, load, np.zeros(count), falls=falls)


def wandering(rng: Rng, count: int, stays: float, step: float) -> Floats:
    """Noise of which a share ``stays`` from minute to minute."""
    values = np.zeros(count)
    for minute, kick in enumerate(rng.normal(0.0, step, count)):
        values[minute] = (stays * values[minute - 1] if minute else 0.0) + kick
    return values


def daily(rng: Rng, count: int) -> Floats:
    """Requests per second of a replica over days."""
    turn = 2 * np.pi * (np.arange(count) / DAY + rng.random())
    return 10.0 + 5.0 * np.sin(turn) + wandering(rng, count, 0.9, 0.3)


# By minutes and pace.
NOISE: dict[str, Callable[[Rng, int, float], Floats]] = {
    "white": lambda rng, n, _: rng.normal(0, rng.uniform(0.1, 3), n),
    "wandering back": lambda rng, n, _: wandering(rng, n, 0.9, rng.uniform(0.05, 1.2)),
    "adding up": lambda rng, n, pace: rng.normal(0, pace * rng.uniform(0.3, 3), n).cumsum(),
    "garbage collection": lambda rng, n, _: ((np.arange(n) + rng.integers(15)) % 15) / 5,
    "in lumps": lambda rng, n, pace: rng.gamma(0.2, 5 * pace, n).cumsum() - pace * np.arange(n),
}


def leaks(rng: Rng, kind: str) -> Iterator[Series]:
    """From 30 to a limit of 100 within 2.5 to 20 hours."""
    for _ in range(LEAKS):
        pace = 70.0 / rng.uniform(150, 1200)
        line = 30.0 + pace * np.arange(1500)
        if kind == "daily load":
            load = daily(rng, 1500)
            yield series(line + rng.uniform(0, 1.5) * (load - 10) + rng.normal(0, 1, 1500), load)
        else:
            yield series(line + NOISE[kind](rng, 1500, pace))


def judged(kind: str, rng: Rng) -> str:
    """One row: how many intervals held the truth, how early the first call came, and the record."""
    held, leads, calls, right = [], [], 0, 0
    for seen in leaks(rng, kind):
        steady = np.median(np.lib.stride_tricks.sliding_window_view(seen.values, 3), axis=1)
        met = int(np.argmax(steady >= 100.0)) + 1
        if met < 48:
            continue
        called = [_call(seen, now, met) for now in range(24, met, max(5, met // 15))]
        times = [now for now, right_ in called if right_ is not None]
        held += [right_ for _, right_ in called if right_ is not None]
        leads += [1.0 - times[0] / met] if times else []
        own = record(seen.until(met))
        calls, right = calls + own.calls, right + own.right
    return (
        f"| {kind} | {len(held)} | {np.mean(held):.0%} | {np.median(leads):.0%} "
        f"| {calls} | {right / calls:.0%} |"
    )


def _call(seen: Series, now: int, met: int) -> tuple[int, bool | None]:
    found = forecast(seen.until(now), 100.0)
    if found.finding is not Finding.DUE:
        return now, None
    left_s = float(seen.times_s[met] - seen.times_s[now - 1])
    return now, bool(found.low_s <= left_s <= found.high_s)


STEADY: dict[str, Callable[[Rng], Series]] = {
    "white noise": lambda rng: series(60 + rng.normal(0, 2, DAY)),
    "noise that wanders back": lambda rng: series(60 + wandering(rng, DAY, 0.98, 0.7)),
    "noise that adds up": lambda rng: series(60 + rng.normal(0, 0.3, DAY).cumsum()),
    "steps up and down": lambda rng: series(60 + 10 * (rng.random(DAY) < 0.003).cumsum() % 25),
    "garbage collected every hour": lambda rng: series(
        60 + (np.arange(DAY) + rng.integers(60)) % 60 / 5
    ),
    "a cache that fills": lambda rng: series(
        30 + 30 * (1 - np.exp(-np.arange(DAY) / rng.uniform(30, 300))) + rng.normal(0, 0.3, DAY)
    ),
    "with the load of a day": lambda rng: _with_load(rng, told=True),
    "with a load that is not seen": lambda rng: _with_load(rng, told=False),
}


def _with_load(rng: Rng, *, told: bool) -> Series:
    load = daily(rng, DAY)
    return series(45 + 2 * load + rng.normal(0, 1, DAY), load if told else None)


def traced(rng: Rng, *, latency: bool) -> Iterator[Series]:
    """Of each day of the real loads: memory that follows it, or the latency of a queue under it."""
    for file in shipped_traces().values():
        rates = read_trace(file).rates(MINUTE_S)
        load = 0.6 * rates / np.quantile(rates, 0.95)
        days = (load[day : day + DAY] for day in range(0, min(len(load), DAYS * DAY), DAY))
        yield from (_queue(rng, day) if latency else _memory(rng, day) for day in days)


def _memory(rng: Rng, load: Floats) -> Series:
    noise = wandering(rng, len(load), 0.98, 0.2) + rng.normal(0, 0.5, len(load))
    return series(50 + 20 * load + noise, load)


def _queue(rng: Rng, load: Floats) -> Series:
    noise = np.exp(0.1 * rng.normal(0, 1, len(load)))
    return series(80 * (1 + load**3 / (1 - np.minimum(load, 0.95))) * noise, load, falls=False)


def alarms(kind: str, of: Sequence[Series]) -> str:
    """One row: asked every hour about a limit a tenth above all that came."""
    asked = called = 0
    for seen in of:
        limit = 1.1 * float(seen.values.max())
        for now in range(60, len(seen), 60):
            asked += 1
            called += forecast(seen.until(now), limit).finding is Finding.DUE
    return f"| {kind} | {asked} | {called} | {called / max(asked, 1):.2%} |"


def main() -> None:
    """Print both tables."""
    seed = int(sys.argv[1]) if len(sys.argv) > 1 else 0
    for kind in (*NOISE, "daily load"):
        print(judged(kind, np.random.default_rng(seed)), flush=True)
    for kind, made in STEADY.items():
        rng = np.random.default_rng(seed)
        print(alarms(kind, [made(rng) for _ in range(FLAT)]), flush=True)
    for latency, what in ((False, "memory"), (True, "latency")):
        days = list(traced(np.random.default_rng(seed), latency=latency))
        print(alarms(f"{what}, under {len(days)} days of real loads", days), flush=True)


if __name__ == "__main__":
    main()
