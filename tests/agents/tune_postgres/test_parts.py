"""What is set, what is asked and what it costs: the parts that need no server."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from itertools import product
from math import inf
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab_agents.tune_postgres import allowance
from trimtab_agents.tune_postgres.allowance import Allowance, AllowanceError, cell
from trimtab_agents.tune_postgres.cost import CPU_HOUR, GB_HOUR, Price
from trimtab_agents.tune_postgres.finding import confirmed
from trimtab_agents.tune_postgres.patch import patch
from trimtab_agents.tune_postgres.settings import Settings, space, usual
from trimtab_agents.tune_postgres.workload import (
    Script,
    Seen,
    Workload,
    WorkloadError,
    answers,
    shop,
    weighed,
)

NAMES = list(space().dials)
EVERY = [
    Settings.of(dict(zip(NAMES, values, strict=True)))
    for values in product(*(dial.values for dial in space().dials.values()))
]
# What decides whether a commit outlives a crash.
DURABLE = {"fsync", "synchronous_commit", "full_page_writes", "wal_sync_method", "wal_level"}


def test_no_choice_trades_durability() -> None:
    assert len(EVERY) == space().size >= 400
    for settings in EVERY:
        assert not DURABLE & settings.configuration.keys()


def test_a_new_server_is_among_the_choices_and_has_postgresqls_defaults() -> None:
    assert usual(space()) == Settings() in EVERY
    assert Settings().configuration == {
        "shared_buffers": "128MB",
        "effective_cache_size": "384MB",
        "work_mem": "4MB",
        "random_page_cost": "4",
        "jit": "on",
        "max_parallel_workers_per_gather": "2",
    }
    assert usual(space([4, 1], [8192, 2048, 4096], [20])) == Settings(4, 4096, 20)


def test_the_patch_sets_what_was_measured_and_says_what_else_was() -> None:
    settings = Settings(0.5, 1024, 4, 40, 32, 1.1, "plain")
    text = patch(settings, "why", held=True)
    for name, value in settings.configuration.items():
        assert f"ALTER SYSTEM SET {name} = '{value}';" in text
    assert "cpu: '0.5', memory: 1024Mi" in text
    assert "Pool: 4 connections" in text
    assert "Allowance" not in patch(settings, "why", held=False)


@pytest.mark.parametrize(
    ("seen", "cents"),
    [
        pytest.param(Seen(0.01, 0.0, 9), 1.0, id="in-time"),
        pytest.param(Seen(0.02, 0.0, 9), 2.0, id="half-as-many-a-second"),
        pytest.param(Seen(0.01, 0.1, 9), 2.0, id="a-tenth-late-costs-ten-times-as-much-more"),
        pytest.param(Seen(0.0, 0.0, 0), inf, id="no-answers"),
    ],
)
def test_the_price_of_a_million(seen: Seen, cents: float) -> None:
    """Four clients who wait 10 ms each get 400 a second, a million in 2500 s."""
    price = Price(cpu_hour=0.01 * 3600 / 2500, gb_hour=0.0, late_price=10.0)
    assert price.cents_per_million(Settings(clients=4), seen) == pytest.approx(cents)
    hour = 2.0 * CPU_HOUR + 4.0 * GB_HOUR
    whole = Price().cents_per_million(Settings(2.0, 4096, clients=4), Seen(0.01, 0.0, 9))
    assert whole == pytest.approx(100.0 * hour * 2500 / 3600)


@given(
    latencies=st.lists(st.floats(1e-4, 10.0), min_size=5, max_size=5),
    weights=st.lists(st.integers(1, 50), min_size=5, max_size=5),
    draws=st.lists(st.integers(1, 30), min_size=5, max_size=5),
)
def test_a_script_counts_by_its_weight_however_often_chance_drew_it(
    latencies: list[float], weights: list[int], draws: list[int]
) -> None:
    scripts = tuple(Script(Path(), weight) for weight in weights)
    places = np.repeat(np.arange(5), draws)
    rows = np.stack([1e6 * np.array(latencies)[places], places], 1)
    seen = weighed(rows, Workload(Path(), scripts), bound_s=1.0)
    assert seen.latency_s == pytest.approx(np.average(latencies, weights=weights))
    late = np.average(1e6 * np.array(latencies) / 1e6 > 1.0, weights=weights)
    assert seen.late == pytest.approx(late)
    assert seen.answers == sum(draws)


def test_what_failed_is_late_and_what_is_half_written_is_left(tmp_path: Path) -> None:
    text = "0 1 2000 0 1795000000 1 0\n1 1 failed 0 1795000000 2 9\n0 2 4000 0 17950"
    (tmp_path / "answers.77").write_text(text)
    rows = answers(tmp_path)
    assert rows.tolist() == [[2000.0, 0.0], [inf, 0.0]]
    assert weighed(rows, shop(), 0.25) == Seen(pytest.approx(0.126), 0.5, 2)


def test_scripts_that_nobody_answered_yet_say_nothing() -> None:
    assert weighed(np.empty((0, 2)), shop(), 1.0) == Seen(0.0, 0.0, 0)
    only_reads = np.array([[2000.0, 0.0], [4000.0, 0.0]])
    assert weighed(only_reads, shop(), 1.0).latency_s == pytest.approx(0.003)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("no.sql", "no.sql: there is no such script", id="missing"),
        pytest.param(f"{shop().schema}@0", "a weight is a whole number above 0", id="zero"),
        pytest.param(f"{shop().schema}@x", "a weight is a whole number above 0", id="word"),
    ],
)
def test_scripts_that_cannot_be_are_refused(text: str, message: str) -> None:
    with pytest.raises(WorkloadError, match=message):
        Script.of(text)


def test_a_script_and_its_weight() -> None:
    schema = shop().schema
    assert Script.of(f"{schema}") == Script(schema, 1)
    assert Script.of(f"{schema}@20") == Script(schema, 20)


@pytest.mark.parametrize(
    ("after", "better"),
    [
        pytest.param([2.0, 2.1, 1.9], True, id="half"),
        pytest.param([4.1, 2.0, 5.9], False, id="noisy"),
        pytest.param([4.0, 4.1, 3.9], False, id="the-same"),
    ],
)
def test_only_what_is_clearly_cheaper_is_better(after: list[float], better: bool) -> None:
    found = replace(Settings(), work_mem_mb=32)
    scores = {Settings(): iter([4.0, 4.1, 3.9]), found: iter(after)}
    finding = confirmed(Settings(), found, lambda settings: next(scores[settings]))
    assert finding.is_better is better
    assert finding.facts["saving"] == pytest.approx(1.0 - sum(after) / 12.0)


def writable() -> bool:
    try:
        with cell("trimtab-test-try"):
            return True
    except AllowanceError:
        return False


held = pytest.mark.skipif(not writable(), reason="needs writable control groups: be root")


def within(allowed: Allowance, code: str) -> tuple[int, dict[str, str]]:
    """How a Python program ends in a cell, and what the kernel counted."""
    with cell("trimtab-test") as own:
        own.allow(allowed)
        enter = 'for door in "$@"; do echo $$ > "$door"; done; exec "$PYTHON" -c "$CODE"'
        doors = [str(door) for door in own.doors]
        env = {"PYTHON": sys.executable, "CODE": code, "PATH": "/usr/bin:/bin"}
        done = subprocess.run(["/bin/sh", "-c", enter, "sh", *doors], env=env, check=False)
        counts = (own.folders["cpu"] / "cpu.stat").read_text().splitlines()
        return done.returncode, dict(line.split() for line in counts)


@held
def test_who_takes_more_memory_than_allowed_is_killed() -> None:
    take = "held = bytearray(100 << 20)"
    assert within(Allowance(memory_mb=50), take)[0] == -9
    assert within(Allowance(memory_mb=500), take)[0] == 0
    assert within(Allowance(), take)[0] == 0


@held
def test_who_takes_more_cpu_than_allowed_waits() -> None:
    take = "import time\nwhile time.process_time() < 0.4: pass"
    assert int(within(Allowance(cpus=0.25), take)[1]["nr_throttled"]) > 0
    assert int(within(Allowance(), take)[1]["nr_throttled"]) == 0


def test_control_groups_of_version_2(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their files, since this machine has either one version or the other."""
    monkeypatch.setattr(allowance, "ROOT", tmp_path)
    (tmp_path / "cgroup.controllers").write_text("cpu memory")
    with cell("a") as own:
        own.allow(Allowance(0.5, 256))
        wrote = {file.name: file.read_text() for file in (tmp_path / "a").iterdir()}
        own.allow(Allowance())
        assert (tmp_path / "a/memory.max").read_text() == "max"
        assert own.doors == [tmp_path / "a/cgroup.procs"]
        for file in (tmp_path / "a").iterdir():
            file.unlink()  # In the kernel's file system they go with their folder.
    limits = {"cpu.max": "50000 100000", "memory.max": f"{256 << 20}", "cpu.weight": "10000"}
    assert wrote == limits
    assert not (tmp_path / "a").exists()


def no_groups(root: Path) -> None:
    root.rmdir()


def no_memory(root: Path) -> None:
    (root / "cpu").mkdir()


@pytest.mark.parametrize("spoil", [no_groups, no_memory])
def test_without_control_groups_it_says_so_and_leaves_nothing(
    spoil: Callable[[Path], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "cgroup"
    root.mkdir()
    monkeypatch.setattr(allowance, "ROOT", root)
    spoil(root)
    with pytest.raises(AllowanceError, match=r"needs writable control groups.*--no-allowance"):
        cell("a").__enter__()
    assert not list(root.glob("*/a"))
