"""From a leak to a restart: seen, kept, foretold, asked for, judged and done once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import grpc
import numpy as np
import pytest
from click.testing import CliRunner

from trimtab_agents.foresight import Finding, Forecast, Record
from trimtab_controller.approvals import Answer
from trimtab_controller.canary.plan import Plan
from trimtab_controller.cli import main
from trimtab_controller.foresight.foresight import KIND, Foresight
from trimtab_controller.foresight.outlook import Measure, Outlook, Remedy
from trimtab_controller.foresight.vitals import P95_MS, Column, place
from trimtab_controller.protocols import StageReport
from trimtab_guard.modes import Change, Mode
from trimtab_proto.v1 import controller_pb2 as pb
from trimtab_proto.v1 import controller_pb2_grpc

World = Any  # the class in conftest.py, which cannot be imported from here
MIB = 1 << 20
LIMIT_BYTES = 64.0 * MIB


class Leaky:
    """A world whose replicas of backend a hold what the test says, and may be restarted."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.bytes = 20.0 * MIB
        self.restarts: list[str] = []
        self.kubernetes = False
        stage = world.stage
        status, write = stage.status, stage.write
        stage.status = lambda: self._seen(status())
        stage.write = lambda writer, *asks, epoch: write(writer, *asks, epoch=epoch)
        apply = stage.apply
        stage.apply = lambda intent: (self._restart(intent), apply(intent))[1]
        self.look()

    def look(self) -> None:
        """Look ahead from now on, as a daemon does when it starts."""
        world = self.world
        world.board.foresight = Foresight(world.journal, world.config.by_name, world.config.speed)

    @property
    def foresight(self) -> Foresight:
        return self.world.board.foresight

    def leak(self, minutes: int, mib: float) -> None:
        """At this speed of life a tick is a minute."""
        for _ in range(minutes):
            self.bytes += mib * MIB
            self.world.tick()

    def foresee(self) -> Mapping[tuple[str, str], Outlook]:
        found = self.foresight.foresee(self.world.config.by_name["web"])
        return {(outlook.measure, outlook.backend): outlook for outlook in found}

    def _seen(self, report: StageReport) -> StageReport:
        a, b = report.backends
        a = a._replace(memory_bytes=self.bytes, memory_limit_bytes=LIMIT_BYTES)
        return report._replace(backends=(a, b), restarts=not self.kubernetes)

    def _restart(self, intent: Any) -> None:
        self.restarts += [ask.backend for ask in intent.asks if ask.restart]


@pytest.fixture
def leaky(world: World) -> Leaky:
    return Leaky(world)


def envelopes(world: World) -> list[Any]:
    return [e for e in world.approvals.pending(world.clock()) if e.change is Change.RESTART]


def due(leaky: Leaky) -> Any:
    """Leak until a restart waits for a human."""
    leaky.leak(60, 0.4)
    leaky.foresee()
    leaky.world.tick()
    (envelope,) = envelopes(leaky.world)
    return envelope


def grant(world: World, envelope: Any) -> None:
    world.approvals.answer(envelope.id, Answer.GRANTED, "ann", "", world.clock())


def test_a_leak_is_foretold_and_a_restart_is_asked_for_in_guarded_mode_too(leaky: Leaky) -> None:
    envelope = due(leaky)
    found = leaky.foresee()["memory", "a"].forecast
    left_s = (LIMIT_BYTES - leaky.bytes) / (0.4 * MIB)
    assert found.low_s <= left_s <= found.high_s
    assert (envelope.backend, envelope.least, envelope.most) == ("a", 0, 1)
    assert "memory of a will meet its limit of 64 MiB in" in envelope.why
    leaky.world.tick(5)
    assert len(envelopes(leaky.world)) == 1
    assert leaky.restarts == []


def test_what_is_granted_is_done_once(leaky: Leaky) -> None:
    grant(leaky.world, due(leaky))
    assert leaky.world.tick().tick.outcome == "applied"
    assert leaky.restarts == ["a"]
    leaky.world.tick(3)
    assert (leaky.restarts, envelopes(leaky.world)) == (["a"], [])
    leaky.leak(5, 0.4)
    leaky.foresee()
    leaky.world.tick(3)
    assert leaky.restarts == ["a"]  # it is due again, and so asked for anew
    assert len(envelopes(leaky.world)) == 1


