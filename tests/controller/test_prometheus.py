"""A recording out of a real Prometheus; skipped where Debian's package `prometheus` is missing."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from trimtab_agents.fit.recording import read_recordings
from trimtab_controller.cli.record import record
from trimtab_controller.prometheus import Queries, read_queries, recordings
from trimtab_controller.sensors.prometheus.client import PrometheusError
from trimtab_sim.schema import ConfigError

from .answers import http, web_server
from .prometheus_server import installed, open_metrics, prometheus

SCRAPE_S, SCRAPES, STEP_S, RPS = 15, 120, 60, 20
SHARES = {"0.05": 0.4, "0.1": 0.7, "0.25": 0.9, "0.5": 0.95, "+Inf": 1.0}
GOOD = """\
url: URL
step_s: 60
backends:
  - name: web
    wanted: wanted
    ready: sum(ready)
    rate_rps: sum(rate(answers_count[$step]))
    in_flight: sum(avg_over_time(inside[$step]))
    latency: sum by (le) (increase(answers_bucket[$step]))
"""


@pytest.fixture(scope="module")
def start_s() -> int:
    return (int(time.time()) - SCRAPE_S * SCRAPES) // STEP_S * STEP_S


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory, start_s: int) -> Iterator[str]:
    """A server that has scraped two pods for half an hour."""
    if not installed():
        pytest.skip("needs Prometheus: apt-get install prometheus")
    with prometheus(tmp_path_factory.mktemp("prometheus"), open_metrics(past(start_s))) as url:
        yield url


def past(start_s: int) -> Iterator[tuple[str, float, float]]:
    """Series, value and time."""
    for scrape in range(SCRAPES + 1):
        now_s, total = start_s + scrape * SCRAPE_S, RPS * scrape * SCRAPE_S
        yield "wanted", 3, now_s
        for pod in "ab":
            yield f'ready{{pod="{pod}"}}', 2 + scrape // 60, now_s
            yield f'inside{{pod="{pod}"}}', 1.5, now_s
            yield f'answers_count{{pod="{pod}"}}', total, now_s
            for le, share in SHARES.items():
                yield f'answers_bucket{{pod="{pod}",le="{le}"}}', round(share * total), now_s


def write(folder: Path, text: str) -> Path:
    file = folder / "queries.yaml"
    file.write_text(text)
    return file


def test_what_prometheus_remembers(url: str, start_s: int, tmp_path: Path) -> None:
    queries = read_queries(write(tmp_path, GOOD.replace("URL", url)))
    (found,) = recordings(queries, start_s + 300, start_s + SCRAPES * SCRAPE_S)
    assert found.step_s == STEP_S
    assert found.time_s[0] == start_s + 300
    assert set(found.wanted) == {3.0}
    assert list(found.ready[[0, -1]]) == [4.0, 8.0]
    np.testing.assert_allclose(found.rate_rps, 2 * RPS, rtol=1e-6)
    np.testing.assert_allclose(found.in_flight, 3.0)
    assert list(found.bounds_s) == [0.05, 0.1, 0.25, 0.5]
    shares = np.diff([0.0, *SHARES.values()])
    np.testing.assert_allclose(
        found.answers, np.tile(2 * RPS * STEP_S * shares, (26, 1)), rtol=0.01
    )


def test_the_command_writes_what_fit_reads(url: str, tmp_path: Path) -> None:
    queries, output = write(tmp_path, GOOD.replace("URL", url)), tmp_path / "out.csv"
    arguments = [str(output), "--queries", str(queries), "--since", "29m"]
    told = CliRunner().invoke(record, arguments)
    assert told.exit_code == 0, told.output
    (found,) = read_recordings(output)
    assert f"{len(found.time_s)} rows of web" in told.output
    again = CliRunner().invoke(record, arguments)
    assert "is there already: give another name" in again.output


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("sum(ready)", "ready", "web.ready: the query gives 2 series: make one of them"),
        ("sum(ready)", "sum(nothing)", "web.ready: the query gives nothing in this time"),
        ("sum(ready)", "sum(ready", "parse error: unclosed left parenthesis"),
        ("sum by (le) (", "sum(", "web.latency: a series has no label le"),
        ("sum by (le) (", "(", "web.latency: several series have one label le: sum by (le)"),
    ],
    ids=["several", "none", "wrong", "no buckets", "buckets of each pod"],
)
def test_queries_that_give_nothing(
    url: str, start_s: int, tmp_path: Path, old: str, new: str, message: str
) -> None:
    queries = read_queries(write(tmp_path, GOOD.replace("URL", url).replace(old, new)))
    with pytest.raises(PrometheusError, match=re.escape(message)):
        recordings(queries, start_s + 300, start_s + 900)


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1:9", "http://127.0.0.1:abc", "http://a b/"],
    ids=["nobody", "no port", "no host"],
)
def test_nobody_there(tmp_path: Path, url: str) -> None:
    queries = read_queries(write(tmp_path, GOOD.replace("URL", url)))
    with pytest.raises(PrometheusError, match=rf"^Prometheus at {url}: web\.wanted: Failed to "):
        recordings(queries, 0.0, 60.0)


def series(*found: Any) -> bytes:
    return http({"status": "success", "data": {"resultType": "matrix", "result": found}})


NO_ANSWER = "not the answer of a Prometheus"


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (series(5), NO_ANSWER),
        (series("values"), NO_ANSWER),
        (series({"metric": [], "values": 5}), NO_ANSWER),
        (series({"metric": {}, "values": [[60, "abc"]]}), NO_ANSWER),
        (series({"metric": {}, "values": [["abc", "1"]]}), NO_ANSWER),
        (series({"metric": {}, "histograms": [[60, {}]]}), "native histograms: query classic"),
    ],
    ids=["no series", "text", "no pairs", "no number", "no time", "native histograms"],
)  # fmt: skip
def test_an_answer_that_is_none(tmp_path: Path, answer: bytes, message: str) -> None:
    with web_server(answer) as url:
        queries = read_queries(write(tmp_path, GOOD.replace("URL", url)))
        with pytest.raises(PrometheusError, match=rf"{url}: web\.wanted: .*{message}"):
            recordings(queries, 0.0, 60.0)


def test_moments_without_a_finite_number_are_left_out(tmp_path: Path) -> None:
    """A division by zero is +Inf, or NaN."""
    times = range(60, 720, 60)
    one = [[time_s, "1"] for time_s in times]
    rate = [[60, "+Inf"], [120, "NaN"], *one[2:]]
    gauges = [series({"metric": {}, "values": values}) for values in (one, one, rate, one)]
    buckets = series(*({"metric": {"le": le}, "values": one} for le in SHARES))
    with web_server(*gauges, buckets) as url:
        queries = read_queries(write(tmp_path, GOOD.replace("URL", url)))
        (found,) = recordings(queries, 60.0, 660.0)
    assert list(found.time_s) == list(times)[2:]
    assert set(found.rate_rps) == {1.0}


def test_a_long_step_is_a_duration_that_prometheus_reads(url: str, tmp_path: Path) -> None:
    text = GOOD.replace("URL", url).replace("step_s: 60", "step_s: 1200000")
    now_s = time.time() - 60.0
    (found,) = recordings(read_queries(write(tmp_path, text)), now_s, now_s)
    assert len(found.time_s) == 1


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("URL", "file:///etc/passwd", "write http://HOST:PORT or https://HOST"),
        ("backends:\n", "backends:\n" + GOOD.partition("backends:\n")[2], "'web' is listed twice"),
    ],
    ids=["url", "twice"],
)
def test_a_file_that_is_none(tmp_path: Path, old: str, new: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read_queries(write(tmp_path, GOOD.replace(old, new).replace("URL", "http://x")))


def test_a_file_that_is_one(tmp_path: Path) -> None:
    assert read_queries(write(tmp_path, GOOD.replace("URL", "https://x"))) == Queries(
        "https://x", read_queries(write(tmp_path, GOOD.replace("URL", "http://x"))).backends
    )
