"""What Prometheus answers besides numbers: nothing of it becomes a number, and all is told."""

from __future__ import annotations

import json
import math
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import trustme
from hypothesis import given
from hypothesis import strategies as st

from trimtab_controller.protocols import SensorError, StageReport
from trimtab_controller.sensors.prometheus.client import Client
from trimtab_controller.sensors.prometheus.sensor import PrometheusSensor, late, quantile_s, total
from trimtab_controller.sensors.prometheus.spec import PrometheusSpec
from trimtab_controller.sensors.prometheus.survey import Survey, survey
from trimtab_controller.sensors.prometheus.watch import FIRST_S, Watch

from ..answers import http, web_server

NOWHERE = StageReport(0.0, "", "", (), "")
KEYS = {"a": ("a",), "b": ("b",)}
VALUES = {
    "rate_rps": 10.0, "in_flight": 2.0, "error_share": 0.1, "answers_rps": 10.0, "failed_rps": 1.0,
    "time": 500.0,
}  # fmt: skip
BUCKETS = {0.1: 5.0, 0.3: 8.0, math.inf: 10.0}


def seen(**changed: Any) -> Survey:
    """Both backends alike, but for ``rate_rps=(10, None)`` and the like: None is not there."""
    pairs = {name: (value, value) for name, value in VALUES.items()} | {"latency": (BUCKETS,) * 2}
    rows = {
        name: {key: one for key, one in zip(KEYS.values(), pair, strict=True) if one is not None}
        for name, pair in (pairs | changed).items()
    }
    return Survey(rows, rows.pop("latency"))


def read(found: Survey, slo_s: float = 0.3) -> dict[tuple[str, str], float]:
    sensor = PrometheusSensor(KEYS, slo_s, PrometheusSpec(url="http://x"), lambda: found)
    return {signal: reading.value for signal, reading in sensor.read(NOWHERE).items()}


def test_every_signal_is_as_old_as_what_it_is_made_of() -> None:
    spec = PrometheusSpec(url="http://x")
    sensor = PrometheusSensor(KEYS, 0.3, spec, lambda: seen(time=(500.0, 400.0)))
    times = {signal: reading.time_s for signal, reading in sensor.read(NOWHERE).items()}
    assert (times["rate_rps", "a"], times["rate_rps", "b"]) == (500.0, 400.0)
    assert {times[signal, ""] for signal in ("p50_ms", "p95_ms", "miss_share")} == {400.0}


LATENCIES = {("p50_ms", ""), ("p95_ms", ""), ("miss_share", "")}
MISSES = {("miss_share", "")}
ERRORS = {("error_share", "b")}


@pytest.mark.parametrize(
    ("changed", "missing"),
    [
        pytest.param({}, set(), id="all there"),
        pytest.param({"error_share": (0.1, None)}, ERRORS, id="errors of one"),
        pytest.param({"latency": (BUCKETS, None)}, LATENCIES, id="latency of one"),
        pytest.param({"latency": (BUCKETS, {0.1: 5.0})}, LATENCIES, id="no +Inf"),
        pytest.param({"latency": (BUCKETS, {math.inf: 0.0})}, LATENCIES, id="no answers"),
        pytest.param({"failed_rps": (1.0, None)}, MISSES, id="failures of one"),
        pytest.param({"answers_rps": (None, 1.0)}, MISSES, id="answers of one"),
        pytest.param({"rate_rps": (10.0, 0.0), "latency": (BUCKETS, None)}, set(), id="one idle"),
        pytest.param({"rate_rps": (0.0, 0.0)}, LATENCIES, id="both idle"),
    ],
)
def test_what_is_not_known_is_left_out(changed: Mapping[str, Any], missing: set[Any]) -> None:
    assert read(seen()).keys() - read(seen(**changed)).keys() == missing


@pytest.mark.parametrize("query", ["time", "rate_rps", "in_flight"])
def test_what_is_needed_is_named_when_it_is_missing(query: str) -> None:
    with pytest.raises(SensorError, match=rf'no number for {query} of b: .*envoy_cluster_name="b"'):
        read(seen(**{query: (1.0, None)}))


@pytest.mark.parametrize(
    ("slo_s", "failed", "share"),
    [
        pytest.param(0.3, 1.0, 0.3, id="at an edge"),
        pytest.param(0.2, 0.0, 0.35, id="within a bucket"),
        pytest.param(9.0, 0.0, 0.2, id="beyond the last edge: all above it counts"),
        pytest.param(0.3, 99.0, 1.0, id="never above 1"),
    ],
)
def test_misses(slo_s: float, failed: float, share: float) -> None:
    found = read(seen(failed_rps=(failed, failed)), slo_s)
    assert found["miss_share", ""] == pytest.approx(share)


