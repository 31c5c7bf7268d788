"""Every query of the dashboard finds data in a real Prometheus that scrapes a real daemon."""

from __future__ import annotations

import json
import math
import shutil
import socket
import subprocess
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

Processes = Any  # the class in the controller's conftest.py, which cannot be imported from here

PROMETHEUS = shutil.which("prometheus") or ""
pytestmark = [
    pytest.mark.stage,
    pytest.mark.skipif(not PROMETHEUS, reason="prometheus is not installed"),
]
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


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


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
def prometheus(daemon: str, tmp_path: Path) -> Iterator[str]:
    """A Prometheus that scrapes it every second; where it is asked."""
    scrape = {"job_name": "trimtab", "static_configs": [{"targets": [daemon]}]}
    config = {"global": {"scrape_interval": "1s"}, "scrape_configs": [scrape]}
    (tmp_path / "prometheus.yml").write_text(yaml.safe_dump(config))
    address = f"127.0.0.1:{free_port()}"
    command = [PROMETHEUS, f"--config.file={tmp_path}/prometheus.yml"]
    command += [f"--storage.tsdb.path={tmp_path}/tsdb", f"--web.listen-address={address}"]
    with (tmp_path / "prometheus.log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    yield address
    process.terminate()
    process.wait(PATIENCE_S)


def values(address: str, query: str) -> list[float]:
    """What Prometheus answers to an instant query."""
    try:
        reply = urllib3.request(
            "GET", f"http://{address}/api/v1/query", fields={"query": query}, retries=False
        )
    except urllib3.exceptions.HTTPError:  # it is still starting
        return []
    answer = reply.json()
    assert answer["status"] == "success", answer
    return [float(result["value"][1]) for result in answer["data"]["result"]]


def test_every_query_finds_data(processes: Processes, prometheus: str) -> None:
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
            if not any(math.isfinite(value) for value in values(prometheus, query))
        ]
    assert missing == []
    assert values(prometheus, "trimtab_stopped") == [1.0]
