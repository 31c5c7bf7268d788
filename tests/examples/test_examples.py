"""What examples/README.md tells people to type works, against a daemon started as it says.

There is no grpcurl here; what it does is done instead: it learns the messages by reflection and
reads them from the same JSON files.
"""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.json_format import MessageToDict, ParseDict
from google.protobuf.message_factory import GetMessageClass
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)

ROOT = Path(__file__).parents[2]
README = (ROOT / "examples" / "README.md").read_text()
ADDRESS = "127.0.0.1:7070"
TRIMTAB = Path(sys.executable).with_name("trimtab")
PATIENCE_S = 30.0


def commands(word: str) -> list[str]:
    """The README's lines that begin with ``word``."""
    return [line for line in README.splitlines() if line.startswith(f"{word} ")]


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A daemon as the README starts it, but for journal and address. It has no stage to see."""
    folder = tmp_path_factory.mktemp("examples")
    command = next(line for line in commands("trimtab") if "daemon" in line)
    _, *arguments = shlex.split(command)
    moved = {"examples.db": f"{folder}/journal.db", ADDRESS: f"unix:{folder}/d.sock"}
    daemon = subprocess.Popen(
        [TRIMTAB, *(moved.get(argument, argument) for argument in arguments)], cwd=ROOT
    )
    yield moved[ADDRESS]
    daemon.terminate()
    daemon.wait(PATIENCE_S)


@pytest.fixture(scope="module")
def channel(address: str) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(address) as channel:
        grpc.channel_ready_future(channel).result(PATIENCE_S)
        yield channel


class Grpcurl:
    """What grpcurl does with a method's name and JSON."""

    def __init__(self, channel: grpc.Channel) -> None:
        self._channel = channel
        self.services = ProtoReflectionDescriptorDatabase(channel)
        self._pool = DescriptorPool(self.services)

    def call(self, method: str, text: str) -> dict[str, Any]:
        """The answer to the messages in ``text``, one after the other."""
        service, _, name = method.partition("/")
        found = self._pool.FindServiceByName(service).methods_by_name[name]
        kind, answer = map(GetMessageClass, (found.input_type, found.output_type))
        requests = [ParseDict(document, kind()) for document in documents(text)]
        path, streams = f"/{method}", found.client_streaming
        reach = self._channel.stream_unary if streams else self._channel.unary_unary
        call = reach(path, kind.SerializeToString, answer.FromString)
        reply = call(iter(requests) if streams else requests[0], timeout=5.0)
        return MessageToDict(reply)


def documents(text: str) -> Iterator[Any]:
    """JSON documents, one after the other."""
    decoder = json.JSONDecoder()
    while text := text.strip():
        document, end = decoder.raw_decode(text)
        text = text[end:]
        yield document


def python(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE_S
    )


@pytest.mark.parametrize(
    ("script", "told"),
    [
        ("recommend.py", r"5 replicas, 200 rps: 5\n(.*\n)*5 replicas, 700 rps: (10|9|8|7|6)\n"),
        ("report_metrics.py", r"\d+ reports taken, 0 ignored\n"),
    ],
)
def test_python(channel: grpc.Channel, address: str, script: str, told: str) -> None:
    command = next(line for line in commands("python") if script in line)
    arguments = shlex.split(command.replace(ADDRESS, address))[1:]
    run = python(*arguments)
    assert (run.returncode, run.stderr) == (0, "")
    assert re.search(told, run.stdout)


def test_python_explains_a_refusal(channel: grpc.Channel, address: str) -> None:
    program = (
        "import sys; sys.path.insert(0, 'examples/python'); import recommend;"
        f"recommend.CHECKOUT.miss_price = 5000; recommend.main({address!r})"
    )
    run = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    assert run.stderr == "description.miss_price 5000 must be from 1 to 1000\n"


EXPECTED = {
    "recommend.json": {"service": "shop", "trust": "TRUST_UP", "missing": ["time_s"]},
    "recommend-described.json": {"service": "checkout", "trust": "TRUST_UP", "windowS": 600.0},
    "report-metrics.json": {"taken": "2"},
    "keda-spec.json": {
        "metricSpecs": [
            {"metricName": "trimtab-replicas", "targetSize": "1", "targetSizeFloat": 1.0}
        ]
    },
}


@pytest.mark.parametrize("command", [line for line in commands("grpcurl") if "-d @" in line])
def test_grpcurl(channel: grpc.Channel, command: str) -> None:
    *_, method, _, file = shlex.split(command)
    reply = Grpcurl(channel).call(method, (ROOT / file).read_text())
    expected = EXPECTED[Path(file).name]
    assert {key: reply.get(key) for key in expected} == expected


def test_every_file_is_shown(channel: grpc.Channel) -> None:
    shown = set(chain.from_iterable(map(shlex.split, commands("grpcurl") + commands("python"))))
    files = {str(f.relative_to(ROOT)) for f in (ROOT / "examples").glob("*/*.[jp][sy]*")}
    assert files <= shown
    listed = Grpcurl(channel).services.get_services()
    assert {"trimtab.v1.Controller", "externalscaler.ExternalScaler"} <= set(listed)