def test_quantiles_are_linear_within_a_bucket_and_end_at_the_last_edge() -> None:
    assert [quantile_s(BUCKETS, q) for q in (0.25, 0.65, 0.9)] == [0.05, 0.2, 0.3]


def test_of_backends_with_other_buckets_only_common_ones_count() -> None:
    assert total([BUCKETS, {0.3: 1.0, 0.5: 3.0, math.inf: 4.0}]) == {0.3: 9.0, math.inf: 14.0}


@given(
    st.dictionaries(st.floats(0.001, 100.0), st.floats(0.0, 1e6), max_size=6),
    st.floats(1e-3, 1e6),
    st.floats(0.001, 200.0),
)
def test_whatever_the_buckets_a_share_is_one(
    finite: dict[float, float], most: float, slo_s: float
) -> None:
    """Also of counts that extrapolation made sink."""
    buckets = total([{**finite, math.inf: most}])
    assert 0.0 <= late(buckets, slo_s) <= buckets[math.inf]
    assert 0.0 <= quantile_s(buckets, 0.5) <= quantile_s(buckets, 0.95) <= 100.0


def series(*found: Any, **more: Any) -> bytes:
    return http({"status": "success", "data": {"resultType": "vector", "result": found}, **more})


def one(value: str = "1", **labels: str) -> Any:
    return {"metric": labels, "value": [1, value]}


def error(status: str, **body: str) -> bytes:
    return f"HTTP/1.1 {status}\r\n\r\n".encode() + json.dumps(body).encode()


NO_PROMETHEUS = "not the answer of a Prometheus"
CUT_OFF = b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{}"


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (b"nonsense\r\n\r\n", "rate_rps: "),
        (b"", "rate_rps: "),
        (CUT_OFF, "rate_rps: .*IncompleteRead"),
        (b"HTTP/1.1 200 OK\r\n\r\n<html>", NO_PROMETHEUS),
        (http([1]), NO_PROMETHEUS),
        (http({"status": "success"}), NO_PROMETHEUS),
        (series(7), NO_PROMETHEUS),
        (series({"metric": 1, "value": [1, "1"]}), NO_PROMETHEUS),
        (series(one("abc")), NO_PROMETHEUS),
        (series({"metric": {}, "histogram": [1, {}]}), "native histograms: query classic"),
        (http({"status": "success", "data": {"resultType": "scalar"}}), "a scalar, no vector"),
        (http({"status": "error", "error": "query timed out"}), "query timed out"),
        (series(warnings=["store gone"]), r"only a part of the answer: \['store gone'\]"),
        (series(isPartial=True), "only a part of the answer"),
        (error("302 Found"), "HTTP 302 Found"),
        (error("400 Bad Request", error="parse error"), "400: parse error: correct the query"),
        (error("401 Unauthorized"), "HTTP 401: it wants another token"),
        (error("403 Forbidden"), "HTTP 403: it wants another token"),
        (error("404 Not Found"), "HTTP 404 Not Found"),
        (error("422 Unprocessable", error="many-to-many"), "422: many-to-many: correct the q"),
        (error("429 Too Many Requests"), "HTTP 429 Too Many Requests"),
        (error("503 Service Unavailable", error="out of time"), "HTTP 503: out of time$"),
        (error("500 Internal Server Error"), "HTTP 500 Internal Server Error"),
    ],
)  # fmt: skip
def test_what_is_no_whole_answer_is_an_error(answer: bytes, message: str) -> None:
    with web_server(answer) as url, pytest.raises(SensorError, match=message) as caught:
        Client(PrometheusSpec(url=url)).instant("rate_rps", "x")
    assert str(caught.value).startswith(f"Prometheus at {url}: rate_rps: ")


def test_notes_that_are_no_warnings_do_not_matter() -> None:
    with web_server(series(one("2.5", a="b"), infos=["no counter?"])) as url:
        (found,) = Client(PrometheusSpec(url=url)).instant("rate_rps", "x")
    assert found == ({"a": "b"}, 2.5)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("http://127.0.0.1:9", "Connection refused"),
        ("http://trimtab.invalid", "trimtab.invalid"),
        ("https://127.0.0.1:9", "Connection refused"),
    ],
)
def test_nobody_there(url: str, message: str) -> None:
    with pytest.raises(SensorError, match=message) as caught:
        Client(PrometheusSpec(url=url)).instant("rate_rps", "x")
    assert "object at" not in str(caught.value)


