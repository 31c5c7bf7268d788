"""`Explain` and `trimtab explain`, over a real channel and from a real journal."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import grpc
import pytest
from click.testing import CliRunner, Result

from trimtab_controller.cli import main
from trimtab_controller.cli.explain import told
from trimtab_proto.v1 import controller_pb2 as pb
from trimtab_proto.v1 import controller_pb2_grpc

World = Any  # the class in conftest.py, which cannot be imported from here


@pytest.fixture
def address(world: World, tmp_path: Path) -> Iterator[str]:
    """The API of a world whose last tick but one wanted more than the guard allows."""
    address = f"unix:{tmp_path}/api.sock"
    served = world.serve(address)
    world.want(a=12)
    world.tick()
    world.want(a=1)
    world.tick()
    yield address
    served.close()


def explained(address: str, **request: Any) -> pb.ExplainReply:
    with grpc.insecure_channel(address) as channel:
        stub = controller_pb2_grpc.ControllerStub(channel)
        return stub.Explain(pb.ExplainRequest(**request), timeout=5.0)


def command(address: str, decision: str) -> Result:
    return CliRunner().invoke(main, ["explain", decision, "--address", address])


def test_the_latest_of_a_record_and_by_a_time(world: World, address: str) -> None:
    latest = explained(address, service="web")
    assert (latest.time_s, latest.record) == (world.clock(), world.journal.last("tick").seq)
    before = explained(address, service="web", time_s=world.clock() - 0.5)
    assert before.time_s == world.clock() - 1.0
    assert explained(address, service="web", record=before.record) == before


def test_all_parts_are_told(world: World, address: str) -> None:
    reply = explained(address, service="web", time_s=world.clock() - 0.5)
    assert (reply.policy, reply.mode, reply.outcome) == ("fixed", pb.MODE_GUARDED, "applied")
    assert [want.replicas for want in reply.proposal] == [12, 1]
    assert [want.replicas for want in reply.decision] == [5, 1]
    (guard,) = reply.guard
    assert (guard.reason.code, guard.words) == ("RATE_UP", "no faster up (a 12→5)")
    assert guard.words in reply.sentence
    assert reply.hindsight.judgement == "unknown"  # this policy does not forecast


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        pytest.param({"service": "web", "record": 10**6}, "NOT_FOUND", id="record"),
        pytest.param({"service": "web", "record": 2**64 - 1}, "NOT_FOUND", id="beyond any"),
        pytest.param({"service": "web", "record": 1}, "NOT_FOUND", id="no tick"),
        pytest.param({"service": "web", "time_s": 1.0}, "NOT_FOUND", id="long ago"),
        pytest.param({"service": "nobody"}, "NOT_FOUND", id="service"),
        pytest.param({}, "INVALID_ARGUMENT", id="nothing"),
    ],
)
def test_what_is_not_there(address: str, request_: dict[str, Any], code: str) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        explained(address, **request_)
    assert refused.value.code().name == code


def test_by_hand(world: World, address: str) -> None:
    said = command(address, "web").output.splitlines()
    record = world.journal.last("tick").seq
    assert said[0].startswith(f"web@{record}  ")
    assert said[0].endswith("guarded, policy fixed")
    then = datetime.fromtimestamp(world.clock() - 1.0)
    for moment in (f"{record - 2}", f"{then:%Y-%m-%dT%H:%M:%S}"):
        said = command(address, f"web@{moment}").output.splitlines()
        assert said[1] == "because; held to +4: no faster up (a 12→5); applied"
        assert "  guard      no faster up (a 12→5)  RATE_UP" in said


def test_thoroughly_by_hand(address: str) -> None:
    arguments = ["explain", "web", "--thorough", "--address", address]
    said = CliRunner().invoke(main, arguments).output
    assert "  inputs     not told: policy fixed is not loaded any more" in said.splitlines()


def test_what_mattered_comes_first_and_the_rest_is_counted() -> None:
    def other(name: str, more: int) -> pb.Alternative:
        wanted = [pb.BackendDecision(name="a", replicas=5 + more, weight=1.0)]
        return pb.Alternative(name=name, wanted=wanted, more=more)

    inputs = [other("recent misses", -2), other("its season", 0), other("its noise", 0)]
    rules = [other("hpa at 70 %", 1)]
    lines = list(told(pb.ExplainReply(service="web", inputs=inputs, rules=rules)))
    assert lines[-3:] == [
        "  input      without recent misses -2: a 3 at 100 %",
        "  input      without any one of 2 others as many replicas",
        "  rule       hpa at 70 %: a 6 at 100 %",
    ]


@pytest.mark.parametrize(
    ("decision", "code", "says"),
    [
        pytest.param("web@noon", 2, "'noon' is neither a record's number nor a time", id="words"),
        pytest.param("web@" + "9" * 20, 2, "is neither a record's number nor", id="beyond any"),
        pytest.param("web@99999", 1, "there is no decision 'web@99999'", id="record"),
        pytest.param("api", 1, "there is no service 'api'", id="service"),
    ],
)
def test_a_mistake_is_told_in_one_line(address: str, decision: str, code: int, says: str) -> None:
    result = command(address, decision)
    assert result.exit_code == code
    assert says in result.output.splitlines()[-1]
