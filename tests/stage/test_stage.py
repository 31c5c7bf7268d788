"""The whole stage through the API that its clients use: it serves, obeys, refuses, recovers.

The tests share one stage and may run in any order: each waits for the state that it starts from.
"""

from __future__ import annotations

import json
import math
import socket
from http.client import HTTPConnection
from typing import Any
from urllib.request import urlopen

import grpc
import pytest
from click.testing import CliRunner

from trimtab_controller.cli import main
from trimtab_proto.v1.stage_pb2 import BackendAsk

from .client import Stage, answer, ask, busy_s, eventually, health

pytestmark = pytest.mark.stage


def envoy_stats(stage: Stage) -> dict[str, Any]:
    """Values by name, and the buckets of histograms by name."""
    connection = HTTPConnection("envoy")
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.connect(stage.status().envoy_admin_socket)
    connection.request("GET", "/stats?format=json&usedonly&histogram_buckets=cumulative")
    stats = json.load(connection.getresponse())["stats"]
    connection.close()
    histograms = next((s["histograms"] for s in stats if "histograms" in s), [])
    values = {stat["name"]: stat["value"] for stat in stats if "name" in stat}
    return values | {histogram["name"]: histogram["buckets"] for histogram in histograms}


def serve_with(stage: Stage, floor: int, spot_weight: float = 0.5) -> None:
    """Have this many replicas ready everywhere, and the route in place."""
    for name in ("on-demand", "spot"):
        stage.apply(BackendAsk(name=name, floor=floor))
    eventually(lambda: all(b.ready >= floor for b in stage.status().backends), within_s=20)
    stage.apply(
        BackendAsk(name="on-demand", weight=1 - spot_weight),
        BackendAsk(name="spot", weight=spot_weight),
    )
    eventually(lambda: stage.backend("spot").weight == pytest.approx(spot_weight, abs=1e-4))


def wait_for_requests(stage: Stage, requests: int) -> None:
    """Let this much traffic pass."""
    until = stage.status().load.requests + requests
    eventually(lambda: stage.status().load.requests >= until)


def test_it_serves_and_says_what_it_is(stage: Stage) -> None:
    status = stage.status()
    with urlopen(f"http://127.0.0.1:{status.port}/", timeout=10) as response:
        assert response.status == 200
    assert (status.service, status.load.trace, status.load.alive) == ("web", "flat", True)
    assert status.load.offered_rps == pytest.approx(100)
    assert [(b.name, b.concurrency, b.price) for b in status.profile.backends] == [
        ("on-demand", 4, 1.0),
        ("spot", 4, pytest.approx(0.4)),
    ]
    assert sum(backend.weight for backend in status.backends) == pytest.approx(1)
    wait_for_requests(stage, 100)
    billed_s = stage.status().backends[0].billed_replica_s - status.backends[0].billed_replica_s
    assert billed_s > 0


def test_a_raised_floor_becomes_replicas_that_take_traffic(stage: Stage) -> None:
    serve_with(stage, floor=3)
    failed = stage.status().load.failed  # drills of other tests made some fail
    wait_for_requests(stage, 150)
    worked_s = [busy_s(socket) for socket in stage.directory.glob("on-demand-*.sock")]
    assert len(worked_s) >= 3
    assert min(worked_s) > 0
    assert stage.status().load.failed == failed


def test_traffic_follows_the_acknowledged_weights(stage: Stage) -> None:
    serve_with(stage, floor=3, spot_weight=0.2)
    names = [f"cluster.{name}.upstream_rq_total" for name in ("on-demand", "spot")]
    before = envoy_stats(stage)
    wait_for_requests(stage, 250)
    after = envoy_stats(stage)
    requests, spot = (sum(after[n] - before[n] for n in some) for some in (names, names[1:]))
    assert abs(spot - 0.2 * requests) <= 4 * math.sqrt(requests * 0.2 * 0.8)


