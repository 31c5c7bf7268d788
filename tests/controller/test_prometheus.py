"""A recording out of a real Prometheus; skipped where Debian's package `prometheus` is missing."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import numpy as np
import pytest
from click.testing import CliRunner

from trimtab_agents.fit.recording import read_recordings
from trimtab_controller.cli.record import record
from trimtab_controller.prometheus import PrometheusError, Queries, read_queries, recordings
from trimtab_sim.schema import ConfigError

from .answers import http, web_server

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
    if not shutil.which("prometheus") or not shutil.which("promtool"):
        pytest.skip("needs Prometheus: apt-get install prometheus")
    folder = tmp_path_factory.mktemp("prometheus")
    (folder / "metrics").write_text(open_metrics(start_s))
    (folder / "prometheus.yml").write_text("")
    build = ["promtool", "tsdb", "create-blocks-from", "openmetrics", "metrics", "data"]
    subprocess.run(build, cwd=folder, check=True, capture_output=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    command = ["prometheus", "--config.file=prometheus.yml", "--storage.tsdb.path=data"]
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(
            [*command, f"--web.listen-address={address}"], cwd=folder, stderr=log, stdout=log
        )
        try:
            wait_for(f"http://{address}/-/ready")
            yield f"http://{address}"
        finally:
            server.terminate()
            server.wait(10)


def wait_for(page: str) -> None:
    for _ in range(200):
        try:
            with urlopen(page, timeout=1):  # noqa: S310 # our own server
                return
        except (URLError, OSError):
            time.sleep(0.1)
    raise TimeoutError(page)


def open_metrics(start_s: int) -> str:
    lines: dict[str, list[str]] = {}
    for scrape in range(SCRAPES + 1):
        now_s, ready = start_s + scrape * SCRAPE_S, 2 + scrape // 60
        lines.setdefault("wanted", []).append(f"wanted 3 {now_s}")
        for pod in "ab":
            lines.setdefault("ready", []).append(f'ready{{pod="{pod}"}} {ready} {now_s}')
            lines.setdefault("inside", []).append(f'inside{{pod="{pod}"}} 1.5 {now_s}')
            total = RPS * scrape * SCRAPE_S
            counts = [
                f'answers_bucket{{pod="{pod}",le="{le}"}} {share * total:.0f} {now_s}'
                for le, share in SHARES.items()
            ]
            counts.append(f'answers_count{{pod="{pod}"}} {total} {now_s}')
            lines.setdefault("answers", []).extend(counts)
    kinds = {"wanted": "gauge", "ready": "gauge", "inside": "gauge", "answers": "histogram"}
    text = "".join(
        f"# TYPE {name} {kind}\n" + "".join(f"{line}\n" for line in sorted_by_series(lines[name]))
        for name, kind in kinds.items()
    )
    return text + "# EOF\n"


def sorted_by_series(lines: list[str]) -> list[str]:
    return sorted(lines, key=lambda line: line.split(" ")[0])


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
    with pytest.raises(PrometheusError, match=r"no answer of a Prometheus .*: correct `url`"):
        recordings(queries, 0.0, 60.0)


def series(*found: Any) -> bytes:
    return http({"data": {"result": found}})


NO_ANSWER = "no answer of a Prometheus"


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (b"nonsense\r\n\r\n", NO_ANSWER),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}", NO_ANSWER),
        (b"HTTP/1.1 200 OK\r\n\r\n<html>", NO_ANSWER),
        (b"HTTP/1.1 503 No\r\n\r\n[1]", "HTTP 503 No"),
        (b"HTTP/1.1 503 No\r\nContent-Length: 9\r\n\r\n{}", "HTTP 503 No"),
        (http({"data": {"result": 7}}), NO_ANSWER),
        (series(5), NO_ANSWER),
        (series("values"), NO_ANSWER),
        (series({"metric": [], "values": 5}), NO_ANSWER),
        (series({"metric": {}, "values": [[60, "abc"]]}), NO_ANSWER),
        (series({"metric": {}, "values": [["abc", "1"]]}), NO_ANSWER),
        (series({"metric": {}, "histograms": [[60, {}]]}), "native histograms: query classic"),
    ],
    ids=[
        "not http", "cut off", "not json", "busy", "busy and cut off", "no list", "no series",
        "text", "no pairs", "no number", "no time", "native histograms",
    ],
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
        ("URL", "file:///etc/passwd", "must begin with http"),
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
