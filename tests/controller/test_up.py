"""What `trimtab up` shows and adds up, from statuses as stage and daemon send them."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

import pytest
from rich.cells import cell_len

from trimtab_controller.up import words
from trimtab_controller.up.record import Record
from trimtab_controller.up.screen import line
from trimtab_controller.up.summary import Summary, fleet, summarise
from trimtab_controller.up.view import Place, draw
from trimtab_guard.reasons import Code
from trimtab_proto.v1 import controller_pb2, stage_pb2

START_S = 1_800_000_000.0

PROFILE = stage_pb2.StageProfile(
    slo_latency_s=0.3,
    slo_share=0.99,
    timeout_s=10.0,
    backends=[
        stage_pb2.StageBackendProfile(
            name=name,
            concurrency=4,
            service_time_s=0.05,
            price=price,
            min_replicas=1,
            max_replicas=12,
        )
        for name, price in (("on-demand", 1.0), ("spot", 0.4))
    ],
)


def replicas(name: str, **fields: float) -> stage_pb2.StageBackend:
    """One backend of the stage."""
    return stage_pb2.StageBackend(name=name, **fields)


def stage(
    after_s: float, *backends: stage_pb2.StageBackend, **load: float
) -> stage_pb2.StageStatus:
    """The stage ``after_s`` seconds into a run."""
    return stage_pb2.StageStatus(
        service="web",
        time_s=START_S + after_s,
        port=10000,
        backends=backends,
        profile=PROFILE,
        load=stage_pb2.LoadStatus(trace="worldcup", speed=60.0, alive=True, **load),
    )


def daemon(
    after_s: float,
    outcome: str,
    *decision: tuple[str, int, float],
    now: tuple[tuple[str, int, float], ...] = (),
    **fields: object,
) -> controller_pb2.ServiceStatus:
    """One tick of the daemon; ``now`` is what is, ``decision`` what it wants."""
    return controller_pb2.ServiceStatus(
        service="web",
        time_s=START_S + after_s,
        outcome=outcome,
        decision=[
            controller_pb2.BackendDecision(name=name, replicas=replicas, weight=weight)
            for name, replicas, weight in decision
        ],
        backends=[
            controller_pb2.BackendStatus(name=name, wanted=wanted, weight=weight)
            for name, wanted, weight in now
        ],
        **{"mode": controller_pb2.MODE_GUARDED, "policy": "ppo", **fields},
    )


FIRST = stage(
    10.0,
    replicas("on-demand", billed_replica_s=100.0, started=2, stopped=0, weight=0.5),
    replicas("spot", billed_replica_s=50.0, started=1, stopped=1, weight=0.5),
    requests=1_000,
    misses=100,
)
LAST = stage(
    70.0,
    replicas("on-demand", billed_replica_s=160.0, started=5, stopped=1, weight=0.4, crashed=3),
    replicas("spot", billed_replica_s=350.0, started=6, stopped=4, weight=0.6),
    requests=25_000,
    misses=340,
)


def test_every_field_by_hand() -> None:
    summary = summarise(FIRST, LAST, route_changes=7, decisions=60, policy="ppo")
    # Billed: 60 s at 1.0 + 300 s at 0.4 = 180. Least: 24,000 requests x 0.05 s / 4 x 0.4 = 120.
    assert summary == Summary(
        requests=24_000,
        miss_share=240 / 24_000,
        fleet=pytest.approx(180.0 / 120.0),
        # Started 3 + 5, stopped 1 + 3; the crashes are nobody's purpose.
        scale_events=12,
        route_changes=7,
        decisions=60,
        policy="ppo",
        seconds=60.0,
    )
    assert summary.score(miss_price=50.0) == pytest.approx(1.5 + 50.0 * 0.01)


def test_the_least_price_is_per_request_not_per_replica() -> None:
    first, last = stage(0.0), stage(1.0, requests=1_000)
    last.profile.backends[1].service_time_s = 0.5  # ten times the work: no longer the cheapest
    for status, billed_s in ((first, 0.0), (last, 25.0)):
        status.backends.extend([replicas("on-demand", billed_replica_s=billed_s), replicas("spot")])
    assert fleet(first, last) == pytest.approx(25.0 / (1_000 * 0.05 / 4))


def test_a_run_without_requests_has_no_shares() -> None:
    summary = summarise(FIRST, FIRST, route_changes=0, decisions=0, policy="")
    assert (summary.requests, summary.miss_share, summary.fleet) == (0, 0.0, 0.0)


def test_json_has_exactly_the_promised_fields() -> None:
    summary = summarise(FIRST, LAST, route_changes=7, decisions=60, policy="ppo")
    assert summary.as_json() == {
        "requests": 24_000,
        "miss_share": 0.01,
        "fleet": 1.5,
        "scale_events": 12,
        "route_changes": 7,
        "decisions": 60,
        "policy": "ppo",
        "seconds": 60.0,
    }


def routed(after_s: float, share: float) -> object:
    return stage(after_s, replicas("on-demand", weight=share), replicas("spot", weight=1.0 - share))


def test_a_record_measures_from_its_begin_and_counts_acknowledged_routes() -> None:
    record = Record(miss_price=50.0)
    assert record.summary() is None
    for after_s, share in enumerate((0.5, 0.3)):
        record.see_stage(routed(after_s, share))
    record.begin()
    for after_s, share in enumerate((0.3, 0.4, 0.4, 0.4000000001, 0.6), start=2):
        record.see_stage(routed(after_s, share))
    record.see_daemon(daemon(6.0, "applied", decisions=6))
    summary = record.summary()
    assert summary is not None
    assert (summary.route_changes, summary.decisions, summary.seconds) == (2, 6, 5.0)


def test_the_history_forgets_and_misses_now_are_of_the_last_seconds() -> None:
    record = Record(miss_price=50.0)
    for second in range(400):
        misses = max(0, second - 397) * 10
        record.see_stage(stage(float(second), requests=100 * second, misses=misses))
    assert record.history[0].time_s == START_S + 399 - 180
    assert record.miss_share_now == pytest.approx(20 / 500)


PLACE = Place(
    ".venv/bin/trimtab", "unix:/work/.run/daemon.sock", "/work/.run", "http://127.0.0.1:8088"
)
SMALL = """\
trimtab   service web   mode guarded   policy ppo   running 3:00
load     460 rps    ▃▃▃▃▃▃▃▃▃▃▄▄▄▄▄▄▄▄▄▄▄▅▅▅▅▅▅▅▅▅▅▅▆▆▆▆▆▆▆▆▆▆▇▇▇▇▇▇▇▇▇▇▇███████
ready    10         ████████████████████████████████████████████████████████████
latency  p50 52 ms   p95 181 ms   SLO 99 % within 300 ms
misses   0.4 % now   0.4 % of this run   50,400 requests
cost     fleet 7.14 + 50 x misses = score 7.32, smaller is better
trace    worldcup at day 14, 13:58:07, 60x life
             share  ready  starting  draining  wanted
