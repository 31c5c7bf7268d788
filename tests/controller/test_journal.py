"""The journal: nothing acknowledged is lost, and nothing altered goes unnoticed."""

from __future__ import annotations

import hashlib
import json
import math
import os
import random
import shutil
import signal
import sqlite3
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trimtab_controller.journal import (
    Journal,
    JournalBusyError,
    JournalError,
    Verification,
    read,
    verify,
)

BODIES: list[dict[str, Any]] = [
    {"rate_rps": 1.5, "why": "Zürich \u2028 \ud800", "deep": {"z": [1, None, True], "a": ""}},
    {},
    {"big": 10**30, "tiny": 5e-324, "minus": -0.0},
]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.db"


@pytest.fixture
def journal(path: Path) -> Iterator[Journal]:
    with Journal.open(path) as opened:
        yield opened


def filled(path: Path, records: int = 9) -> Path:
    with Journal.open(path) as journal:
        for number in range(records):
            journal.append("tick" if number % 3 else "act", {"n": number}, 1000.0 + number)
    return path


def altered(path: Path, *statements: str) -> Verification:
    """What `verify` says after somebody who knows SQLite has been at the file."""
    database = sqlite3.connect(path)
    with database:
        for statement in statements:
            database.execute(statement)
    database.close()
    return verify(path)


# What it keeps.


def test_records_come_back_as_they_were_written(journal: Journal) -> None:
    numbers = [journal.append("tick", body, 10.0 + n) for n, body in enumerate(BODIES)]
    entries = list(journal.entries())
    assert numbers == [entry.seq for entry in entries] == [1, 2, 3]
    assert [entry.body for entry in entries] == BODIES
    assert [(entry.kind, entry.time_s) for entry in entries] == [
        ("tick", 10.0 + n) for n in range(3)
    ]
    assert len({entry.hash for entry in entries}) == 3


@pytest.mark.parametrize(
    ("wanted", "numbers"),
    [
        ({}, [1, 2, 3, 4, 5, 6, 7, 8, 9]),
        ({"kinds": ["act"]}, [1, 4, 7]),
        ({"kinds": ["act", "tick"], "after": 7}, [8, 9]),
        ({"kinds": []}, []),
        ({"kinds": ["'; DROP TABLE entries; --"]}, []),
        ({"since_s": 1007.0}, [8, 9]),
        ({"since_s": 1007.5}, [9]),
        ({"after": 8}, [9]),
        ({"kinds": {"act"}, "since_s": 1001.0, "after": 4}, [7]),
    ],
)
def test_entries_are_chosen_by_kind_time_and_number(
    path: Path, wanted: dict[str, Any], numbers: list[int]
) -> None:
    assert [entry.seq for entry in read(filled(path), **wanted)] == numbers


def test_last_is_the_newest_of_its_kind(path: Path) -> None:
    filled(path)
    with Journal.open(path) as journal:
        last = journal.last("act")
        assert last is not None
        assert (last.seq, last.body) == (7, {"n": 6})
        assert journal.last("stop") is None


def test_a_reopened_journal_goes_on_with_the_chain(path: Path) -> None:
    filled(path)
    filled(path, 3)
    assert verify(path).entries == 12
    assert verify(path).ok


@pytest.mark.parametrize(
    "body", [{"n": math.nan}, {"n": math.inf}, {"n": {1, 2}}, {"n": object()}, {(1, 2): 3}]
)
def test_what_is_not_plain_json_is_refused_and_leaves_no_trace(
    journal: Journal, body: dict[str, Any]
) -> None:
    with pytest.raises(ValueError, match="a journal record must be plain, finite JSON"):
        journal.append("tick", body, 1.0)
    assert list(journal.entries()) == []
    assert journal.append("tick", {}, 1.0) == 1


def test_a_time_that_is_no_number_is_refused_and_leaves_no_trace(journal: Journal) -> None:
    with pytest.raises(JournalError, match=r"time_s"):
        journal.append("tick", {}, math.nan)
    assert journal.append("tick", {}, 1.0) == 1
    assert verify(journal.path).ok


