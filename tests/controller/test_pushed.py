"""Readings that are pushed: what the loop sees of them, and what is refused."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from threading import Event
from time import sleep
from typing import Any

import grpc
import pytest

from trimtab_controller.config import load
from trimtab_controller.memory import Outcome
from trimtab_controller.protocols import SensorError, Signal, StageReport
from trimtab_controller.sensors import start as sensing
from trimtab_controller.sensors.pushed import PushedSensor
from trimtab_guard.model import Reading
from trimtab_guard.modes import Mode
from trimtab_proto.v1 import controller_pb2 as pb
from trimtab_proto.v1 import controller_pb2_grpc

World = Any  # the class in conftest.py, which cannot be imported from here

Code = grpc.StatusCode
NOTHING = StageReport(0.0, "", "", (), "")
RATE, ERRORS, MISSES = ("rate_rps", "a"), ("error_share", "a"), ("miss_share", "")
QUEUE, P95 = ("in_flight", "a"), ("p95_ms", "")


@pytest.mark.parametrize(
    ("pushes", "expected"),
    [
        ([(1.0, {RATE: 8.0})], {RATE: Reading(8.0, 1.0)}),
        ([(1.0, {RATE: 8.0}), (2.0, {RATE: 20.0})], {RATE: Reading(20.0, 2.0)}),
        (
            [(0.0, {RATE: 99.0}), (0.9, {RATE: 10.0}), (1.0, {RATE: 110.0})],
            {RATE: Reading(20.0, 1.0)},
        ),
        ([(1.0, {QUEUE: 9.0}), (1.1, {QUEUE: 2.0})], {QUEUE: Reading(2.0, 1.1)}),
        ([(1.0, {P95: 90.0}), (1.5, {P95: 40.0})], {P95: Reading(40.0, 1.5)}),
        (
            [
                (0.0, {MISSES: 0.0, RATE: 1.0}),
                (1.0, {MISSES: 0.5, RATE: 1.0}),
                (2.0, {MISSES: 0.1, RATE: 3.0}),
            ],
            {MISSES: Reading(0.2, 2.0), RATE: Reading(2.0, 2.0)},
        ),
        (
            [(0.0, {ERRORS: 0.0}), (1.0, {ERRORS: 0.5}), (4.0, {ERRORS: 0.1})],
            {ERRORS: Reading(0.2, 4.0)},
        ),
        (
            [(0.0, {ERRORS: 0.0, RATE: 0.0}), (1.0, {ERRORS: 0.3, RATE: 0.0})],
            {ERRORS: Reading(0.3, 1.0), RATE: Reading(0.0, 1.0)},
        ),
        ([(2.0, {RATE: 8.0}), (1.0, {RATE: 99.0})], {RATE: Reading(8.0, 2.0)}),
        ([(2.0, {RATE: 8.0}), (2.0, {RATE: 99.0})], {RATE: Reading(8.0, 2.0)}),
        (
            [(2.0, {RATE: 8.0}), (1.0, {RATE: 99.0, QUEUE: 3.0})],
            {RATE: Reading(8.0, 2.0), QUEUE: Reading(3.0, 1.0)},
        ),
    ],
    ids=[
        "one", "the second is a mean", "a mean over time", "the newest queue", "the newest latency",
        "misses by requests", "without rates by time", "no requests", "late", "twice",
        "a late one with news",
    ],
)  # fmt: skip
def test_what_a_tick_sees(
    pushes: list[tuple[float, dict[Signal, float]]], expected: dict[Signal, Reading]
) -> None:
    sensor = PushedSensor("web")
    for time_s, values in pushes:
        sensor.push(values, time_s)
    found = sensor.read(NOTHING)
    assert found.keys() == expected.keys()
    for signal, reading in expected.items():
        assert found[signal] == pytest.approx(reading)
    assert sensor.read(NOTHING) == found


def test_nothing_pushed_is_no_reading() -> None:
    with pytest.raises(SensorError, match="web: nothing was pushed yet: send ReportMetrics"):
        PushedSensor("web").read(NOTHING)


class Pushed:
    """A world that is sensed by what is pushed, and its API."""

    def __init__(self, world: World, address: str) -> None:
        self.world = world
        self.sensor = world.sensor = PushedSensor("web")
        world.restart()
        self.served = world.serve(address)
        self.channel = grpc.insecure_channel(address)
        self.stub = controller_pb2_grpc.ControllerStub(self.channel)

    def push(self, *reports: pb.MetricsReport) -> pb.ReportMetricsReply:
        return self.stub.ReportMetrics(iter(reports), timeout=5.0)

    def close(self) -> None:
        self.channel.close()
        self.served.close()


@pytest.fixture
def pushed(new_world: Callable[..., World], tmp_path: Path) -> Iterator[Pushed]:
    pushed = Pushed(new_world(Mode.SHADOW), f"unix:{tmp_path}/api.sock")
    yield pushed
    pushed.close()


def report(time_s: float = 0.0, rate_rps: float = 50.0, **changes: Any) -> pb.MetricsReport:
    backends = [pb.BackendMetrics(name=name, rate_rps=rate_rps, in_flight=2.0) for name in "ab"]
    fields: dict[str, Any] = {"service": "web", "time_s": time_s, "backends": backends} | changes
    return pb.MetricsReport(**fields)


def test_the_loop_sees_at_its_next_tick_what_was_pushed(pushed: Pushed) -> None:
    world = pushed.world
    assert "nothing was pushed yet" in world.tick().tick.error
    now_s = world.clock()
    tenths = [report(now_s + tenth / 10, 100.0 + tenth) for tenth in range(11)]
    reply = pushed.push(*tenths, tenths[3], tenths[10])
    assert (reply.taken, reply.ignored) == (11, 2)
    tick = world.tick().tick
    assert tick.outcome is not Outcome.HELD
    (a, b) = tick.state.backends
    assert a.rate_rps == b.rate_rps == Reading(pytest.approx(105.5), now_s + 1.0)
    assert a.in_flight == Reading(2.0, now_s + 1.0)


def test_reporters_that_fall_silent_are_noticed(pushed: Pushed) -> None:
    world = pushed.world
    for _ in range(9):
        pushed.push(report(world.clock()))
        world.tick()
    world.want(a=5)
    assert {r.code for r in world.tick(4).tick.verdict.reasons} == {"STALE"}
    pushed.push(report())
    assert world.tick().tick.verdict.backends[0].replicas > 1


def test_several_may_report_each_what_it_knows(pushed: Pushed) -> None:
    one, other = report(), report()
    del one.backends[1], other.backends[0]
    pushed.push(one)
    pushed.push(other)
    assert pushed.world.tick().tick.error == ""


@pytest.mark.parametrize(
    ("bad", "code", "message"),
    [
        (report(rate_rps=math.nan), Code.INVALID_ARGUMENT, "backends[a].rate_rps: nan must be"),
        (report(rate_rps=-1.0), Code.INVALID_ARGUMENT, "backends[a].rate_rps: -1 must be"),
        (report(miss_share=1.1), Code.INVALID_ARGUMENT, "miss_share: 1.1 must be a number, betw"),
        (report(p50_ms=math.inf), Code.INVALID_ARGUMENT, "p50_ms: inf must be a number, 0 or more"),
        (report(time_s=4e9), Code.INVALID_ARGUMENT, "time_s: 4e+09 must be a number, between 0"),
        (report(backends=[]), Code.INVALID_ARGUMENT, "backends: nothing is reported"),
        (report(service="api"), Code.INVALID_ARGUMENT, "'api' must be 'web': use another stream"),
        (
            report(backends=[pb.BackendMetrics(name="c", rate_rps=1.0)]),
            Code.INVALID_ARGUMENT,
            "backends[c]: must be one of a, b",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_bad_report_ends_the_stream_and_those_before_it_count(
    pushed: Pushed, bad: pb.MetricsReport, code: Code, message: str
) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        pushed.push(report(rate_rps=70.0), bad, report(rate_rps=90.0))
    assert refused.value.code() is code
    assert message in refused.value.details()
    assert pushed.sensor.read(NOTHING)["rate_rps", "a"].value == 70.0


@pytest.mark.parametrize(
    ("service", "code", "message"),
    [
        ("", Code.INVALID_ARGUMENT, "service: is missing"),
        ("api", Code.NOT_FOUND, "there is no service 'api'"),
        ("web", Code.FAILED_PRECONDITION, "write `sensor: pushed` into trimtab.yaml"),
    ],
)
def test_a_service_that_is_not_pushed(
    pushed: Pushed, service: str, code: Code, message: str
) -> None:
    pushed.served.pushed.clear()
    with pytest.raises(grpc.RpcError) as refused:
        pushed.push(report(service=service))
    assert refused.value.code() is code
    assert message in refused.value.details()


def test_a_reporter_that_vanishes_leaves_what_it_sent(pushed: Pushed) -> None:
    gone = Event()

    def reports() -> Iterator[pb.MetricsReport]:
        yield report(rate_rps=80.0)
        gone.wait()

    stream = pushed.stub.ReportMetrics.future(reports(), timeout=30.0)
    while not pushed.sensor._gathered and not stream.done():
        sleep(0.01)
    stream.cancel()
    gone.set()
    with pytest.raises(grpc.FutureCancelledError):
        stream.result()
    pushed.world.clock.now_s += 1.0
    assert pushed.sensor.read(NOTHING)["rate_rps", "a"].value == 80.0
    assert pushed.push(report()).taken == 1


def test_the_configuration_says_who_is_pushed(world: World) -> None:
    text = (world.folder / "trimtab.yaml").read_text()
    (world.folder / "trimtab.yaml").write_text(
        text.replace("ceiling: guarded", "sensor: pushed\n    ceiling: guarded")
    )
    with ExitStack() as parts:
        pushed = sensing.start(load(world.folder / "trimtab.yaml"), parts)
        by_default = sensing.start(world.config, parts)
    assert isinstance(pushed["web"], PushedSensor)
    assert not isinstance(by_default["web"], PushedSensor)