on-demand     60 %      6         2         0       9  ██████▒▒·
spot          40 %      4         0         1       4  ████
────────────────────────────────────────────────────────────────────────────────
now       applied    load heads for 420 rps by 14:05, 9 ready replicas carry 360
08:03:00  applied    on-demand 8→9, 50→60 % · spot 50→40 %  2 times
          load heads for 420 rps by 14:05, 9 ready replicas carry 360
          guard: no faster up (on-demand 14→9); share moves in small steps (spo…
08:00:08  applied    on-demand 8→9
          load heads for 420 rps by 14:05, 9 ready replicas carry 360
08:00:07  applied    on-demand 7→8
          load heads for 420 rps by 14:05, 9 ready replicas carry 360
08:00:06  applied    on-demand 6→7
────────────────────────────────────────────────────────────────────────────────
console http://127.0.0.1:8088
end with Ctrl-C   stop all writes: .venv/bin/trimtab stop
gRPC unix:/work/.run/daemon.sock   http 127.0.0.1:10000   logs /work/.run
"""
WHY = "load heads for 420 rps by 14:05, 9 ready replicas carry 360"


@pytest.fixture(autouse=True)
def utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    os.environ.setdefault("TZ", "UTC")
    time.tzset()


def guard(code: str, backend: str, before: float, after: float) -> controller_pb2.GuardReason:
    return controller_pb2.GuardReason(code=code, backend=backend, before=before, after=after)


@pytest.fixture
def record() -> Record:
    """Three minutes up a hill: eight decisions, the last one curbed by the guard."""
    record = Record(miss_price=50.0)
    busy = {"wanted": 9, "ready": 6, "starting": 2}
    calm = {"wanted": 4, "ready": 4, "draining": 1}
    for second in range(181):
        record.see_stage(
            stage(
                float(second),
                replicas("on-demand", weight=0.6, billed_replica_s=second * 8, **busy),
                replicas("spot", weight=0.4, billed_replica_s=second * 5, **calm),
                offered_rps=100.0 + 2 * second,
                requests=second * 280,
                misses=second,
                trace_time_s=1_173_487.5,
            )
        )
        if second == 0:
            record.begin()
    record.see_daemon(daemon(1.0, "applied", ("on-demand", 2, 0.5), ("spot", 2, 0.5), why="start"))
    measured = {"why": WHY, "p50_ms": 52.4, "p95_ms": 181.0}
    for second in range(2, 9):
        now = ("on-demand", second, 0.5), ("spot", 4, 0.5)
        want = ("on-demand", second + 1, 0.5), ("spot", 4, 0.5)
        record.see_daemon(daemon(second, "applied", *want, now=now, **measured))
    reasons = [guard(Code.RATE_UP, "on-demand", 14, 9), guard(Code.WEIGHT_STEP, "spot", 0.7, 0.4)]
    want = ("on-demand", 9, 0.6), ("spot", 4, 0.4)
    for second in (180, 181):
        record.see_daemon(daemon(second, "applied", *want, now=now, reasons=reasons, **measured))
    return record


def screen(record: Record, width: int, height: int) -> list[str]:
    return draw(record, PLACE, width, height).plain.split("\n")


def test_the_small_terminal(record: Record) -> None:
    assert screen(record, 80, 24) == SMALL.splitlines()


@pytest.mark.parametrize(("width", "height"), [(80, 24), (120, 40), (60, 18), (200, 60)])
def test_it_fits(record: Record, width: int, height: int) -> None:
    record.away = "the daemon was ended by SIGKILL"
    drawn = screen(record, width, height)
    assert len(drawn) <= height
    assert max(map(cell_len, drawn)) <= width


def envelope(change: str, **bounds: float) -> controller_pb2.Envelope:
    return controller_pb2.Envelope(
        id="7", service="web", backend="spot", change=change, expires_s=START_S + 3600, **bounds
    )


@pytest.mark.parametrize(
    ("bounds", "says"),
    [
        (envelope("scale-up", min_replicas=4, max_replicas=12), "scale-up, 4 to 12 replicas"),
        (envelope("route", min_weight=0.4, max_weight=0.5), "route, 40 to 50 %"),
    ],
    ids=["replicas", "route"],
)
def test_what_waits_is_shown_with_its_answer(
    record: Record, bounds: controller_pb2.Envelope, says: str
) -> None:
    record.see_daemon(daemon(182.0, "asked", ("spot", 12, 0.5), pending=1), [bounds])
    drawn = "\n".join(screen(record, 80, 24))
    assert f"\n   7  web/spot {says}, until 09:00:00\n" in drawn
    assert ".venv/bin/trimtab approve ID … (or reject ID …)" in drawn


def test_an_absent_daemon_and_a_stop_are_said_loudly(record: Record) -> None:
    record.away = "the daemon was ended by SIGKILL; the stage carries on with its own rule"
    record.tell(START_S + 182, "it is started again in 1 s")
    drawn = "\n".join(screen(record, 80, 24))
    assert "the stage carries on with its own rule" in drawn
    assert "latency  unknown" in drawn
    assert "08:03:02  it is started again in 1 s" in drawn
    assert "| no daemon |" in line(record)
    record.see_daemon(daemon(183.0, "stopped", stopped=True))
    drawn = "\n".join(screen(record, 80, 24))
    assert "mode STOPPED" in drawn
    assert "undo with: .venv/bin/trimtab resume" in drawn
    assert "| stopped |" in line(record)


def test_a_refused_reload_is_said_until_a_good_one(record: Record) -> None:
    record.see_daemon(daemon(182.0, "unchanged", config_error="trimtab.yaml:5: no such field"))
    refused = "not reloaded, the last good limits hold: trimtab.yaml:5: no such field"
    assert refused in screen(record, 80, 24)
    record.see_daemon(daemon(183.0, "unchanged"))
    assert refused not in screen(record, 80, 24)


def test_before_anything_is_seen_there_is_still_a_picture() -> None:
    drawn = screen(Record(miss_price=50.0), 80, 24)
    assert drawn[1].startswith("starting")
    assert line(Record(miss_price=50.0)) == ""


def test_missing_latencies_are_not_shown_as_numbers(record: Record) -> None:
    record.see_daemon(daemon(182.0, "held", p50_ms=float("nan"), p95_ms=float("nan")))
    assert "latency  unknown" in "\n".join(screen(record, 80, 24))


def told(record: Record) -> list[tuple[str, str, int]]:
    return [(note.outcome, note.change, note.times) for note in record.notes]


def test_only_what_is_new_becomes_a_line() -> None:
    record = Record(miss_price=50.0)
    steady, more = ("spot", 4, 0.5), ("spot", 5, 0.5)
    fewer = (("spot", 4, 0.4),)
    held = [guard(Code.HOLD, "spot", 3, 5)]
    for after_s, status in enumerate(
        [
            daemon(0, "applied", steady),
            daemon(1, "unchanged", steady),
            daemon(2, "applied", more, now=fewer),
            daemon(3, "unchanged", more, now=(more,), reasons=held),
            daemon(4, "unchanged", more, now=(more,), reasons=held),
            daemon(5, "held", error="Envoy's admin socket is gone"),
            daemon(6, "unchanged", more, now=(more,), reasons=held),
        ]
    ):
        status.time_s = START_S + after_s
        record.see_daemon(status)
    assert told(record) == [
        ("applied", "spot →4, →50 %", 1),
        ("applied", "spot 4→5, 40→50 %", 1),
        ("unchanged", "keep spot 5", 2),
        ("held", "no decision", 1),
        ("unchanged", "keep spot 5", 1),
    ]
    assert list(record.notes)[2].guard == "scale down only to the window's highest wish (spot 3→5)"
    assert list(record.notes)[3].why == "Envoy's admin socket is gone"


def test_every_reason_of_the_guard_has_words() -> None:
    assert set(words.WORDS) == set(Code)
    assert words.reason(guard("NEW_LIMIT", "", 0, 0)) == "NEW_LIMIT"


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (words.percent(0.0), "0.0 %"),
        (words.percent(0.0001), "<0.1 %"),
        (words.percent(0.0123), "1.2 %"),
        (words.percent(0.0999), "10 %"),
        (words.percent(1.0), "100 %"),
        (words.rate(0.4), "0.4 rps"),
        (words.rate(1234.5), "1,234 rps"),
        (words.duration(65.9), "1:05"),
        (words.duration(3725), "1:02:05"),
        (words.duration(90_000), "day 2, 1:00:00"),
        (words.sparkline([], 1.0), ""),
        (words.sparkline([(0.0, 0.0), (1.0, 0.0)], 1.0), "▁▁"),
        (words.sparkline([(0.9, 8.0), (2.1, 1.0), (3.9, 2.0), (4.0, 0.0)], 2.0), "█▃▁"),
    ],
)
def test_short_words(shown: str, expected: str) -> None:
    assert shown == expected
