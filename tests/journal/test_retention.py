"""Pruning: what is gone, what it still means, and that both together are one chain."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trimtab_controller.approvals import Answer, Approvals, Envelope
from trimtab_controller.cli import main
from trimtab_controller.config import JournalSpec
from trimtab_controller.journal import Entry, Journal, JournalError, read, reading, verify
from trimtab_controller.journal.checkpoint import Checkpoint
from trimtab_controller.mandate import OURSELVES, Mandate
from trimtab_controller.records import pack
from trimtab_controller.retention import DAY_S, Keeper, prune, still_counting
from trimtab_guard.modes import Change, Mode

from .conftest import hands_on

NOW_S = 100 * DAY_S
FIRST_S = NOW_S - 25.0


def aged(location: str) -> str:
    """A mode, then twenty-four records that mean nothing later, a second apart until just now."""
    with Journal.open(location) as journal:
        journal.append("mode", mode("guarded", "ann"), FIRST_S)
        for number in range(1, 25):
            kind = ("recommend", "denied")[number % 2]
            journal.append(kind, {"n": number}, FIRST_S + number)
    return location


def mode(name: str, who: str, **more: float) -> dict[str, Any]:
    return {"service": "web", "mode": name, "who": who, "why": "", "until_s": NOW_S * 2, **more}


def pruned(location: str, keep_s: float = 20.0, archive: Path | None = None) -> str:
    with Journal.open(location) as journal:
        assert prune(journal, keep_s, NOW_S, archive)
    return location


def test_what_is_old_goes_and_what_it_means_stays(location: str) -> None:
    pruned(aged(location))
    (carried, first, *_, last) = read(location)
    assert (carried.seq, carried.kind, carried.time_s) == (1, "mode", FIRST_S)
    assert (first.seq, first.time_s, last.kind) == (6, NOW_S - 20.0, "checkpoint")
    assert [entry.kind for entry in read(location, kinds=["mode"])] == ["mode"]
    with reading(location) as snapshot:
        assert next(snapshot.rows()).seq == 6
    found = verify(location)
    assert (found.ok, found.after.seq, found.entries) == (True, 5, 21)


def test_it_goes_on_and_is_pruned_again(location: str) -> None:
    pruned(aged(location))
    with Journal.open(location) as journal:
        journal.append("stop", {"who": "ann", "why": ""}, NOW_S + 1.0)
        assert prune(journal, 5.0, NOW_S) is not None
        assert prune(journal, 5.0, NOW_S) is None
        assert journal.append("resume", {"who": "ann"}, NOW_S + 2.0) == 29
    assert [entry.kind for entry in read(location, kinds=["mode", "stop", "resume"])] == [
        "mode", "stop", "resume",
    ]  # fmt: skip
    assert verify(location).ok
    assert verify(location).after.seq == 20


def test_archives_and_journal_are_one_chain(location: str, tmp_path: Path) -> None:
    whole = list(read(aged(location)))
    archives = [tmp_path / "one.jsonl", tmp_path / "two.jsonl"]
    pruned(location, 20.0, archives[0])
    pruned(location, 5.0, archives[1])
    left = [entry for entry in read(location, after=20) if entry.kind != "checkpoint"]
    assert [*read(archives[0]), *read(archives[1]), *left] == whole
    together = command("verify", *map(str, archives), location)
    assert together.exit_code == 0, together.output
    gap = command("verify", str(archives[0]), location)
    assert gap.exit_code == 1
    assert "follows record 20, which is not the last one before it, record 5" in gap.output


def test_an_archive_is_never_overwritten_and_named_after_its_records(
    location: str, tmp_path: Path
) -> None:
    aged(location)
    there = tmp_path / "there.jsonl"
    there.touch()
    with Journal.open(location) as journal:
        with pytest.raises(JournalError, match="is there already"):
            prune(journal, 20.0, NOW_S, there)
        with pytest.raises(JournalError, match="No such file or directory; nothing was pruned"):
            prune(journal, 20.0, NOW_S, tmp_path / "no" / "such.jsonl")
    assert verify(location).after.seq == 0
    pruned(location, 20.0, tmp_path)
    (archive,) = tmp_path.glob("journal-1-5-*.jsonl")
    assert verify(archive).entries == 5


def test_a_damaged_record_is_not_pruned_away(location: str) -> None:
    aged(location)
    with hands_on(location) as execute:
        execute("UPDATE entries SET body = '{\"n\":0}' WHERE seq = 3")
    with Journal.open(location) as journal, pytest.raises(JournalError, match="record 3 is not"):
        prune(journal, 20.0, NOW_S)
    assert verify(location).bad_seq == 3


@pytest.mark.parametrize(
    ("statement", "bad_seq", "problem"),
    [
        ("DELETE FROM entries WHERE seq = 5", 5, "record 5 is missing: the next is 6"),
        ("DELETE FROM entries WHERE seq <= 8", 5, "record 5 is missing: the next is 9"),
        (
            "UPDATE entries SET hash = replace(hash, 'a', 'b') WHERE seq = 5",
            5,
            "record 5 was changed",
        ),
        ("DELETE FROM entries WHERE seq = 10", 10, "record 10 is missing: the next is 11"),
        ("UPDATE entries SET kind = 'stop' WHERE seq = 26", 26, "record 26 was changed"),
        ("UPDATE entries SET body = '{}' WHERE seq = 26", 26, "record 26 was changed"),
        ("DELETE FROM entries WHERE seq = 26", 26, "the end was cut off"),
    ],
    ids=["anchor", "beginning", "anchor changed", "hole", "no checkpoint", "empty", "cut off"],
)
def test_verify_names_what_is_wrong_with_a_pruned_journal(
    location: str, statement: str, bad_seq: int, problem: str
) -> None:
    pruned(aged(location))
    with hands_on(location) as execute:
        execute(statement)
    found = verify(location)
    assert (found.ok, found.bad_seq) == (False, bad_seq)
    assert problem in found.problem


@pytest.mark.parametrize("statement", ["DELETE FROM entries", "UPDATE entries SET kind = 'x'"])
def test_a_pruned_journal_lets_nobody_delete(location: str, statement: str) -> None:
    pruned(aged(location))
    with hands_on(location, triggers=True) as execute, pytest.raises(Exception, match="only grows"):
        execute(statement)
    assert verify(location).ok


def command(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["journal", *arguments])


def test_the_command_prunes_unless_a_daemon_writes(location: str, tmp_path: Path) -> None:
    aged(location)
    with Journal.open(location):
        busy = command("prune", location, "--keep-days", "1")
    assert busy.exit_code == 1
    assert "writes this journal" in busy.output
    done = command("prune", location, "--keep-days", "1", "--archive", str(tmp_path))
    assert done.exit_code == 0, done.output
    assert "25 records pruned, of which 1 still count" in done.output
    assert "nothing is old enough" in command("prune", location, "--keep-days", "1").output
    assert verify(location).ok


def test_what_is_no_journal_is_not_made_one(location: str) -> None:
    missing = command("prune", location, "--keep-days", "1")
    assert missing.exit_code == 1
    assert "there is no journal" in missing.output or "no journal here" in missing.output
    with pytest.raises(JournalError):
        verify(location)


# Killed at any moment.

PRUNER = """
import sys
from trimtab_controller.journal import Journal
from trimtab_controller.retention import prune
journal = Journal.open(sys.argv[1])
print("open", flush=True)
for number in range(100_000):
    print(journal.append("recommend", {"pad": "x" * 500}, 1000.0 + number), flush=True)
    if number % 20 == 19:
        prune(journal, 15.0, 1000.0 + number)
        print("pruned", flush=True)