def test_a_killed_replica_is_replaced_and_its_requests_are_answered(stage: Stage) -> None:
    serve_with(stage, floor=3)
    before = stage.status()
    victim = stage.children("/on-demand-")[0]
    victim.kill()
    eventually(lambda: stage.backend("on-demand").crashed == before.backends[0].crashed + 1)
    eventually(lambda: stage.backend("on-demand").ready >= 3)
    assert stage.status().load.failed == before.load.failed


def test_a_killed_envoy_comes_back_as_it_was(stage: Stage) -> None:
    serve_with(stage, floor=3, spot_weight=0.3)
    (envoy,) = stage.children("envoy.json")
    envoy.kill()
    # The listener is back, and requests pass in the acknowledged shares.
    eventually(lambda: [p.pid for p in stage.children("envoy.json")] not in ([], [envoy.pid]))
    eventually(lambda: _answered(stage) > 200)
    stats = envoy_stats(stage)
    spot = stats["cluster.spot.upstream_rq_total"]
    requests = spot + stats["cluster.on-demand.upstream_rq_total"]
    assert abs(spot - 0.3 * requests) <= 4 * math.sqrt(requests * 0.3 * 0.7)


def _answered(stage: Stage) -> int:
    """Successful answers since Envoy started; 0 while it cannot be asked."""
    try:
        return int(envoy_stats(stage).get("http.web.downstream_rq_2xx", 0))
    except OSError:
        return 0


def test_a_killed_generator_is_restarted_and_keeps_its_counts(stage: Stage) -> None:
    (generator,) = stage.children("trimtab_stage.load")
    before = stage.status().load
    generator.kill()
    eventually(lambda: not stage.status().load.alive)
    eventually(lambda: stage.status().load.alive)
    wait_for_requests(stage, 100)
    after = stage.status().load
    assert after.requests > before.requests + 100
    assert after.misses >= before.misses
    assert after.trace_time_s != before.trace_time_s


def test_a_lowered_floor_drains_without_losing_a_request(stage: Stage) -> None:
    serve_with(stage, floor=3)
    before = stage.status()
    stage.apply(BackendAsk(name="on-demand", floor=1), BackendAsk(name="spot", floor=1))
    eventually(
        lambda: all((b.ready, b.draining) == (1, 0) for b in stage.status().backends), within_s=25
    )
    after = stage.status()
    for was, now in zip(before.backends, after.backends, strict=True):
        assert now.stopped >= was.stopped + 2
        assert now.crashed == was.crashed
    assert after.load.failed == before.load.failed


def test_a_backend_that_lost_its_last_replica_gets_no_traffic(stage: Stage) -> None:
    serve_with(stage, floor=1)
    eventually(lambda: stage.backend("spot").ready == 1, within_s=25)
    crashed = stage.backend("spot").crashed
    for process in stage.children("/spot-"):
        process.kill()
    eventually(lambda: stage.backend("spot").crashed > crashed)
    eventually(lambda: stage.backend("spot").weight == 0)
    assert stage.backend("on-demand").weight == 1
    wait_for_requests(stage, 50)  # those that were on their way had nowhere to go
    failed = stage.status().load.failed
    wait_for_requests(stage, 100)
    assert stage.status().load.failed == failed
    eventually(lambda: stage.backend("spot").weight == 0.5)