def test_what_is_granted_holds_while_the_backend_shrinks(leaky: Leaky) -> None:
    leaky.world.stage.hpa["a"] = 3
    leaky.world.want(a=3)
    leaky.world.tick(3)
    grant(leaky.world, due(leaky))
    leaky.world.stage.hpa["a"] = 2
    leaky.world.want(a=2)
    leaky.world.tick(10)
    assert leaky.restarts == ["a"]


def test_after_the_restart_nothing_is_due(leaky: Leaky) -> None:
    grant(leaky.world, due(leaky))
    leaky.world.tick()
    leaky.world.stage.rolling = True
    leaky.world.tick(3)
    leaky.world.stage.rolling, leaky.bytes = False, 20.0 * MIB
    leaky.leak(10, 0.4)
    assert leaky.foresee()["memory", "a"].forecast.finding is Finding.TOO_LITTLE


def test_what_is_rejected_is_not_asked_again(leaky: Leaky) -> None:
    envelope = due(leaky)
    leaky.world.approvals.answer(envelope.id, Answer.REJECTED, "ann", "", leaky.world.clock())
    leaky.world.tick(5)
    assert (envelopes(leaky.world), leaky.restarts) == ([], [])


@pytest.mark.parametrize(
    "prevent",
    [
        pytest.param(lambda world: setattr(world.stage, "rolling", True), id="rollout"),
        pytest.param(lambda world: world.mandate.stop("ann", "", world.clock()), id="stopped"),
        pytest.param(
            lambda world: world.sensor.values.update({("rate_rps", "a"): 500.0}), id="load"
        ),
        pytest.param(lambda world: setattr(world.sensor, "error", "blind"), id="blind"),
        pytest.param(
            lambda world: world.canaries.begin(Plan("web", "a", "b", who="ann"), world.clock()),
            id="canary",
        ),
        pytest.param(
            lambda world: world.mandate.set_mode("web", Mode.SHADOW, "ann", world.clock()),
            id="shadow",
        ),
    ],
)
def test_a_grant_waits_while_the_guard_or_people_object(
    leaky: Leaky, prevent: Callable[[World], Any]
) -> None:
    world = leaky.world
    grant(world, due(leaky))
    prevent(world)
    world.tick(3)
    assert leaky.restarts == []


def test_in_shadow_it_only_shows(new_world: Callable[[Mode], World]) -> None:
    leaky = Leaky(new_world(Mode.SHADOW))
    leaky.leak(60, 0.4)
    assert leaky.foresee()["memory", "a"].remedy is Remedy.RESTART
    leaky.world.tick(3)
    assert (envelopes(leaky.world), leaky.restarts) == ([], [])


def test_where_the_stage_cannot_restart_nobody_is_asked(leaky: Leaky) -> None:
    leaky.kubernetes = True
    leaky.leak(60, 0.4)
    assert leaky.foresee()["memory", "a"].remedy is Remedy.RESTART
    leaky.world.tick(3)
    assert envelopes(leaky.world) == []


def test_a_restarted_daemon_forgets_nothing(leaky: Leaky) -> None:
    leaky.leak(60, 0.4)
    before = leaky.foresee()
    leaky.world.restart()
    leaky.look()
    assert repr(leaky.foresee()) == repr(before)  # as it is: NaN equals nothing


def test_a_grant_outlives_the_daemon_and_is_used_once(leaky: Leaky) -> None:
    grant(leaky.world, due(leaky))
    leaky.world.stage.before = _die
    with pytest.raises(SystemExit):
        leaky.world.tick()
    leaky.world.stage.before = lambda: None
    leaky.world.restart(10.0)
    leaky.look()
    leaky.foresee()
    leaky.world.tick(3)
    assert leaky.restarts == ["a"]  # the attempt; whether it arrived is settled, never repeated


def _die() -> None:
    raise SystemExit


def test_rows_are_of_a_minute_and_small(leaky: Leaky) -> None:
    leaky.world.tick(10)
    rows = [entry.body["services"]["web"] for entry in leaky.world.journal.entries(kinds=(KIND,))]
    assert len(rows) == 10
    assert rows[-1][0] == ["a", "b"]
    assert rows[-1][1][place(0, Column.MEMORY_BYTES)] == pytest.approx(leaky.bytes, rel=1e-5)
    assert rows[-1][1][P95_MS] is None