def test_threads_take_turns(journal: Journal) -> None:
    def write(name: str) -> None:
        for number in range(15):
            journal.append(name, {"n": number}, 1.0)

    threads = [threading.Thread(target=write, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert verify(journal.path) == Verification(60, list(journal.entries())[-1].hash)
    for name in "abcd":
        assert [entry.body["n"] for entry in journal.entries(kinds=[name])] == list(range(15))


# Who may open it.


def test_a_second_writer_is_refused_by_name(journal: Journal) -> None:
    with pytest.raises(JournalBusyError, match=f"process {os.getpid()} writes this journal"):
        Journal.open(journal.path)
    journal.append("tick", {}, 1.0)
    assert verify(journal.path).ok


def test_a_writer_in_another_process_is_refused(journal: Journal) -> None:
    code = "import sys; from trimtab_controller.journal import Journal; Journal.open(sys.argv[1])"
    other = subprocess.run(
        [sys.executable, "-c", code, str(journal.path)], capture_output=True, text=True, check=False
    )
    assert other.returncode != 0
    assert f"process {os.getpid()} writes this journal; stop that daemon first" in other.stderr


def test_closing_lets_the_next_writer_in(path: Path) -> None:
    Journal.open(path).close()
    Journal.open(path).close()


def test_readers_see_what_was_acknowledged_and_hinder_nobody(journal: Journal) -> None:
    journal.append("tick", {"n": 1}, 1.0)
    journal.append("tick", {"n": 2}, 2.0)
    reader = read(journal.path)
    assert next(reader).body == {"n": 1}
    journal.append("tick", {"n": 3}, 3.0)
    assert verify(journal.path).entries == 3
    assert [entry.body["n"] for entry in reader] == [2]
    assert len(list(read(journal.path))) == 3


def test_a_missing_journal_is_named(path: Path) -> None:
    for look in (verify, lambda path: list(read(path))):
        with pytest.raises(JournalError, match=f"{path}: no journal here"):
            look(path)


def _text(path: Path) -> None:
    path.write_text("not a database at all, but long enough to have a header" * 20)


def _foreign(path: Path) -> None:
    sqlite3.connect(path).execute("CREATE TABLE theirs (x)").connection.close()


def _newer(path: Path) -> None:
    filled(path)
    sqlite3.connect(path).execute("PRAGMA user_version = 7").connection.close()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        pytest.param(_text, "file is not a database.*move the file away", id="text"),
        pytest.param(_foreign, "not a journal of trimtab; give another path", id="other database"),
        pytest.param(_newer, "its schema is 7, this trimtab knows 1", id="other schema"),
        pytest.param(Path.mkdir, "unable to open|no journal here", id="folder"),
    ],
)
def test_other_files_are_refused_and_left_as_they_are(
    path: Path, make: Callable[[Path], None], message: str
) -> None:
    make(path)
    before = path.read_bytes() if path.is_file() else b""
    for use in (Journal.open, verify):
        with pytest.raises(JournalError, match=message):
            use(path)
    assert (path.read_bytes() if path.is_file() else b"") == before


def test_an_empty_file_becomes_a_journal(path: Path) -> None:
    path.touch()
    assert verify(filled(path)).ok


# What verify finds.


def many(examples: int) -> settings:
    """Every example writes its file anew, so the shared folder is no matter."""
    quiet = [HealthCheck.function_scoped_fixture]
    return settings(max_examples=examples, deadline=None, suppress_health_check=quiet)


def test_a_sound_journal_verifies(path: Path) -> None:
    Journal.open(path).close()
    assert verify(path) == Verification(0, "0" * 64)
    filled(path)
    assert verify(path) == Verification(9, list(read(path))[-1].hash)


@pytest.mark.parametrize(
    ("statements", "bad_seq", "problem"),
    [
        pytest.param(
            ["UPDATE entries SET body = '{\"n\":40}' WHERE seq = 5"],
            5,
            "record 5 was changed",
            id="body",
        ),
        pytest.param(
            ["UPDATE entries SET body = '{ \"n\":4}' WHERE seq = 5"],
            5,
            "record 5 was changed",
            id="a space",
        ),
        pytest.param(
            ["UPDATE entries SET kind = 'stop' WHERE seq = 1"], 1, "record 1 was changed", id="kind"
        ),
        pytest.param(
            ["UPDATE entries SET time_s = time_s + 1e-6 WHERE seq = 9"],
            9,
            "record 9 was changed",
            id="time",
        ),
        pytest.param(
            ["UPDATE entries SET hash = replace(hash, 'a', 'b') WHERE seq = 2"],
            2,
            "record 2 was changed",
            id="hash",
        ),
        pytest.param(
            ["DELETE FROM entries WHERE seq IN (4, 5)"],
            4,
            "record 4 is missing: the next is 6",
            id="hole",
        ),
        pytest.param(
            ["DELETE FROM entries WHERE seq = 1"],
            1,
            "record 1 is missing: the next is 2",
            id="first",
        ),
        pytest.param(
            ["DELETE FROM entries WHERE seq = 4", "UPDATE entries SET seq = seq - 1 WHERE seq > 4"],
            4,
            "record 4 was changed",
            id="hole closed",
        ),
        pytest.param(
            [
                "UPDATE entries SET seq = 99 WHERE seq = 5",
                "UPDATE entries SET seq = 5 WHERE seq = 6",
                "UPDATE entries SET seq = 6 WHERE seq = 99",
            ],
            5,
            "record 5 is out of order: it was written right after what is now 6",
            id="swapped",
        ),
        pytest.param(
            [
                "DELETE FROM entries WHERE seq = 7",
                "INSERT INTO entries SELECT 7, time_s, kind, body, hash FROM entries WHERE seq = 3",
            ],
            7,
            "record 7 is out of order: it was written right after what is now 2",
            id="repeated",
        ),
        pytest.param(
            ["DELETE FROM entries WHERE seq > 7"],
            8,
            "the end was cut off: records 8 to 9 are missing",
            id="cut off",
        ),
        pytest.param(
            ["DELETE FROM entries"],
            1,
            "the end was cut off: records 1 to 9 are missing",
            id="emptied",
        ),
        pytest.param(
            ["UPDATE head SET seq = 8"], None, "the head record was changed", id="head's number"
        ),
        pytest.param(["DELETE FROM head"], None, "the head record was changed", id="no head"),
        pytest.param(
            ["UPDATE head SET hash = replace(hash, 'a', 'b')"],
            None,
            "the head record was changed",
            id="head's hash",
        ),
    ],
)
def test_verify_names_the_first_bad_record(
    path: Path, statements: list[str], bad_seq: int | None, problem: str
) -> None:
    found = altered(filled(path), *statements)
    assert (found.ok, found.bad_seq, found.problem) == (False, bad_seq, problem)
    assert found.entries == (9 if bad_seq is None else bad_seq - 1)


