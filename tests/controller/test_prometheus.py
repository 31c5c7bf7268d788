"""A recording out of a real Prometheus; skipped where Debian's package `prometheus` is missing."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import numpy as np
import pytest
from click.testing import CliRunner

from trimtab_agents.fit.recording import read_recordings
from trimtab_controller.cli.record import record
from trimtab_controller.prometheus import PrometheusError, Queries, read_queries, recordings
from trimtab_sim.schema import ConfigError

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
    ],
    ids=["several", "none", "wrong", "no buckets"],
)
def test_queries_that_give_nothing(
    url: str, start_s: int, tmp_path: Path, old: str, new: str, message: str
) -> None:
    queries = read_queries(write(tmp_path, GOOD.replace("URL", url).replace(old, new)))
    with pytest.raises(PrometheusError, match=re.escape(message)):
        recordings(queries, start_s + 300, start_s + 900)


def test_nobody_there(tmp_path: Path) -> None:
    queries = read_queries(write(tmp_path, GOOD.replace("URL", "http://127.0.0.1:9")))
    with pytest.raises(PrometheusError, match=r"no answer of a Prometheus .*: correct `url`"):
        recordings(queries, 0.0, 60.0)


def test_a_file_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="must begin with http"):
        read_queries(write(tmp_path, GOOD.replace("URL", "file:///etc/passwd")))
    assert read_queries(write(tmp_path, GOOD.replace("URL", "https://x"))) == Queries(
        "https://x", read_queries(write(tmp_path, GOOD.replace("URL", "http://x"))).backends
    )
