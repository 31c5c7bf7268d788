import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from trimtab_agents.bench.canary_runs import Pair, Played, excess, interval, report
from trimtab_agents.bench.canary_worlds import (
    MOST_REQUESTS,
    STEPS,
    WORSE_P95,
    World,
    canary,
    departures,
    on_grid,
    worse,
)
from trimtab_controller.cli.bench import bench


def world(seed: int, slots: int = 8) -> World:
    return World.drawn(np.random.default_rng(seed), (slots,))


def test_requests_wait_for_the_first_free_slot_of_their_replica() -> None:
    replica = np.array([0, 0, 0, 1])
    ended = departures(replica, np.array([0.0, 1.0, 2.0, 2.0]), np.array([10.0, 4.0, 1.0, 1.0]), 2)
    assert ended.tolist() == [10.0, 5.0, 6.0, 3.0]


def test_a_single_queue_waits_as_erlang_says() -> None:
    """M/M/1 at half load: a request takes twice its service time on the mean."""
    one = World(1, 0.1, 1.0, True, 10.0, np.full(200, 0.5))
    played = one.requests(np.ones((20, 200), bool), np.random.default_rng(1))
    assert (played.ended - played.arrived).mean() == pytest.approx(0.2, rel=0.03)


@pytest.mark.parametrize("seed", range(3))
def test_a_canary_gives_both_sides_the_same_load_and_no_more_than_allowed(seed: int) -> None:
    one = world(seed)
    looks = list(canary(one, 1.0, np.random.default_rng(seed)))
    assert sum(old.answers for old, _ in looks) <= 1.05 * MOST_REQUESTS
    assert {new.ready for _, new in looks} == set(STEPS)
    per_replica = [
        sum(side.answers for side in sides) / sum(side.ready for side in sides)
        for sides in zip(*looks, strict=True)
    ]
    assert per_replica[1] == pytest.approx(per_replica[0], rel=0.05)
    for side in looks[-1]:
        assert side.latency.total == side.answers == on_grid(side.latency).sum()


def test_the_worse_version_is_worse_by_a_fifth_at_the_p95() -> None:
    one = world(4)
    factor = worse(one, np.random.default_rng(4))
    everywhere = np.ones((200, len(one.load)), bool)
    old, new = (
        each.requests(everywhere, np.random.default_rng(5)).p95_s
        for each in (one, one.slower(factor))
    )
    assert 1.0 < factor < WORSE_P95
    assert new / old == pytest.approx(WORSE_P95, rel=0.03)


def test_the_rank_test_is_that_of_mann_and_whitney() -> None:
    rng = np.random.default_rng(6)
    old, new = rng.integers(0, 8, 40), rng.integers(1, 9, 60)
    wins = (new[:, None] > old).sum() + (new[:, None] == old).sum() / 2.0
    ties = np.bincount(np.append(old, new))
    variance = 40 * 60 / 12.0 * (101 - (ties**3 - ties).sum() / (100 * 99))
    counts = [np.bincount(side, minlength=9).astype(float) for side in (old, new)]
    assert excess(*counts) == pytest.approx((wins - 1200.0) / np.sqrt(variance))
    assert excess(np.zeros(3), np.ones(3)) == 0.0


@pytest.mark.parametrize(
    ("hits", "runs", "low", "high"),
    [(0, 400, 0.0, 0.0095), (4, 400, 0.0039, 0.0254), (390, 400, 0.9546, 0.9863)],
)
def test_wilsons_interval(hits: int, runs: int, low: float, high: float) -> None:
    assert interval(hits, runs) == pytest.approx((low, high), abs=1e-4)


def test_the_report_counts_what_was_called() -> None:
    looks = np.array([1000.0, 5000.0, 16000.0])
    quiet, loud = np.zeros(3), np.array([0.0, 9.0, 9.0])
    never = np.inf
    pairs = [
        Pair(4, Played(never, 3000.0, looks, quiet), Played(900.0, never, looks, loud)),
        Pair(4, Played(never, 5000.0, looks, loud), Played(1100.0, 500.0, looks, loud)),
        Pair(8, Played(700.0, never, looks, quiet), Played(never, never, looks, loud)),
    ]
    found = report(pairs)
    assert found["false_rollback"] == pytest.approx(1 / 3)
    assert found["caught_20pct"] == pytest.approx(2 / 3)
    assert (found["requests_to_verdict"], found["requests_to_verdict_95"]) == (1100.0, None)
    assert found["adopted_worse"] == pytest.approx(1 / 3)
    assert found["requests_to_verdict_mann_whitney"] == 1250.0
    assert found["mann_whitney_false_rollback_watched"] == pytest.approx(1 / 3)
    assert found["by_slots"]["8"] == {"runs": 1, "false_rollback": 1.0, "caught_20pct": 0.0}
    json.dumps(found, allow_nan=False)


def test_the_command_writes_its_numbers_and_says_which_bar_is_not_met(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trimtab_agents.bench.tuning.SEEDS", 1)
    # One slot queues so much that ten canaries cannot all be caught.
    file = tmp_path / "canary.json"
    ran = CliRunner().invoke(
        bench, ["experiments", "--runs", "10", "--slots", "1", "--json", str(file)]
    )
    assert ran.exit_code == 1
    assert "caught_20pct does not meet its bar, 0.95" in ran.output
    found = json.loads(file.read_text())
    assert found["runs"] == 10
    assert set(found["by_slots"]) == {"1"}
    assert {"tuning_gap_median", "tuning_gap_random", "requests_to_verdict"} < found.keys()
