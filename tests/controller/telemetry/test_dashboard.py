"""Every query of the dashboard finds data in a real Prometheus that scrapes a real daemon."""

from __future__ import annotations

import json
import math
import time
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
import urllib3
import yaml

from trimtab_proto.v1 import controller_pb2 as pb
from trimtab_proto.v1 import controller_pb2_grpc

from ..prometheus_server import free_port, needs_prometheus, prometheus

Processes = Any  # the class in the controller's conftest.py, which cannot be imported from here

pytestmark = [pytest.mark.stage, needs_prometheus]
DASHBOARD = Path(__file__).parents[3] / "deploy/grafana/trimtab.json"
PATIENCE_S = 90.0
# What Grafana puts in the place of its variables.
VARIABLES = {"$service": ".*", "$__rate_interval": "5s"}


def queries() -> list[str]:
    """Of all panels, as Grafana would send them."""
    panels = json.loads(DASHBOARD.read_text())["panels"]
    found = [target["expr"] for panel in panels for target in panel["targets"]]
    for variable, value in VARIABLES.items():
        found = [query.replace(variable, value) for query in found]
    return found


@pytest.fixture
def daemon(processes: Processes) -> str:
    """A daemon on the live stage; where its metrics are."""
    folder, listen = processes.folder, f"127.0.0.1:{free_port()}"
    (folder / "key").write_text(b64encode(bytes(32)).decode())
    (folder / "key").chmod(0o600)
    config = yaml.safe_load(Path(processes.demo).read_text())
    config["metrics"] = {"listen": listen}
    # Nobody listens there: its events are counted all the same.
    config["webhook"] = {"url": f"http://127.0.0.1:{free_port()}/", "secret": "key"}
    (folder / "trimtab.yaml").write_text(yaml.safe_dump(config))
    processes.start_stage()
    processes.start_daemon("--config", f"{folder}/trimtab.yaml")
    return listen


@pytest.fixture
def url(daemon: str, tmp_path: Path) -> Iterator[str]:
    """A Prometheus that scrapes it every second; where it is asked."""
    with prometheus(tmp_path / "prometheus", targets=(daemon,), job="trimtab") as url:
        yield url


def values(url: str, query: str) -> list[float]:
    """What Prometheus answers to an instant query."""
    reply = urllib3.request("GET", f"{url}/api/v1/query", fields={"query": query}, retries=False)
    answer = reply.json()
    assert answer["status"] == "success", answer
    return [float(result["value"][1]) for result in answer["data"]["result"]]


def test_every_query_finds_data(processes: Processes, url: str) -> None:
    processes.status(lambda status: status.decisions > 0)
    with grpc.insecure_channel(f"unix:{processes.folder}/d.sock") as channel:
        stub = controller_pb2_grpc.ControllerStub(channel)
        stub.Stop(pb.StopRequest(who="ann"), timeout=5.0)  # an event for the webhook
    missing, end_s = queries(), time.monotonic() + PATIENCE_S
    while missing and time.monotonic() < end_s:
        time.sleep(1.0)
        missing = [
            query
            for query in missing
            if not any(math.isfinite(value) for value in values(url, query))
        ]
    assert missing == []
    assert values(url, "trimtab_stopped") == [1.0]
