"""A real Prometheus: with a made-up past, or scraping; and a page for it to scrape."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.request import urlopen

import pytest
import yaml


def installed() -> bool:
    return bool(shutil.which("prometheus") and shutil.which("promtool"))


needs_prometheus = pytest.mark.skipif(
    not installed(), reason="needs Prometheus: apt-get install prometheus"
)


@contextmanager
def prometheus(
    folder: Path, past: str = "", targets: Iterable[str] = (), job: str = "envoy"
) -> Iterator[str]:
    """Its URL. ``past`` is OpenMetrics text; ``targets``, HOST:PORT, are scraped every second."""
    folder.mkdir(exist_ok=True)
    discover(folder, targets)
    if past:
        (folder / "past").write_text(past)
        build = ["promtool", "tsdb", "create-blocks-from", "openmetrics", "past", "data"]
        subprocess.run(build, cwd=folder, check=True, capture_output=True)
    scrape = {"job_name": job, "file_sd_configs": [{"files": ["targets.json"]}]}
    config = {"global": {"scrape_interval": "1s"}, "scrape_configs": [scrape]}
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    address = f"127.0.0.1:{free_port()}"
    command = ["prometheus", "--config.file=prometheus.yml", "--storage.tsdb.path=data"]
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(
            [*command, f"--web.listen-address={address}"], cwd=folder, stderr=log, stdout=log
        )
    try:
        _wait_for(f"http://{address}/-/ready")
        yield f"http://{address}"
    finally:
        server.terminate()
        server.wait(10)


def discover(folder: Path, targets: Iterable[str]) -> None:
    """From now on these are scraped, and no others."""
    new = folder / "targets.json.new"
    new.write_text(json.dumps([{"targets": [*targets]}]))
    new.replace(folder / "targets.json")


def _wait_for(page: str) -> None:
    for _ in range(300):
        try:
            with urlopen(page, timeout=1):  # noqa: S310 # our own server
                return
        except OSError:
            time.sleep(0.1)
    raise TimeoutError(page)


def open_metrics(samples: Iterable[tuple[str, float, float]]) -> str:
    """Series, value and time, in any order, as `promtool` reads them."""
    in_order = sorted(samples, key=lambda sample: (sample[0], sample[2]))
    return "".join(f"{series} {value} {time_s}\n" for series, value, time_s in in_order) + "# EOF\n"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def page(content: Callable[[], bytes]) -> Iterator[str]:
    """A server that tells ``content``, read anew each time, or 503; its HOST:PORT."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            try:
                body = content()
            except OSError:
                self.send_error(503)
                return
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_arguments: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()
