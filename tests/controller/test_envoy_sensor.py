"""Envoy's counters as signals: on a recording of the real stage, and on made-up trouble."""

from __future__ import annotations

import json
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from trimtab_controller.protocols import SensorError, StageReport
from trimtab_controller.sensors.envoy import EnvoySensor, fetch_stats, quantile

from .answers import envoy, http

# Two answers of the stage's Envoy 1.40 to the sensor's own query, about one second apart.
RECORDED = json.loads((Path(__file__).parent / "data" / "envoy_stats.json").read_text())
READS = count(1)
CLUSTERS = ("on-demand", "spot")


def report(admin_socket: str) -> StageReport:
    return StageReport(0.0, "", "", (), admin_socket)


def made_up(
    requests: int = 0,
    errors: int = 0,
    timeouts: int = 0,
    failed: int = 0,
    bins: dict[tuple[float, float], int] | None = None,
    reads: int | None = None,
) -> Any:
    counters = {
        "cluster.a.upstream_rq_total": requests,
        "cluster.a.upstream_rq_timeout": timeouts,
        "cluster.a.upstream_rq_active": 3,
        "http.web.downstream_rq_5xx": errors,
        "http.admin.downstream_rq_total": next(READS) if reads is None else reads,
    }
    # As Envoy does, which knows a class of answers only from the first one on.
    counters |= {"cluster.a.upstream_rq_5xx": failed} if failed else {}
    totals = [{"lower_bound": b, "width": w, "count": n} for (b, w), n in (bins or {}).items()]
    histogram = {"name": "http.web.downstream_rq_time", "totals": totals}
    stats: list[Any] = [{"name": name, "value": value} for name, value in counters.items()]
    return {"stats": [*stats, {"histograms": {"details": [histogram]}}]}


def signals(tmp_path: Path, *stats: Any, clusters: tuple[str, ...] = ("a",)) -> list[Any]:
    """What a sensor reads of these answers, two seconds apart."""
    times = iter(range(100, 200, 2))
    sensor = EnvoySensor("web", clusters, 0.3, lambda: float(next(times)))
    with envoy(tmp_path / "admin.sock", *map(http, stats)) as admin:
        return [sensor.read(report(admin)) for _ in stats]


def test_the_recording(tmp_path: Path) -> None:
    first, second = signals(tmp_path, *RECORDED, clusters=CLUSTERS)
    assert first == {}
    values = {key: reading.value for key, reading in second.items()}
    totals = [{s["name"]: s["value"] for s in r["stats"] if "name" in s} for r in RECORDED]
    for cluster in CLUSTERS:
        name = f"cluster.{cluster}.upstream_rq_total"
        assert values["rate_rps", cluster] == (totals[1][name] - totals[0][name]) / 2.0 > 0
        assert values["in_flight", cluster] == totals[1][f"cluster.{cluster}.upstream_rq_active"]
    # Service times are exponential around 50 ms, little queueing: median 35, p95 150.
    assert 25 < values["p50_ms", ""] < 50
    assert 110 < values["p95_ms", ""] < 220
    assert 0.0 <= values["miss_share", ""] < 0.05
    assert {reading.time_s for reading in second.values()} == {102.0}


@pytest.mark.parametrize(
    ("after", "share"),
    [
        (made_up(100, bins={(10, 1): 99, (290, 10): 1}), 0.0),
        (made_up(100, bins={(10, 1): 99, (300, 10): 1}), 0.01),
        (made_up(100, errors=2, bins={(0, 0): 2, (10, 1): 98}), 0.02),
        (made_up(100, errors=2, timeouts=2, bins={(10, 1): 98, (10000, 1000): 2}), 0.02),
        (made_up(100, errors=4, bins={(10, 1): 2}), 1.0),
    ],
    ids=["just in time", "just late", "failed fast", "timed out counts once", "never above 1"],
)
def test_misses(tmp_path: Path, after: Any, share: float) -> None:
    _, second = signals(tmp_path, made_up(reads=0), after)
    assert second["miss_share", ""].value == pytest.approx(share)


