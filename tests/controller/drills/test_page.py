"""Drills over the API and the command line, and the page of what happened."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import grpc
import pytest
from click.testing import CliRunner, Result

from trimtab_controller.cli.drill import drill
from trimtab_guard.modes import Mode
from trimtab_proto.v1 import controller_pb2 as pb
from trimtab_proto.v1 import controller_pb2_grpc

World = Any  # the class in conftest.py, which cannot be imported from here
Code = grpc.StatusCode
FILE = """\
drill: blind
about: Nobody | sees.
service: web
steady: {miss_share: 0.05, for_s: 2}
recover_s: 10
faults:
  - {fault: no-metrics, for_s: 5}
"""


@pytest.fixture
def world(new_world: Callable[[Mode], World]) -> World:
    world = new_world(Mode.GUARDED)
    world.reload("miss_price: 50", "miss_price: 50\n    drills: {}")
    world.sensor.values |= {("miss_share", ""): 0.0, ("p95_ms", ""): 80.0}
    world.want(a=2, b=2)
    world.tick(3)
    return world


@pytest.fixture
def address(world: World, tmp_path: Path) -> Iterator[str]:
    address = f"unix:{tmp_path}/api.sock"
    with closing(world.serve(address)):
        yield address


@pytest.fixture
def stub(address: str) -> Iterator[controller_pb2_grpc.ControllerStub]:
    with grpc.insecure_channel(address) as channel:
        yield controller_pb2_grpc.ControllerStub(channel)


def start(**changes: str) -> pb.StartDrillRequest:
    return pb.StartDrillRequest(**{"service": "web", "plan": FILE, "who": "ann", **changes})


def refused(call: Callable[..., Any], request: Any) -> tuple[Code, str]:
    with pytest.raises(grpc.RpcError) as caught:
        call(request, timeout=5.0)
    return caught.value.code(), caught.value.details()


def run(address: str, *arguments: object) -> Result:
    return CliRunner().invoke(drill, [*map(str, arguments), f"--address={address}"])


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        pytest.param({"who": ""}, "who: is missing", id="nobody"),
        pytest.param({"plan": ""}, "plan: drill:1: the file is empty", id="nothing"),
        pytest.param(
            {"plan": FILE.replace("web", "api")}, "is for 'api', not for 'web'", id="other"
        ),
        pytest.param(
            {"plan": FILE.replace("for_s: 5", "for_s: 5, backend: c")},
            "plan: faults[0].backend: must be one of a, b",
            id="a stranger",
        ),
    ],
)
def test_a_mistake_is_named(
    stub: controller_pb2_grpc.ControllerStub, changes: dict[str, str], says: str
) -> None:
    code, details = refused(stub.StartDrill, start(**changes))
    assert code is Code.INVALID_ARGUMENT
    assert says in details
    assert not stub.ListDrills(pb.ListDrillsRequest()).drills


def test_a_drill_is_begun_shown_and_ended(
    world: World, stub: controller_pb2_grpc.ControllerStub
) -> None:
    begun = stub.StartDrill(start())
    assert (begun.phase, begun.drill, begun.who) == ("before", "blind", "ann")
    assert refused(stub.StartDrill, start())[0] is Code.FAILED_PRECONDITION
    world.tick(4)
    (shown,) = stub.ListDrills(pb.ListDrillsRequest(service="web")).drills
    assert (shown.phase, list(shown.in_force)) == ("faults", ["no-metrics, for 5 s"])
    assert shown.page == ""
    end = pb.EndDrillRequest(service="web", who="bob", why="enough")
    assert stub.EndDrill(end).why == "ended by bob: enough"
    assert refused(stub.EndDrill, end)[0] is Code.NOT_FOUND


@pytest.mark.parametrize("method", ["Stop", "Abort"])
def test_stop_and_abort_end_it_before_the_next_tick(
    world: World, stub: controller_pb2_grpc.ControllerStub, method: str
) -> None:
    stub.StartDrill(start())
    world.tick(4)
    assert world.services[0].stage.faults
    call = getattr(stub, method).future(getattr(pb, f"{method}Request")(who="bob"), timeout=1.0)
    call.exception()
    assert not world.services[0].stage.faults
    (shown,) = stub.ListDrills(pb.ListDrillsRequest()).drills
    assert (shown.phase, "by bob" in shown.why) == ("aborted", True)


def test_the_page_tells_what_was_broken_what_was_seen_and_what_trimtab_did(
    world: World, stub: controller_pb2_grpc.ControllerStub, address: str, tmp_path: Path
) -> None:
    stub.StartDrill(start())
    world.tick(5)
    world.sensor.values["miss_share", ""] = 0.5
    world.tick(3)
    world.sensor.values["miss_share", ""] = 0.0
    world.want(a=3, b=2)
    world.tick(6)
    shown = run(address, "--show", "web")
    assert shown.exit_code == 0
    page = shown.output
    for expected in (
        "# Drill blind on web\n\nNobody | sees.\n\n**Withstood**: steady again 1 s after",
        "| missed | worth 1.5 s of an outage |",
        "| +0.0 | drill | begins: no-metrics, for 5 s |",
        "| seen | **not steady**: 50.0% missed, 95 % within 80 ms; 2 of 2 a ready, 2 of 2 b rea",
        "| trimtab | held; no metrics: a drill",
        "| trimtab | wrote a at least 2→3 |",
        "| +5.0 | drill | all faults are over |",
        "missed, % (0 to 50)            ▁▁▁▁▁███▁▁▁",
        "faults                         ··██████···",
        "| trimtab | writes: 1; in doubt in 5 of 12 ticks |",
    ):
        assert expected in page, page
    written = run(address, "--show", "web", "--page", tmp_path / "page.md")
    assert "all of it is in" in written.output
    assert (tmp_path / "page.md").read_text() == page
    listed = run(address, "--list")
    assert "web: blind, begun by ann at" in listed.output
    assert "steady: steady again 1 s after the end of the last fault" in listed.output


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        pytest.param([], 2, "give a FILE, or one of --list, --end and --show", id="nothing"),
        pytest.param(["--list", "--show=web"], 2, "give a FILE, or one of", id="two"),
        pytest.param(["{file}", "--check"], 0, "is in order: drill blind on web", id="check"),
        pytest.param(["{file}x"], 1, "No such file", id="no file"),
        pytest.param(["--show=web"], 1, "web has had no drill", id="none"),
        pytest.param(["--end=web"], 1, "there is no drill 'web'", id="none to end"),
        pytest.param(["--list"], 0, "no service has had a drill", id="none to list"),
        pytest.param(["--show=x"], 1, "there is no service 'x'", id="a stranger"),
    ],
)
def test_the_command_line_says_what_to_do(
    address: str, tmp_path: Path, arguments: list[str], code: int, says: str
) -> None:
    file = tmp_path / "drill.yaml"
    file.write_text(FILE)
    done = run(address, *(argument.format(file=file) for argument in arguments))
    assert done.exit_code == code, done.output
    assert says in done.output