def test_a_server_that_hangs() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        spec = PrometheusSpec(f"http://127.0.0.1:{silent.getsockname()[1]}", timeout_s=0.2)
        with pytest.raises(SensorError, match="no answer in time"):
            Client(spec).instant("rate_rps", "x")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "wants another token"),
        (b"two\nlines", "must hold the token in one line"),
        ("schlüssel".encode(), "must hold the token in one line"),
        (None, "No such file"),
    ],
)
def test_a_token_is_never_told(tmp_path: Path, content: bytes | None, message: str) -> None:
    file = tmp_path / "token"
    if content is not None:
        file.write_bytes(content)
    with web_server(error("401 Unauthorized")) as url:
        with pytest.raises(SensorError, match=message) as caught:
            Client(PrometheusSpec(url, token=str(file))).instant("rate_rps", "x")
        if content != b"":  # nobody has connected: let the server end
            socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2]))).close()
    assert "lines" not in str(caught.value).replace("one line", "")


class Guarded(BaseHTTPRequestHandler):
    """A Prometheus that wants a token."""

    def do_GET(self) -> None:
        known = self.headers["Authorization"] == "Bearer sesame"
        self.send_response(200 if known else 401)
        self.end_headers()
        self.wfile.write(series(one("7")).partition(b"\r\n\r\n")[2] if known else b"")

    def log_message(self, *_arguments: object) -> None:
        pass


@contextmanager
def guarded(authority: trustme.CA) -> Iterator[str]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with ThreadingHTTPServer(("127.0.0.1", 0), Guarded) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"https://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_a_token_and_a_ca_of_its_own(tmp_path: Path) -> None:
    ours, others = trustme.CA(), trustme.CA()
    token, ca, wrong = (tmp_path / name for name in ("token", "ca.crt", "wrong.crt"))
    token.write_text("sesame\n")
    ours.cert_pem.write_to_path(str(ca))
    others.cert_pem.write_to_path(str(wrong))
    with guarded(ours) as url:
        spec = PrometheusSpec(url, token=str(token), ca=str(ca))
        assert [found.value for found in Client(spec).instant("x", "x")] == [7.0]
        for changed, message in (
            (replace(spec, token=""), "HTTP 401"),
            (replace(spec, ca=str(wrong)), "certificate verify failed"),
            (replace(spec, ca=str(tmp_path / "none.crt")), "No such file"),
        ):
            with pytest.raises(SensorError, match=message):
                Client(changed).instant("x", "x")


def test_several_series_of_one_backend_are_named() -> None:
    twice = one(envoy_cluster_name="a", pod="1"), one(envoy_cluster_name="a", pod="2")
    with web_server(series(), series(*twice), *[series()] * 5) as url:
        spec = PrometheusSpec(url)
        with pytest.raises(SensorError, match="rate_rps gives several series for envoy_cluster_n"):
            survey(Client(spec), spec)


def test_bounds_that_are_written_in_two_ways_are_one() -> None:
    both = one("3", envoy_cluster_name="a", le="1"), one("4", envoy_cluster_name="a", le="1.0")
    with web_server(*[series()] * 6, series(*both)) as url:
        spec = PrometheusSpec(url)
        assert survey(Client(spec), spec).latency == {("a",): {0.001: 7.0}}


class Asked:
    """Answers what it is told to, when it is told to."""

    def __init__(self) -> None:
        self.answer: Survey | Exception = seen()
        self.times = 0
        self.go = threading.Semaphore(0)

    def __call__(self) -> Survey:
        self.go.acquire()
        self.times += 1
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def test_the_watch_tells_the_latest_answer_and_outlives_every_failure() -> None:
    now, asked = [0.0], Asked()
    watch = Watch(asked, interval_s=0.001, patience_s=10.0, monotonic=lambda: now[0])
    try:
        now[0] = FIRST_S
        with pytest.raises(SensorError, match="not asked yet"):
            watch.latest()
        _next(asked)
        assert watch.latest() is asked.answer
        now[0] += 11.0
        with pytest.raises(SensorError, match="not answered for 11 s"):
            watch.latest()
        for failure in (SensorError("it is down"), RuntimeError("a bug")):
            asked.answer = failure
            _next(asked)
            with pytest.raises(SensorError, match=str(failure)):
                watch.latest()
    finally:
        asked.go.release(1000)
        watch.close()


def test_who_is_first_waits_for_the_first_answer() -> None:
    asked = Asked()
    watch = Watch(asked, interval_s=60.0, patience_s=10.0, monotonic=lambda: 0.0)
    threading.Timer(0.05, asked.go.release).start()
    assert watch.latest() is asked.answer
    watch.close()


def _next(asked: Asked) -> None:
    """Let two more answers through: the first one may have been on its way."""
    asked.go.release(2)
    before = asked.times
    while asked.times < before + 2:
        time.sleep(0.001)
    time.sleep(0.05)