def creeping() -> Outlook:
    found = Forecast(Finding.DUE, 250.0, 300.0, 0.01, 3600.0, 600.0, 900.0, 1200.0)
    return Outlook(Measure.LATENCY, "", found, Record(), Remedy.ADD)


def test_a_creeping_latency_adds_replicas_within_the_guard_s_limits(leaky: Leaky) -> None:
    world = leaky.world
    world.want(a=4, b=4)
    leaky.foresight.outlooks["web"] = (creeping(),)
    tick = world.tick().tick
    assert [want.replicas for want in tick.proposal.backends] == [5, 5]
    assert tick.proposal.why.startswith(
        "the latency's 95th percentile will meet its limit of 300 ms"
    )
    world.want(a=12, b=12)
    assert [want.replicas for want in world.tick().tick.verdict.backends] <= [12, 12]


def test_a_hostile_proposal_is_left_to_the_guard(leaky: Leaky) -> None:
    leaky.foresight.outlooks["web"] = (creeping(),)
    leaky.world.want(a=float("nan"), b=4)  # type: ignore[arg-type]
    assert np.isnan(leaky.world.tick().tick.proposal.backends[0].replicas)


def test_the_latency_of_the_service_itself_is_foretold(leaky: Leaky) -> None:
    rng, sensor = np.random.default_rng(3), leaky.world.sensor
    for minute in range(120):
        for signal in ("p50_ms", "p95_ms", "miss_share"):
            sensor.values[signal, ""] = 0.0 if signal == "miss_share" else 80.0
        sensor.values["p95_ms", ""] = 100.0 + 1.2 * minute + rng.normal(0.0, 4.0)
        leaky.world.tick()
    found = leaky.foresee()["latency", ""]
    assert found.forecast.finding is Finding.DUE
    assert found.forecast.low_s <= (300.0 - 244.0) / 1.2 <= found.forecast.high_s
    assert found.remedy is Remedy.ADD


def test_connections_meet_the_limit_of_the_configuration(leaky: Leaky) -> None:
    world = leaky.world
    world.reload("name: a, ", "name: a, connections_max: 500, ")
    for minute in range(60):
        world.sensor.values["connections", "a"] = 100.0 + 5.0 * minute
        world.tick()
    found = leaky.foresee()
    assert found["connections", "a"].forecast.finding is Finding.DUE
    assert ("connections", "b") not in found


@pytest.fixture
def stub(leaky: Leaky) -> Any:
    address = f"unix:{leaky.world.folder}/api.sock"
    served = leaky.world.serve(address)
    with grpc.insecure_channel(address) as channel:
        yield controller_pb2_grpc.ControllerStub(channel)
    served.close()


def run(leaky: Leaky, *arguments: str) -> Any:
    return CliRunner().invoke(
        main, ["forecast", *arguments, f"--address=unix:{leaky.world.folder}/api.sock"]
    )


def test_the_command_tells_it_all(leaky: Leaky, stub: Any) -> None:
    leaky.leak(70, 0.4)
    told = run(leaky, "web")
    assert told.exit_code == 0, told.output
    assert "memory of a will meet its limit of 64 MiB in" in told.output
    assert "such calls on its own record" in told.output
    assert "proposed: restart one by one" in told.output
    assert "the latency's 95th percentile: too little was seen" in told.output
    assert '"finding": "due"' in run(leaky, "web", "--json").output


@pytest.mark.parametrize(
    ("service", "code"),
    [("", grpc.StatusCode.INVALID_ARGUMENT), ("shop", grpc.StatusCode.NOT_FOUND)],
)
def test_unknown_services_are_named(stub: Any, service: str, code: grpc.StatusCode) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        stub.GetForecast(pb.GetForecastRequest(service=service), timeout=10.0)
    assert refused.value.code() is code


def test_where_nobody_looks_ahead_it_says_so(leaky: Leaky, stub: Any) -> None:
    leaky.world.board.foresight = None
    with pytest.raises(grpc.RpcError) as refused:
        stub.GetForecast(pb.GetForecastRequest(service="web"), timeout=10.0)
    assert refused.value.code() is grpc.StatusCode.FAILED_PRECONDITION
