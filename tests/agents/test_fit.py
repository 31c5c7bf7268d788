"""`trimtab fit` finds what a recording was made with, and says what it cannot find."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from trimtab_agents.bench.fit_runs import FitRun, RecordedService, fit_report, fit_table, play
from trimtab_agents.bench.work import Arrays
from trimtab_agents.fit.estimate import Found, estimate, everything
from trimtab_agents.fit.latency import Segments, Shape
from trimtab_agents.fit.recording import (
    Recording,
    RecordingError,
    read_recordings,
    write_recordings,
)
from trimtab_agents.fit.startup import CVS, Startup, quantiles, starts
from trimtab_agents.fit_command import fit
from trimtab_sim.profile import BackendProfile, Floats, Profile
from trimtab_sim.profile_file import read_service

HEADER = "time_s,backend,wanted,ready,rate_rps,in_flight,le_0.1,le_0.5,le_1,le_inf\n"
GOOD = HEADER + "".join(f"{5 * n},web,2,2,10,1,30,40,45,50\n" for n in range(12))
KNOWN = Profile(
    "web",
    (BackendProfile("web", 3, 0.1, 0.7, startup_mean_s=30.0, startup_cv=0.2),),
    metric_lag_s=10.0,
)


@pytest.fixture(scope="module")
def recording() -> Recording:
    """Half an hour of steps between one and six replicas' load."""
    rng = np.random.default_rng(6)
    rate_rps = np.repeat(rng.uniform(20.0, 120.0, 20), 90)
    return play(KNOWN, rate_rps, 0.7, rng).recording


@pytest.fixture(scope="module")
def told(recording: Recording) -> dict[str, Found]:
    return found(recording)


def found(recording: Recording, lag_s: float | None = None) -> dict[str, Found]:
    service = estimate([recording], np.random.default_rng(0), lag_s)
    return {one.quantity: one for _, one in everything(service)}


