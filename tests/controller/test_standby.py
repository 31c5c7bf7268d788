"""Several daemons, one journal: one decides, and all of them answer KEDA alike."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from click.testing import CliRunner

from trimtab_controller import messages
from trimtab_controller.board import Board
from trimtab_controller.cli import main
from trimtab_controller.following import Follower
from trimtab_controller.journal import JournalError, read
from trimtab_guard.modes import Mode
from trimtab_proto.v1 import controller_pb2, controller_pb2_grpc, externalscaler_pb2_grpc
from trimtab_proto.v1 import externalscaler_pb2 as pb

World = Any  # the classes in conftest.py, which cannot be imported from here
Processes = Any

Code = grpc.StatusCode
PATIENCE_S = 30.0
EVERY_S = 0.05


@pytest.fixture
def world(new_world: Callable[..., World]) -> World:
    return new_world(Mode.SHADOW)


@pytest.fixture
def follower(world: World) -> Iterator[Follower]:
    follower = follow(world, world.folder / "journal.db")
    yield follower
    follower.close()


def soon(true: Callable[[], bool]) -> bool:
    end_s = time.monotonic() + PATIENCE_S
    while not true() and time.monotonic() < end_s:
        time.sleep(EVERY_S)
    return true()


def test_it_follows_every_tick_and_every_stop(world: World, follower: Follower) -> None:
    for wanted in (3, 5):
        world.want(a=wanted)
        verdict = world.tick().tick.verdict
        assert soon(lambda verdict=verdict: verdict_of(follower) == verdict)
    assert follower.board.tick("api") is None
    assert not follower.board.stopped
    for command, stopped in ((world.mandate.stop, True), (world.mandate.resume, False)):
        command("ann", *(("enough",) if stopped else ()), world.clock())
        assert soon(lambda stopped=stopped: follower.board.stopped is stopped)


def test_it_shows_what_the_leader_shows(new_world: Callable[..., World]) -> None:
    world = new_world(Mode.APPROVE)
    follower = follow(world, world.folder / "journal.db")
    world.want(a=5)
    world.tick()
    shown = statuses(world.board)
    assert shown[0].pending == 1
    assert soon(lambda: str(statuses(follower.board)) == str(shown))
    world.mandate.set_mode("web", Mode.GUARDED, "ann", world.clock())
    assert soon(lambda: follower.board.latest()[1][0].standing.mode is Mode.GUARDED)
    assert [e.body["epoch"] for e in read(world.folder / "journal.db", ("epoch",))] == [1]
    follower.close()


def test_without_a_journal_there_is_nobody_to_follow(world: World, tmp_path: Path) -> None:
    with pytest.raises(JournalError, match="no journal here"):
        follow(world, tmp_path / "no.db")


def statuses(board: Board) -> list[Any]:
    """As humans see them, but for the counts, which the journal has from before the tick."""
    shown = [messages.status(status) for status in board.latest()[1]]
    for each in shown:
        each.ClearField("decisions")
    return shown


def follow(world: World, journal: Path) -> Follower:
    return Follower(journal, world.config, world.folder / "stop", EVERY_S, world.clock)


def verdict_of(follower: Follower) -> Any:
    tick = follower.board.tick("web")
    return tick and tick.verdict


@pytest.mark.stage
def test_a_standby_answers_keda_and_takes_over(processes: Processes) -> None:
    processes.start_stage()
    leader = processes.start_daemon()
    decided = processes.status(lambda status: bool(status.decision))
    standby = processes.start_daemon("--standby", "--listen", f"unix:{processes.folder}/d2.sock")
    with grpc.insecure_channel(f"unix:{processes.folder}/d2.sock") as channel:
        keda = externalscaler_pb2_grpc.ExternalScalerStub(channel)
        controller = controller_pb2_grpc.ControllerStub(channel)
        ref = pb.ScaledObjectRef(scalerMetadata={"service": decided.service})
        metric = pb.GetMetricsRequest(scaledObjectRef=ref, metricName="trimtab-replicas")
        keda.GetMetricSpec(ref, timeout=PATIENCE_S, wait_for_ready=True)
        assert soon(lambda: code_of(keda.GetMetrics, metric) is Code.OK)
        renewal = controller_pb2.RenewRequest(service=decided.service, who="ann")
        assert code_of(controller.Renew, renewal) is Code.UNAVAILABLE
        address = f"unix:{processes.folder}/d2.sock"
        told = CliRunner().invoke(main, ["renew", decided.service, "--address", address])
        assert "Error: this daemon stands by: " in told.output
        assert "writes this journal" in told.output
        seen = processes.status(lambda status: bool(status.decision), of="d2.sock")
        assert (seen.mode, seen.policy) == (decided.mode, decided.policy)
        why = controller_pb2.ExplainRequest(service=decided.service)
        assert code_of(controller.Explain, why) is Code.OK
        leader.send_signal(signal.SIGKILL)
        assert soon(lambda: code_of(controller.Renew, renewal) is Code.OK)
        assert soon(lambda: code_of(keda.GetMetrics, metric) is Code.OK)
    status = processes.status(lambda status: bool(status.decision), of="d2.sock")
    assert status.decisions > decided.decisions
    assert standby.poll() is None


def code_of(method: Any, request: Any) -> grpc.StatusCode:
    call = method.future(request, timeout=PATIENCE_S, wait_for_ready=True)
    code: grpc.StatusCode = call.code()
    return code


@pytest.mark.stage
def test_a_standby_ends_when_it_is_told_to(processes: Processes) -> None:
    processes.start_stage()
    processes.start_daemon()
    processes.status(lambda _: True)
    standby = processes.start_daemon("--standby", "--listen", f"unix:{processes.folder}/d2.sock")
    with grpc.insecure_channel(f"unix:{processes.folder}/d2.sock") as channel:
        grpc.channel_ready_future(channel).result(PATIENCE_S)
    standby.send_signal(signal.SIGHUP)
    standby.send_signal(signal.SIGTERM)
    assert standby.wait(PATIENCE_S) == 0