def test_an_overload_moves_the_hpa_and_its_misses_agree_with_envoys_histogram(stage: Stage) -> None:
    serve_with(stage, floor=1)
    eventually(lambda: stage.backend("spot").ready == 1, within_s=25)
    before, envoy_before = stage.status().load, _late(stage)
    # More than one replica can serve: a queue, and misses, for which the HPA asks for another.
    serve_with(stage, floor=1, spot_weight=1.0)
    eventually(lambda: stage.status().load.misses > before.misses + 100)
    eventually(lambda: stage.backend("spot").wanted > 1)
    serve_with(stage, floor=2, spot_weight=0.5)
    eventually(lambda: _misses_of(stage, requests=100) == 0, within_s=30)  # none waits any more
    after, envoy_after = stage.status().load, _late(stage)
    misses, slack = after.misses - before.misses, 0.02 * (after.requests - before.requests)
    # The generator's latency has the way to Envoy and back on top: never fewer misses than Envoy
    # saw, and no more than Envoy saw of answers that came close.
    assert envoy_after[0] - envoy_before[0] - slack <= misses
    assert misses <= envoy_after[1] - envoy_before[1] + slack


def _misses_of(stage: Stage, requests: int) -> int:
    before = stage.status().load.misses
    wait_for_requests(stage, requests)
    return int(stage.status().load.misses - before)


def _late(stage: Stage) -> tuple[int, int]:
    """Answers that Envoy timed later than the SLO, and later than the bucket's edge before it."""
    buckets = envoy_stats(stage)["http.web.downstream_rq_time"]
    slo_edge_ms = stage.status().profile.slo_latency_s * 1e3 - 1
    edges = [b["upper_bound"] for b in buckets]
    at = edges.index(slo_edge_ms)
    late, nearly = (buckets[-1]["cumulative"] - buckets[i]["cumulative"] for i in (at, at - 1))
    return int(late), int(nearly)


def test_a_slowed_backend_is_slow_with_its_new_replicas_too_until_it_is_well(stage: Stage) -> None:
    serve_with(stage, floor=1, spot_weight=0.0)
    eventually(lambda: stage.backend("spot").ready == 1, within_s=25)
    version = stage.status().resource_version
    slow(stage, "spot", 4.0)
    assert stage.status().resource_version == version
    serve_with(stage, floor=3, spot_weight=0.0)
    eventually(lambda: min(mean_service_s(stage, "spot")) > 2 * 0.05)
    slow(stage, "spot", 1.0)
    eventually(lambda: max(mean_service_s(stage, "spot")) < 2 * 0.05)


def mean_service_s(stage: Stage, backend: str) -> list[float]:
    """What ten requests, one by one, take on average: for each ready replica."""
    ready = [path for path in stage.directory.glob(f"{backend}-*.sock") if " 200 " in health(path)]
    before_s = [busy_s(path) for path in ready]
    for _ in range(10):
        for asked in [ask(path) for path in ready]:
            answer(asked)
    return [(busy_s(path) - was_s) / 10 for path, was_s in zip(ready, before_s, strict=True)]


def slow(stage: Stage, backend: str, factor: float) -> None:
    run_stage("slow", backend, f"--factor={factor}", f"--socket={stage.directory}/stage.sock")


def run_stage(*arguments: str) -> None:
    done = CliRunner().invoke(main, ["stage", *arguments])
    assert done.exit_code == 0, done.output


def test_a_rollout_replaces_every_replica_and_never_has_too_few(stage: Stage) -> None:
    serve_with(stage, floor=3)
    before, old = stage.status(), set(stage.directory.glob("spot-*.sock"))
    run_stage("roll", "spot", f"--socket={stage.directory}/stage.sock")
    rolling = [backend for status in _until_rolled(stage) for backend in status.backends[1:]]
    assert min(backend.ready for backend in rolling) >= 3
    assert max(backend.ready + backend.starting for backend in rolling) <= rolling[0].wanted + 1
    assert not old & set(stage.directory.glob("spot-*.sock"))
    after = stage.status()
    assert (after.backends[1].crashed, after.resource_version) == (
        before.backends[1].crashed,
        before.resource_version,
    )
    assert after.load.failed == before.load.failed


def _until_rolled(stage: Stage) -> list[Any]:
    """What was seen from the first to the last moment of a rollout."""
    seen = [stage.status()]

    def rolled() -> bool:
        seen.append(stage.status())
        spot = seen[-1].backends[1]
        return (spot.outdated, spot.draining, spot.starting) == (0, 0, 0)

    assert seen[0].backends[1].outdated >= 3
    eventually(rolled, within_s=40)
    return seen