@pytest.mark.parametrize(
    "restarted",
    [
        made_up(5, bins={(10, 1): 60}),
        made_up(100, bins={(10, 1): 10}),
        made_up(100, errors=-1, bins={(10, 1): 60}),
        made_up(100, bins={(10, 1): 60}, reads=0),
    ],
    ids=["requests", "latency", "errors", "reads"],
)
def test_a_reset_gives_no_reading_once(tmp_path: Path, restarted: Any) -> None:
    before = made_up(50, bins={(10, 1): 50})
    later = made_up(200, errors=1, bins={(10, 1): 160})
    _, reset, again = signals(tmp_path, before, restarted, later)
    assert reset == {}
    assert again["rate_rps", "a"].value > 0


def test_an_idle_service_has_a_rate_but_no_latency(tmp_path: Path) -> None:
    _, second = signals(tmp_path, made_up(9), made_up(9))
    assert {key: reading.value for key, reading in second.items()} == {
        ("rate_rps", "a"): 0.0,
        ("in_flight", "a"): 3,
        ("error_share", "a"): 0.0,
    }


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        pytest.param(made_up(10), made_up(50), 0.0, id="none"),
        pytest.param(made_up(10), made_up(50, failed=10), 0.25, id="first-ones"),
        pytest.param(made_up(10, failed=4), made_up(50, failed=6), 0.05, id="more"),
        pytest.param(made_up(10, failed=4), made_up(11, failed=9), 1.0, id="late-answers"),
        pytest.param(made_up(10), made_up(50, failed=12, timeouts=8), 0.1, id="timed-out"),
        pytest.param(made_up(10), made_up(50, failed=2, timeouts=8), 0.0, id="only-timed-out"),
    ],
)
def test_errors_are_told_of_the_backend_that_gave_them(
    tmp_path: Path, before: Any, after: Any, expected: float
) -> None:
    _, second = signals(tmp_path, before, after)
    assert second["error_share", "a"].value == pytest.approx(expected)


def test_an_old_answer_is_not_taken_for_a_quiet_service(tmp_path: Path) -> None:
    answers = [made_up(9, reads=5), made_up(9, reads=5), made_up(9, reads=6)]
    sensor = EnvoySensor("web", ("a",), 0.3, count(1.0).__next__)
    with envoy(tmp_path / "admin.sock", *map(http, answers)) as admin:
        assert sensor.read(report(admin)) == {}
        with pytest.raises(SensorError, match=r"admin\.sock gives an old answer again"):
            sensor.read(report(admin))
        assert sensor.read(report(admin))["rate_rps", "a"].value == 0.0


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (http({"stats": []}), "Envoy does not count 'cluster.a.upstream_rq_total'"),
        (b"HTTP/1.1 200 OK\r\n\r\n<html>", "admin.sock"),
        (b"HTTP/1.1 200 OK\r\n\r\n[1]", "admin.sock"),
        (b"HTTP/1.1 503 No\r\n\r\n{}", "admin.sock: answers 503"),
        (b"nonsense\r\n\r\n", "admin.sock"),
        (b"", "admin.sock"),
    ],
    ids=["no such cluster", "not json", "not an object", "an error", "not http", "hangs up"],
)
def test_what_is_no_measurement_is_an_error(tmp_path: Path, answer: bytes, message: str) -> None:
    sensor = EnvoySensor("web", ("a",), 0.3, lambda: 1.0)
    with (
        envoy(tmp_path / "admin.sock", answer) as admin,
        pytest.raises(SensorError, match=message),
    ):
        sensor.read(report(admin))


def test_nobody_there(tmp_path: Path) -> None:
    with pytest.raises(SensorError, match=r"gone\.sock.*No such file"):
        fetch_stats(str(tmp_path / "gone.sock"), "x")


@pytest.mark.parametrize(
    ("q", "value"), [(0.0, 10.0), (0.25, 15.0), (0.5, 20.0), (0.75, 105.0), (1.0, 110.0)]
)
def test_quantiles_are_linear_within_a_bin(q: float, value: float) -> None:
    assert quantile({(100, 10): 2, (10, 10): 2, (50, 1): 0}, q) == pytest.approx(value)


def test_no_answers_no_quantile() -> None:
    with pytest.raises(ValueError, match="no answers"):
        quantile({(10, 10): 0}, 0.5)
