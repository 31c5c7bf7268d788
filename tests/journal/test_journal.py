"""The journal: nothing acknowledged is lost, and nothing altered goes unnoticed."""

from __future__ import annotations

import hashlib
import json
import math
import os
import random
import re
import signal
import sqlite3
import struct
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import closing, suppress
from itertools import product
from pathlib import Path
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from trimtab_controller.journal import (
    Journal,
    JournalBusyError,
    JournalError,
    Verification,
    is_url,
    read,
    verify,
)

from .conftest import filled, hands_on

BODIES: list[dict[str, Any]] = [
    {"rate_rps": 1.5, "why": "Zürich \u2028 \ud800", "deep": {"z": [1, None, True], "a": ""}},
    {},
    {"big": 10**30, "tiny": 5e-324, "minus": -0.0},
]


def altered(location: str, *statements: str) -> Verification:
    """What `verify` says after somebody who owns the store has been at it."""
    with hands_on(location) as execute:
        for statement in statements:
            execute(statement)
    return verify(location)


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
    location: str, wanted: dict[str, Any], numbers: list[int]
) -> None:
    assert [entry.seq for entry in read(filled(location), **wanted)] == numbers


def test_last_is_the_newest_of_its_kind(location: str) -> None:
    filled(location)
    with Journal.open(location) as journal:
        last = journal.last("act")
        assert last is not None
        assert (last.seq, last.body) == (7, {"n": 6})
        assert journal.last("stop") is None


def test_a_reopened_journal_goes_on_with_the_chain(location: str) -> None:
    filled(location)
    filled(location, 3)
    assert verify(location).entries == 12
    assert verify(location).ok


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
    with pytest.raises(ValueError, match="a journal record needs a finite time, and time_s is nan"):
        journal.append("tick", {}, math.nan)
    assert journal.append("tick", {}, 1.0) == 1
    assert verify(journal.location).ok