def write(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "web.csv"
    file.write_text(text)
    return file


def test_a_known_service_is_found(told: dict[str, Found]) -> None:
    (backend,) = KNOWN.backends
    known = {name: getattr(backend, name, KNOWN.metric_lag_s) for name in told}
    for name, one in told.items():
        assert one.value is not None, one
        assert one.low is not None
        assert one.high is not None
        assert one.low <= known[name] <= one.high, one
        assert name == "startup_cv" or one.value == pytest.approx(known[name], rel=0.1), one


def test_stalls_of_the_machine_draw_nothing(recording: Recording, told: dict[str, Found]) -> None:
    answers = recording.answers.copy()
    answers[::15] = 0.0
    answers[::15, -3] = recording.answers[::15].sum(1)
    stalled = Recording(**{**fields_of(recording), "answers": answers})
    one = found(stalled, KNOWN.metric_lag_s)["service_time_s"]
    assert one.value == pytest.approx(told["service_time_s"].value, rel=0.03)


@pytest.mark.parametrize("scv", [0.3, 1.0, 3.0])
@pytest.mark.parametrize("utilisation", [0.3, 0.6, 0.8])
def test_latencies_of_one_replica_with_one_slot_spread_as_in_mg1(
    scv: float, utilisation: float
) -> None:
    """Beside half a million requests one after the other (Lindley's recursion)."""
    rng = np.random.default_rng(5)
    service_s = 0.1 * scv * rng.standard_gamma(1.0 / scv, 500_000)
    gaps_s = rng.exponential(0.1 / utilisation, 500_000)
    walk_s = np.append(0.0, np.cumsum(service_s[:-1] - gaps_s[1:]))
    latency_s = walk_s - np.minimum.accumulate(walk_s) + service_s
    bounds_s = 0.1 * np.array([0.1, 0.3, 0.7, 1.0, 1.5, 2.0, 3.0, 5.0, 8.0, 12.0])
    nothing = np.zeros((1, len(bounds_s) + 1))
    one = Segments(np.ones(1), np.array([utilisation / 0.1]), bounds_s, nothing)
    below = np.cumsum(Shape(one, 1).buckets(np.log(0.1), np.log(scv))[0])[:-1]
    counted = (latency_s[:, None] <= bounds_s).mean(0)
    np.testing.assert_allclose(below, counted, atol=0.01)


@pytest.mark.parametrize("scv", [0.4, 3.0])
def test_latencies_of_few_replicas_spread_as_in_the_event_model(scv: float) -> None:
    profile = replace(KNOWN, backends=(BackendProfile("web", 1, 0.1, scv),), timeout_s=1e9)
    service = RecordedService(profile, 2, np.random.default_rng(8))
    service.tick(15.0, 2, 4000.0)
    bounds_s = 0.1 * np.array([0.1, 0.3, 0.7, 1.0, 1.5, 2.0, 3.0, 5.0, 8.0, 12.0])
    counted = (np.array(service.latencies_s)[:, None] <= bounds_s).mean(0)
    one = Segments(np.full(1, 2.0), np.full(1, 15.0), bounds_s, np.zeros((1, len(bounds_s) + 1)))
    below = np.cumsum(Shape(one, 1).buckets(np.log(0.1), np.log(scv))[0])[:-1]
    np.testing.assert_allclose(below, counted, atol=0.03)


def test_holes_in_a_recording_make_nothing_certain(recording: Recording) -> None:
    """Rows that lack are repeated without answers, here four of five."""
    answers = recording.answers * (np.arange(len(recording.answers)) % 5 == 0)[:, None]
    one = found(Recording(**{**fields_of(recording), "answers": answers}), KNOWN.metric_lag_s)
    low, high = one["service_time_s"].low, one["service_time_s"].high
    assert low is not None
    assert high is not None
    assert 0.09 < low < 0.0986
    assert 0.1014 < high < 0.11


def test_what_never_waited_tells_no_slots() -> None:
    rng = np.random.default_rng(1)
    idle = play(KNOWN, np.full(900, 6.0), 0.2, rng).recording
    one = found(idle)
    low, high = one["service_time_s"].low, one["service_time_s"].high
    assert low is not None
    assert high is not None
    assert 0.08 < low <= 0.1 <= high < 0.12
    for name, why in (
        ("concurrency", "too little ever waited"),
        ("startup_mean_s", "0 of 0 replicas that were started became ready"),
        ("metric_lag_s", "replicas changed too seldom"),
    ):
        assert one[name].value is None
        assert why in one[name].why


def fields_of(recording: Recording) -> dict[str, object]:
    return {name: getattr(recording, name) for name in Recording.__slots__}


def replicas(wanted: list[float], ready: list[float]) -> Recording:
    nothing = np.zeros(len(wanted))
    return Recording(
        "web",
        10.0 * np.arange(len(wanted)),
        np.array(wanted),
        np.array(ready),
        nothing,
        nothing,
        np.ones(1),
        np.zeros((len(wanted), 2)),
    )


@pytest.mark.parametrize(
    ("wanted", "ready", "begun", "cancelled", "waits"),
    [
        ([1, 3, 3, 3, 3], [1, 1, 1, 2, 3], [1, 1], [np.inf, np.inf], [2, 3]),
        ([1, 3, 3, 2, 2], [1, 1, 1, 1, 2], [1, 1], [3, np.inf], [3]),
        ([3, 3, 3, 3, 3], [1, 2, 2, 3, 3], [], [], []),
        ([2, 2, 2, 2, 2], [2, 1, 1, 2, 2], [1], [np.inf], [2]),
        ([1, 2, 2, 2, 2], [1, 2, 2, 2, 2], [1], [np.inf], [0]),
        ([1, 2, 2, 2, 2], [1, 1, 1, 1, 1], [1], [np.inf], []),
        ([2, 1, 1, 2, 2], [2, 1, 1, 1, 2], [3], [np.inf], [1]),
    ],
    ids=["two", "cancelled", "since before", "crash", "at once", "on its way", "after a drain"],
)
def test_who_was_started(
    wanted: list[float], ready: list[float], begun: list[int], cancelled: list[float],
    waits: list[int],
) -> None:  # fmt: skip
    one = starts(replicas(wanted, ready))
    assert sorted(zip(one.begun, one.cancelled, strict=True)) == sorted(
        zip(begun, cancelled, strict=True)
    )
    assert list(one.waits) == waits
    assert one.landed.sum() == len(waits)


@pytest.mark.parametrize(
    ("at_once", "mean_s", "why"),
    [
        (1, 60.0, "6 start-ups tell it within \\d\\d%; 10% take about \\d+0"),
        (20, 60.0, ""),
        (20, 15.0, "rows 10 s apart tell it within \\d\\d%; nearer ones tell more"),
    ],
)
def test_what_would_tell_a_start_up_better(at_once: int, mean_s: float, why: str) -> None:
    rng = np.random.default_rng(2)
    begun_s = np.repeat(np.arange(23.0, 1500.0, 250.0), at_once)
    took_s = mean_s * rng.lognormal(-0.5 * np.log1p(0.3**2), 0.3, len(begun_s))
    now_s = 10.0 * np.arange(200)[:, None]
    counts: list[Floats] = [
        1.0 + (when_s <= now_s).sum(1) for when_s in (begun_s, begun_s + took_s)
    ]
    one = found(replicas(*(count.tolist() for count in counts)))["startup_mean_s"]
    assert one.low is not None
    assert one.high is not None
    assert one.low <= took_s.mean() <= one.high
    assert re.fullmatch(why, one.why)


def test_startup_intervals_hold_the_truth() -> None:
    rng = np.random.default_rng(3)
    held = [_held(rng) for _ in range(24)]
    assert np.mean(held) >= 0.85


def _held(rng: np.random.Generator) -> bool:
    """Whether an interval of the mean holds it; a dozen starts, some at once, sampled each 10 s."""
    mean_s, cv = rng.uniform(20.0, 120.0), rng.uniform(0.1, 0.5)
    begun_s = np.repeat(np.sort(rng.uniform(20.0, 1500.0, 6)), 2)
    sigma = np.sqrt(np.log1p(cv * cv))
    ready_s = begun_s + mean_s * rng.lognormal(-0.5 * sigma**2, sigma, 12)
    now_s = 10.0 * np.arange(200)[:, None]
    counts: list[Floats] = [1.0 + (when_s <= now_s).sum(1) for when_s in (begun_s, ready_s)]
    likely = Startup.of(starts(replicas(*(one.tolist() for one in counts))))
    low, high = quantiles(likely.mean_s, likely.weight.sum(1), np.array([0.05, 0.95]))
    assert likely.weight.shape[1] == len(CVS)
    return bool(low <= mean_s <= high)


def test_what_is_written_is_read(recording: Recording, tmp_path: Path) -> None:
    recording = Recording(**{**fields_of(recording), "backend": 'zone "a", spot'})
    write_recordings(tmp_path / "web.csv", [recording])
    (again,) = read_recordings(tmp_path / "web.csv")
    for name, value in fields_of(recording).items():
        if name == "backend":
            assert again.backend == value
        else:
            np.testing.assert_allclose(getattr(again, name), value, rtol=1e-9)


def test_one_backend_needs_no_name(tmp_path: Path) -> None:
    (one,) = read_recordings(write(tmp_path, GOOD.replace("backend,", "").replace("web,", "")))
    assert (one.backend, len(one.time_s)) == ("web", 12)


def test_rows_that_lack_or_come_late(tmp_path: Path) -> None:
    rows = GOOD.replace("15,web", "16.8,web").replace("30,web,2,2,10,1,30,40,45,50\n", "")
    (one,) = read_recordings(write(tmp_path, rows))
    assert list(one.time_s) == [5.0 * n for n in range(12)]
    assert list(one.answers.sum(1)) == [50.0 * (n != 6) for n in range(12)]


@pytest.mark.parametrize(
    ("old", "new", "line", "message"),
    [
        ("ready", "redy", 1, "unknown column 'redy': known are backend, time_s, wanted, ready"),
        ("ready,", "", 1, "lacks the column ready: add it"),
        (",le_inf", "", 1, "lacks the column le_inf: add it"),
        ("le_0.1", "le_x", 1, "column 'le_x': write le_ and seconds, or inf"),
        ("le_0.5,le_1,", "", 1, "has 1 latency bounds: add columns le_SECONDS, three at least"),
        ("wanted", "ready", 1, "column 'ready' is there twice: remove one"),
        ("10,web,2,2,10", "10,web,2,2,ten", 4, "could not convert string to float: 'ten'"),
        ("10,web,2,2,10", "10,web,2,2,-1", 4, "'-1' must be 0 or more: leave the row out"),
        ("10,web,2,2,10", "10,web,2,2,nan", 4, "'nan' must be 0 or more"),
        ("10,web,2,2,10,1,30", "10,web,2,2,10,1,60", 4, "le_* must not decrease"),
        ("10,web,2,2,10,1,30", "10,web,2,2,10,30", 4, "has 9 cells, the header 10"),
        ("10,web", "1,web", 4, "time goes back by 4 s: sort the rows by time"),
        ("55,web", "1055,web", 13, "comes 1005 s after the row before: fit what is before and"),
        (GOOD[len(HEADER) :], "", 1, "has no rows"),
        (GOOD, "", 1, "is empty: expected a header (time_s,wanted"),
        ("0,web", "0,api", 2, "1 rows of backend 'api': 10 at least"),
    ],
)
def test_mistakes(tmp_path: Path, old: str, new: str, line: int, message: str) -> None:
    assert old in GOOD
    file = write(tmp_path, GOOD.replace(old, new, 1))
    with pytest.raises(RecordingError, match=re.escape(message)) as refused:
        read_recordings(file)
    assert str(refused.value).startswith(f"{file}:{line}: ")


def test_the_command_writes_a_profile(recording: Recording, tmp_path: Path) -> None:
    csv, output = tmp_path / "web.csv", tmp_path / "web.yaml"
    write_recordings(csv, [recording])
    arguments = [str(csv), "--output", str(output), "--name", "web", "--set", "slo_latency_s=0.4"]
    done = CliRunner().invoke(fit, [*arguments, "--set", "web.max_replicas=12"])
    assert done.exit_code == 0, done.output
    file = read_service(output)
    (backend,) = file.profile.backends
    assert (file.profile.slo_latency_s, backend.max_replicas) == (0.4, 12)
    assert backend.concurrency == 3
    assert len(file.intervals) == 6


def test_what_cannot_be_told_is_asked_for(tmp_path: Path) -> None:
    csv, output = write(tmp_path, GOOD), tmp_path / "web.yaml"
    done = CliRunner().invoke(fit, [str(csv), "--output", str(output)])
    assert done.exit_code == 0, done.output
    assert "Not usable yet" in done.output
    assert "startup_mean_s: unknown" in output.read_text()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("price", "'' is not a number"),
        ("metric_lag_s=nan", "must be 0 or more, and finite"),
        ("metric_lag_s=-5", "must be 0 or more, and finite"),
        ("price=inf", "must be 0 or more, and finite"),
        ("prices=1", "unknown key 'prices': known are"),
        ("api.price=1", "'api' is none of web"),
        ("web.timeout_s=1", "'web' is none of web"),
    ],
)
def test_what_is_set_wrong(tmp_path: Path, given: str, message: str) -> None:
    done = CliRunner().invoke(fit, [str(write(tmp_path, GOOD)), "--set", given])
    assert done.exit_code == 2
    assert message in done.output


def test_the_benchmark_counts() -> None:
    def run(value: float) -> Arrays:
        truth = np.full(6, 10.0)
        return {
            "truth": truth,
            "value": np.array([value] * 5 + [np.nan]),
            "low": truth - 0.5,
            "high": truth + (value > 10.0),
            "miss_share": np.array([0.02, 0.025, np.nan if value > 10.0 else 0.04, 0.021]),
            "drawn_startup_s": np.array([value]),
        }

    report = fit_report([run(10.5), run(12.0), run(9.0)])
    assert report["quantities"]["concurrency"] == {
        "told": 3,
        "held": 1.0,
        "median_error": pytest.approx(0.1),
        "within_10_percent": pytest.approx(2 / 3),
    }
    assert "metric_lag_s" not in report["quantities"]
    assert report["miss_share"]["known"]["within_1_point"] == 0.0
    assert report["miss_share"]["event"]["within_1_point"] == 1.0
    assert report["drawn_startups"]["within_10_percent"] == pytest.approx(2 / 3)
    assert "| concurrency | 3 of 3 | 100.0% | 10.0% | 66.7% |" in fit_table(report)
    assert FitRun(3).identity == "fit 3"