@pytest.mark.parametrize("statement", ["DELETE FROM entries WHERE seq > 7", "DELETE FROM head"])
def test_a_journal_without_its_end_is_not_continued(path: Path, statement: str) -> None:
    altered(filled(path), statement)
    with pytest.raises(JournalError, match=r"its head names record .* `trimtab journal verify`"):
        Journal.open(path)


def bits(column: str, value: Any) -> bytearray:
    return bytearray(struct.pack(">d", value) if column == "time_s" else value)


@many(150)
@given(
    seq=st.integers(1, 9),
    column=st.sampled_from(["time_s", "kind", "body", "hash"]),
    share=st.floats(0, 1, exclude_max=True),
)
def test_any_flipped_bit_of_a_record_is_found_and_the_record_named(
    sound: Path, path: Path, seq: int, column: str, share: float
) -> None:
    shutil.copy(sound, path)
    database = sqlite3.connect(path)
    database.text_factory = bytes
    where = f"FROM entries WHERE seq = {seq}"
    flipped = bits(column, database.execute(f"SELECT {column} {where}").fetchone()[0])
    bit = int(share * len(flipped) * 8)
    flipped[bit // 8] ^= 1 << bit % 8
    value = struct.unpack(">d", flipped)[0] if column == "time_s" else bytes(flipped)
    cast = "?" if column == "time_s" else "CAST(? AS TEXT)"
    with database:
        statement = f"UPDATE entries SET {column} = {cast} WHERE seq = {seq}"  # noqa: S608 - ours
        database.execute(statement, (value,))
    database.close()
    found = verify(path)
    assert (found.ok, found.bad_seq, found.entries) == (False, seq, seq - 1)


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return filled(tmp_path_factory.mktemp("sound") / "journal.db")


@many(200)
@given(share=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_no_flipped_bit_of_the_file_changes_what_is_read_unnoticed(
    sound: Path, path: Path, share: float, bit: int
) -> None:
    """Free space and counters of SQLite may flip unseen; records may not."""
    raw = bytearray(sound.read_bytes())
    raw[int(share * len(raw))] ^= 1 << bit
    for leftover in path.parent.glob("journal.db*"):
        leftover.unlink()
    path.write_bytes(raw)
    try:
        ok = verify(path).ok
    except JournalError:
        return
    if ok:
        assert list(read(path)) == list(read(sound))


# Killed at any moment.

WRITER = """
import sys
from trimtab_controller.journal import Journal
journal = Journal.open(sys.argv[1])
print("open", flush=True)
for number in range(100_000):
    print(journal.append("tick", {"n": number, "pad": "x" * (number % 700)}, number), flush=True)
"""


def test_killed_while_writing_it_keeps_every_acknowledged_record(path: Path) -> None:
    chance = random.Random(7)
    total = 0
    for _ in range(6):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True
        )
        assert writer.stdout is not None
        stop_at = chance.randrange(1, 60)
        for line in writer.stdout:
            if line.strip() != "open" and (stop_at := stop_at - 1) <= 0:
                break
        os.kill(writer.pid, signal.SIGKILL)
        acknowledged = [int(line), *(int(rest) for rest in writer.stdout if rest.endswith("\n"))]
        writer.stdout.close()
        writer.wait()
        found = verify(path)
        assert found.ok
        assert found.entries >= acknowledged[-1] > total
        total = found.entries
    bodies = [entry.body["n"] for entry in read(path)]
    starts = [index for index, number in enumerate(bodies) if number == 0]
    assert len(starts) == 6
    assert all(number == 0 or bodies[i - 1] == number - 1 for i, number in enumerate(bodies))
    filled(path, 1)
    assert verify(path).entries == total + 1


def test_the_hash_is_what_the_manual_says(path: Path) -> None:
    """SAFETY.md: SHA-256 over the hash before it and ``[time_s,kind,body]`` as canonical JSON."""
    previous = "0" * 64
    for entry in read(filled(path)):
        record = [entry.time_s, entry.kind, entry.body]
        text = json.dumps(record, sort_keys=True, separators=(",", ":"))
        assert entry.hash == hashlib.sha256((previous + text).encode()).hexdigest()
        previous = entry.hash