def test_threads_take_turns(journal: Journal) -> None:
    def write(name: str) -> None:
        for number in range(15):
            journal.append(name, {"n": number}, 1.0)

    threads = [threading.Thread(target=write, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert verify(journal.location) == Verification(60, list(journal.entries())[-1].hash)
    for name in "abcd":
        assert [entry.body["n"] for entry in journal.entries(kinds=[name])] == list(range(15))


# Who may open it.


def test_a_second_writer_is_refused_by_name(journal: Journal) -> None:
    with pytest.raises(JournalBusyError, match=f"process {os.getpid()} writes this journal"):
        Journal.open(journal.location)
    journal.append("tick", {}, 1.0)
    assert verify(journal.location).ok


def test_a_writer_in_another_process_is_refused(journal: Journal) -> None:
    code = "import sys; from trimtab_controller.journal import Journal; Journal.open(sys.argv[1])"
    other = subprocess.run(
        [sys.executable, "-c", code, str(journal.location)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert other.returncode != 0
    assert f"process {os.getpid()} writes this journal; stop that daemon first" in other.stderr


def test_closing_lets_the_next_writer_in(location: str) -> None:
    Journal.open(location).close()
    Journal.open(location).close()


def test_readers_see_what_was_acknowledged_and_hinder_nobody(journal: Journal) -> None:
    journal.append("tick", {"n": 1}, 1.0)
    journal.append("tick", {"n": 2}, 2.0)
    reader = read(journal.location)
    assert next(reader).body == {"n": 1}
    journal.append("tick", {"n": 3}, 3.0)
    assert verify(journal.location).entries == 3
    assert [entry.body["n"] for entry in reader] == [2]
    assert len(list(read(journal.location))) == 3


def test_a_missing_journal_is_named(location: str) -> None:
    for look in (verify, lambda location: list(read(location))):
        with pytest.raises(JournalError, match="no journal here; the daemon creates one"):
            look(location)


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
        pytest.param(Path.mkdir, "is a folder; give|no journal here", id="folder"),
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


@pytest.mark.parametrize(
    "statement",
    ["UPDATE entries SET kind = 'stop' WHERE seq = 2", "DELETE FROM entries", "TRUNCATE entries"],
)
def test_the_schema_itself_lets_a_journal_only_grow(location: str, statement: str) -> None:
    filled(location)
    with pytest.raises((sqlite3.Error, psycopg.Error), match=r"a journal only grows|syntax error"):
        ask(location, statement)
    assert verify(location).entries == 9


def ask(location: str, statement: str) -> Any:
    """One statement by somebody who does not know about triggers."""
    if is_url(location):
        with psycopg.connect(location, options="-csearch_path=trimtab") as server:
            return server.execute(statement).fetchone()
    with closing(sqlite3.connect(location, isolation_level=None)) as database:
        return database.execute(statement).fetchone()


# What verify finds.


def many(examples: int) -> settings:
    """Every example writes its file anew, so the shared folder is no matter."""
    quiet = [HealthCheck.function_scoped_fixture]
    return settings(max_examples=examples, suppress_health_check=quiet)


def test_a_sound_journal_verifies(location: str) -> None:
    Journal.open(location).close()
    assert verify(location) == Verification(0, "0" * 64)
    filled(location)
    assert verify(location) == Verification(9, list(read(location))[-1].hash)


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
    location: str, statements: list[str], bad_seq: int | None, problem: str
) -> None:
    found = altered(filled(location), *statements)
    assert (found.ok, found.bad_seq, found.problem) == (False, bad_seq, problem)
    assert found.entries == (9 if bad_seq is None else bad_seq - 1)


@pytest.mark.parametrize("statement", ["DELETE FROM entries WHERE seq > 7", "DELETE FROM head"])
def test_a_journal_without_its_end_is_not_continued(location: str, statement: str) -> None:
    altered(filled(location), statement)
    with pytest.raises(JournalError, match=r"its head names record .* `trimtab journal verify`"):
        Journal.open(location)


def flipped(value: Any, share: float) -> Any:
    """A stored number or text with the bit flipped that lies at this share of its length."""
    raw = bytearray(struct.pack(">d", value) if isinstance(value, float) else value.encode())
    bit = int(share * len(raw) * 8)
    raw[bit // 8] ^= 1 << bit % 8
    return struct.unpack(">d", raw)[0] if isinstance(value, float) else bytes(raw)


@many(100)
@given(
    seq=st.integers(1, 9),
    column=st.sampled_from(["time_s", "kind", "body", "hash"]),
    share=st.floats(0, 1, exclude_max=True),
)
def test_any_flipped_bit_of_a_record_is_found_and_the_record_named(
    nine: str, seq: int, column: str, share: float
) -> None:
    mark = "%s" if is_url(nine) else "?"
    change = f"UPDATE entries SET {column} = {mark} WHERE seq = {seq}"  # noqa: S608 - ours
    with hands_on(nine) as execute:
        where = f"FROM entries WHERE seq = {seq}"
        before = execute(f"SELECT {column} {where}").fetchone()[0]
        after = flipped(before, share)
        if isinstance(after, bytes) and is_url(nine):
            # A server that is asked in SQL takes no text that is none.
            assume(after.isascii() and 0 not in after)
            after = after.decode()
        elif isinstance(after, bytes):
            change = change.replace("?", "CAST(? AS TEXT)")
        execute(change, (after,))
        found = verify(nine)
        execute(change, (before,))
    assert (found.ok, found.bad_seq, found.entries) == (False, seq, seq - 1)
    assert verify(nine).ok


@pytest.fixture
def nine(location: str) -> str:
    return filled(location)


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


def test_no_flipped_bit_around_the_head_ends_in_anything_but_a_verdict(
    sound: Path, path: Path
) -> None:
    """SQLite keeps the type of every column before it: the head's number may come back as none."""
    raw = sound.read_bytes()
    places = [found.start() for found in re.finditer(verify(sound).head.encode(), raw)]
    for place, back, bit in product(places, range(1, 13), range(8)):
        flipped_file = bytearray(raw)
        flipped_file[place - back] ^= 1 << bit
        for leftover in path.parent.glob("journal.db*"):
            leftover.unlink()
        path.write_bytes(flipped_file)
        with suppress(JournalError):
            assert not verify(path).ok or list(read(path)) == list(read(sound))


# Killed at any moment.

WRITER = """
import sys
from trimtab_controller.journal import Journal
journal = Journal.open(sys.argv[1])
print("open", flush=True)
for number in range(100_000):
    print(journal.append("tick", {"n": number, "pad": "x" * (number % 700)}, number), flush=True)
"""


def test_killed_while_writing_it_keeps_every_acknowledged_record(location: str) -> None:
    chance = random.Random(7)
    total = 0
    for _ in range(6):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(location)], stdout=subprocess.PIPE, text=True
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
        found = verify(location)
        assert found.ok
        assert found.entries >= acknowledged[-1] > total
        total = found.entries
    bodies = [entry.body["n"] for entry in read(location)]
    starts = [index for index, number in enumerate(bodies) if number == 0]
    assert len(starts) == 6
    assert all(number == 0 or bodies[i - 1] == number - 1 for i, number in enumerate(bodies))
    filled(location, 1)
    assert verify(location).entries == total + 1


def test_the_hash_is_what_the_manual_says(location: str) -> None:
    """SAFETY.md: SHA-256 over the hash before it and ``[time_s,kind,body]`` as canonical JSON."""
    previous = "0" * 64
    for entry in read(filled(location)):
        record = [entry.time_s, entry.kind, entry.body]
        text = json.dumps(record, sort_keys=True, separators=(",", ":"))
        assert entry.hash == hashlib.sha256((previous + text).encode()).hexdigest()
        previous = entry.hash