@pytest.mark.parametrize(
    ("backend", "factor", "message"),
    [("spat", 2.0, "unknown backend 'spat'"), ("spot", 0.5, "give 1 to 1000")],
)
def test_what_cannot_be_slowed_is_named(
    stage: Stage, backend: str, factor: float, message: str
) -> None:
    with pytest.raises(AssertionError, match=message):
        slow(stage, backend, factor)


def test_what_cannot_be_rolled_is_named(stage: Stage) -> None:
    with pytest.raises(AssertionError, match="unknown backend 'spat': the stage has on-demand"):
        run_stage("roll", "spat", f"--socket={stage.directory}/stage.sock")


@pytest.mark.parametrize(
    ("ask", "fields", "code", "message"),
    [
        (BackendAsk(name="sput", floor=2), {}, "INVALID_ARGUMENT", "unknown backend 'sput'"),
        (BackendAsk(name="spot", floor=13), {}, "INVALID_ARGUMENT", "ask for 1 to 12"),
        (BackendAsk(name="spot", weight=math.nan), {}, "INVALID_ARGUMENT", "weight nan"),
        (BackendAsk(), {"service": "shop"}, "INVALID_ARGUMENT", "unknown service 'shop'"),
        (BackendAsk(), {"request_id": ""}, "INVALID_ARGUMENT", "request_id is empty"),
        (BackendAsk(), {"resource_version": "0"}, "FAILED_PRECONDITION", "wrote last"),
    ],
    ids=["backend", "floor", "weight", "service", "no-id", "version"],
)
def test_a_refused_write_changes_nothing(
    stage: Stage, ask: BackendAsk, fields: dict[str, str], code: str, message: str
) -> None:
    before = stage.status()
    good = BackendAsk(name="on-demand", floor=5)
    with pytest.raises(grpc.RpcError) as refused:
        stage.apply(good, ask, **fields)
    assert refused.value.code().name == code
    assert message in refused.value.details()
    after = stage.status()
    assert after.resource_version == before.resource_version
    assert [b.floor for b in after.backends] == [b.floor for b in before.backends]


def test_the_same_request_id_is_applied_once(stage: Stage) -> None:
    version = stage.status().resource_version
    ask = {"request_id": "once", "resource_version": version, "writer": "somebody"}
    first = stage.apply(BackendAsk(name="spot", floor=2), **ask)
    stage.apply(BackendAsk(name="spot", floor=1))
    again = stage.apply(BackendAsk(name="spot", floor=2), **ask)
    assert (first.applied, again.applied) == (True, False)
    assert first.resource_version == again.resource_version != version
    assert stage.backend("spot").floor == 1
    assert stage.status().last_writer == "test"


def test_once_a_newer_leader_has_written_the_older_one_cannot(stage: Stage) -> None:
    ask, old, new = BackendAsk(name="spot", floor=2), {"epoch": 7}, {"epoch": 8, "leader": "b"}
    assert stage.apply(ask, request_id="in time", **old, leader="a").applied
    assert stage.apply(ask, **new).applied
    for late in (old | {"leader": "a"}, new | {"leader": "a"}):
        version = stage.status().resource_version
        with pytest.raises(grpc.RpcError) as refused:
            stage.apply(ask, resource_version=version, **late)
        assert refused.value.code().name == "FAILED_PRECONDITION"
        assert "of a is over: b leads under epoch 8" in refused.value.details()
        assert stage.status().resource_version == version
    assert not stage.apply(ask, request_id="in time", **old, leader="a").applied  # as answered
    assert stage.apply(ask, writer="kubectl").applied
    status = stage.status()
    assert (status.epoch, status.leader, status.last_writer) == (8, "b", "kubectl")