"""


def test_killed_while_pruning_it_is_whole_and_keeps_what_was_acknowledged(location: str) -> None:
    chance = random.Random(3)
    last, prunes = 0, 0
    for _ in range(6):
        pruner = subprocess.Popen(
            [sys.executable, "-c", PRUNER, location], stdout=subprocess.PIPE, text=True
        )
        assert pruner.stdout is not None
        for seen, said in enumerate(pruner.stdout):
            # Just after a twentieth record it is pruning.
            if seen > 20 + chance.randrange(3) and said.strip().isdigit():
                break
        os.kill(pruner.pid, signal.SIGKILL)
        words = [said, *pruner.stdout]
        pruner.stdout.close()
        pruner.wait()
        numbers = [int(word) for word in words if word.strip().isdigit() and word.endswith("\n")]
        found = verify(location)
        assert found.ok, found.problem
        assert found.end.seq >= max(numbers) > last
        last, prunes = found.end.seq, prunes + (found.after.seq > 0)
    assert prunes


# What still counts.


def envelope(number: int, answer: Answer, expires_s: float) -> dict[str, Any]:
    asked = Envelope(
        id=str(number), service="web", backend="a", change=Change.ROUTE, least=0.0, most=0.5,
        seen=(1, 0.5), terms="p/1", expires_s=expires_s, why="", answer=answer,
    )  # fmt: skip
    return {"envelope": pack(asked)}


SERVICES = st.sampled_from(["web", "api"])
RECORDS = st.one_of(
    st.tuples(
        st.just("mode"),
        st.builds(
            lambda service, name, who, cools: mode(name, who, **cools) | {"service": service},
            SERVICES,
            st.sampled_from([m.value for m in Mode]),
            st.sampled_from(["ann", OURSELVES]),
            st.sampled_from([{}, {"cooling_until_s": NOW_S + 1}]),
        ),
    ),
    st.tuples(
        st.sampled_from(["renew", "writer", "undone"]),
        st.builds(lambda s: {"service": s, "who": "x", "writer": "x", "until_s": NOW_S}, SERVICES),
    ),
    st.tuples(
        st.sampled_from(["stop", "abort", "resume"]), st.just({"who": "ann", "why": "drill"})
    ),
    st.tuples(
        st.just("epoch"),
        st.builds(lambda number: {"epoch": number, "leader": "me"}, st.integers(1, 9)),
    ),
    st.tuples(
        st.just("envelope"),
        st.builds(
            envelope,
            st.integers(1, 6),
            st.sampled_from(list(Answer)),
            st.sampled_from([NOW_S - 1, NOW_S + 1]),
        ),
    ),
)


def meaning(location: Path, folder: Path) -> tuple[Any, ...]:
    """All that a daemon which starts on this journal knows of modes and approvals."""
    with Journal.open(location) as journal:
        approvals = Approvals(journal, 1.0, 1.0)
        living = {e.id: e for e in approvals._envelopes.values() if e.expires_s > NOW_S}
        mandate = Mandate(journal, {}, Mode.SHADOW, folder / "stop", NOW_S)
        known = {
            name: value
            for name, value in vars(mandate).items()
            if name not in ("_journal", "configs")
        }
    return known, living, approvals._count


@settings(max_examples=20, suppress_health_check=[HealthCheck.too_slow])
@given(records=st.lists(RECORDS, min_size=2, max_size=12), cut=st.integers(2, 12))
def test_a_daemon_that_starts_after_pruning_knows_the_same(
    tmp_path_factory: pytest.TempPathFactory, records: list[tuple[str, dict[str, Any]]], cut: int
) -> None:
    folder = tmp_path_factory.mktemp("same")
    for name in ("whole.db", "pruned.db"):
        with Journal.open(folder / name) as journal:
            for kind, body in records:
                journal.append(kind, body, NOW_S - 10.0)
    with Journal.open(folder / "pruned.db") as journal:
        older = list(journal.entries())[:cut]
        with reading(journal.location) as snapshot:
            link = list(snapshot.rows())[: len(older)][-1].link
        journal.prune(Checkpoint(link, tuple(still_counting(older, NOW_S))), NOW_S)
    assert meaning(folder / "pruned.db", folder) == meaning(folder / "whole.db", folder)


HUMAN = ("mode", mode("guarded", "ann"))
DEMOTION = ("mode", mode("approve", OURSELVES))
ROLLBACK = ("mode", mode("assist", OURSELVES, cooling_until_s=NOW_S + 1))
ELSEWHERE = ("mode", mode("guarded", "ann") | {"service": "api"})
WRITER = ("writer", {"service": "web", "writer": "kubectl"})
LIMITS = ("limits", {"limits": {"service": "web"}, "recalled": True})


@pytest.mark.parametrize(
    ("records", "counting"),
    [
        ([HUMAN, HUMAN], [2]),
        ([HUMAN, ELSEWHERE], [1, 2]),
        ([ROLLBACK, HUMAN], [1, 2]),
        ([WRITER, HUMAN, DEMOTION, DEMOTION], [1, 2, 4]),
        ([LIMITS, LIMITS], [2]),
        ([("stop", {}), ("resume", {}), ("stop", {})], [2, 3]),
    ],
    ids=["a mode", "of a service", "a rollback", "an answer", "limits", "a stop"],
)
def test_what_counts_until_something_else_is_said(
    records: list[tuple[str, dict[str, Any]]], counting: list[int]
) -> None:
    older = [Entry(seq, 1.0, kind, body, "") for seq, (kind, body) in enumerate(records, 1)]
    assert [record.seq for record in still_counting(older, NOW_S)] == counting


def test_envelopes_that_are_over_are_forgotten_but_not_their_number() -> None:
    def entries() -> Iterator[tuple[int, Answer, float]]:
        yield 1, Answer.GRANTED, NOW_S - 1
        yield 2, Answer.GRANTED, NOW_S + 1
        yield 3, Answer.EXPIRED, NOW_S + 1
        yield 4, Answer.EXPIRED, NOW_S - 1

    records = [
        Entry(number, 1.0, "envelope", envelope(*story), "")
        for number, story in enumerate(entries(), 1)
    ]
    assert [record.seq for record in still_counting(records, NOW_S)] == [2, 4]


def test_a_daemon_prunes_step_by_step(
    location: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trimtab_controller.retention.STEP_RECORDS", 2)
    with Journal.open(location) as journal:
        journal.append("mode", mode("guarded", "ann"), NOW_S - 3.5 * DAY_S)
        for days in (3.2, 2.2, 1.2, 0.2):
            journal.append("recommend", {}, NOW_S - days * DAY_S)
        keeper = Keeper(journal, JournalSpec(keep_days=2.0, archive=str(tmp_path)), lambda: NOW_S)
        try:
            assert [keeper.prune() for _ in range(3)] == [True, True, False]
        finally:
            keeper.close()
        assert [entry.seq for entry in journal.entries()] == [1, 4, 5, 6, 7]
    archives = sorted(tmp_path.glob("*.jsonl"))
    assert [archive.name[:11] for archive in archives] == ["journal-1-2", "journal-3-3"]
    assert command("verify", *map(str, archives), location).exit_code == 0
    with Journal.open(location) as journal, pytest.raises(JournalError, match="make it first"):
        Keeper(journal, JournalSpec(1.0, str(tmp_path / "none")), lambda: NOW_S)
