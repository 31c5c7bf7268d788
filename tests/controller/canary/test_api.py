"""Trials over the API: what may be asked for, and what is refused with which status."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import grpc
import pytest
from click.testing import CliRunner

from trimtab_controller.cli.canary import canary
from trimtab_guard.modes import Mode
from trimtab_proto.v1 import controller_pb2 as pb
from trimtab_proto.v1 import controller_pb2_grpc

World = Any  # the class in conftest.py, which cannot be imported from here
Code = grpc.StatusCode


@pytest.fixture
def world(new_world: Callable[[Mode], World]) -> World:
    return new_world(Mode.GUARDED)


@pytest.fixture
def stub(world: World, tmp_path: Path) -> Iterator[controller_pb2_grpc.ControllerStub]:
    address = f"unix:{tmp_path}/api.sock"
    with closing(world.serve(address)), grpc.insecure_channel(address) as channel:
        yield controller_pb2_grpc.ControllerStub(channel)


def start(**changes: Any) -> pb.StartCanaryRequest:
    fields: dict[str, Any] = {"service": "web", "old": "a", "new": "b", "who": "ann"}
    return pb.StartCanaryRequest(**{**fields, **changes})


def refused(call: Callable[..., Any], request: Any) -> tuple[Code, str]:
    with pytest.raises(grpc.RpcError) as caught:
        call(request, timeout=5.0)
    return caught.value.code(), caught.value.details()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        pytest.param({"who": ""}, "who: is missing", id="nobody"),
        pytest.param({"old": "c"}, "old: must be one of the backends: a, b", id="a stranger"),
        pytest.param({"new": ""}, "new: must be one of the backends: a, b", id="nothing"),
        pytest.param({"new": "a"}, "new: must be another backend than 'a'", id="itself"),
        pytest.param({"shares": [0.5, 0.2]}, "and are [0.5, 0.2]", id="falling"),
        pytest.param({"shares": [0.2, 0.9]}, "at most 0.5", id="most of it"),
        pytest.param({"shares": [float("nan")]}, "shares: must rise", id="no number"),
        pytest.param(
            {"requests": 0},
            "requests: must be from 1 to most_requests, 20000, and is 0",
            id="no requests",
        ),
        pytest.param(
            {"requests": 9, "most_requests": 8}, "most_requests, 8, and is 9", id="fewer in all"
        ),
        pytest.param(
            {"margin": -0.1},
            "margin: must be from 0 to 1, and is -0.1",
            id="a margin below nothing",
        ),
    ],
)
def test_a_mistake_is_named(
    stub: controller_pb2_grpc.ControllerStub, changes: dict[str, Any], says: str
) -> None:
    code, details = refused(stub.StartCanary, start(**changes))
    assert code is Code.INVALID_ARGUMENT
    assert says in details
    assert not stub.ListCanaries(pb.ListCanariesRequest()).canaries


def test_it_moves_the_route_by_itself_and_so_begins_in_guarded_only(
    world: World, stub: controller_pb2_grpc.ControllerStub
) -> None:
    world.mandate.set_mode("web", Mode.ASSIST, "ann", world.clock())
    code, details = refused(stub.StartCanary, start())
    assert code is Code.FAILED_PRECONDITION
    assert "web is in assist" in details
    assert "trimtab mode web guarded" in details


def test_it_does_not_begin_in_a_freeze(
    world: World, stub: controller_pb2_grpc.ControllerStub
) -> None:
    freeze = "schedule: {freezes: [{start: 2020-01-01T00:00, end: 2099-01-01T00:00, why: fair}]}"
    world.reload("miss_price: 50", f"miss_price: 50\n    {freeze}")
    code, details = refused(stub.StartCanary, start())
    assert code is Code.FAILED_PRECONDITION
    assert "web is in approve (frozen until 2099-01-01T00:00 UTC: fair)" in details


def test_what_is_not_seen_through_envoy_cannot_be_compared(
    world: World, stub: controller_pb2_grpc.ControllerStub
) -> None:
    world.reload("miss_price: 50", "miss_price: 50\n    sensor: pushed")
    code, details = refused(stub.StartCanary, start())
    assert (code, "sensor: envoy" in details) == (Code.FAILED_PRECONDITION, True)


def test_a_trial_is_begun_shown_and_ended(stub: controller_pb2_grpc.ControllerStub) -> None:
    begun = stub.StartCanary(start(shares=[0.1, 0.4], margin=0.1))
    assert (begun.phase, begun.share, begun.who) == ("trial", 0.1, "ann")
    assert refused(stub.StartCanary, start())[0] is Code.FAILED_PRECONDITION
    (shown,) = stub.ListCanaries(pb.ListCanariesRequest(service="web")).canaries
    assert (shown.old, shown.new, shown.why) == ("a", "b", "waiting for the first answers")
    end = pb.EndCanaryRequest(service="web", who="bob", why="enough")
    ended = stub.EndCanary(end)
    assert (ended.phase, ended.share, ended.why) == ("given back", 0.0, "ended by bob: enough")
    assert stub.EndCanary(end).why == "the route is free again"
    assert refused(stub.EndCanary, end)[0] is Code.NOT_FOUND
    assert refused(stub.ListCanaries, pb.ListCanariesRequest(service="x"))[0] is Code.NOT_FOUND


@pytest.mark.parametrize("option", ["--requests=-1", "--most-requests=9999999999", "--shares=a"])
def test_the_command_line_refuses_what_no_message_can_hold(option: str) -> None:
    done = CliRunner().invoke(canary, ["start", "web", "--old=a", "--new=b", option])
    assert done.exit_code == 2
    assert option.partition("=")[0] in done.output
