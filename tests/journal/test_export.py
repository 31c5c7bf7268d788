"""Exports: the same records, in text that proves itself like the journal that it came from."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st

from trimtab_controller.cli import main
from trimtab_controller.journal import (
    Journal,
    JournalError,
    Verification,
    lines,
    read,
    reading,
    verify,
)
from trimtab_controller.journal.chain import GENESIS, Link

from .conftest import filled, hands_on


def cli(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["journal", *arguments])


def exported(location: str, export: Path, since_s: float | None = None) -> Path:
    with reading(location) as snapshot:
        export.write_text("".join(lines(snapshot, since_s)))
    return export


@pytest.fixture
def export(tmp_path: Path) -> Path:
    return tmp_path / "journal.jsonl"


def test_an_export_has_every_record_and_proves_it(location: str, export: Path) -> None:
    with Journal.open(filled(location)) as journal:
        journal.append("odd", {"why": 'Zürich \u2028 \ud800 "', "n": [-0.0, 5e-324, 10**30]}, 0.1)
    exported(location, export)
    assert list(read(export)) == list(read(location))
    assert verify(export) == verify(location)
    header, *records = map(json.loads, export.read_text().splitlines())
    assert header["head"] == [10, records[-1]["hash"]]
    assert [record["seq"] for record in records] == list(range(1, 11))
    assert records[3] == {
        "seq": 4,
        "time_s": 1003.0,
        "kind": "act",
        "body": {"n": 3},
        "hash": records[3]["hash"],
    }


def test_a_body_is_exported_letter_by_letter(location: str, export: Path) -> None:
    """Ticks are written by another encoder, which writes small numbers in its own way."""
    with Journal.open(filled(location)) as journal:
        journal.append_text("tick", '{"services":[[1e-7,1.0E5]]}', 0.1)
    exported(location, export)
    assert list(read(export)) == list(read(location))
    assert verify(export) == verify(location)


@pytest.mark.parametrize(
    ("since_s", "numbers"),
    [(None, range(1, 10)), (1000.0, range(1, 10)), (1006.5, range(8, 10)), (1009.0, range(0))],
)
def test_a_part_proves_that_it_is_one(
    location: str, export: Path, since_s: float | None, numbers: range
) -> None:
    whole = verify(filled(location))
    exported(location, export, since_s)
    assert [entry.seq for entry in read(export)] == list(numbers)
    before = [GENESIS, *(Link(entry.seq, entry.hash) for entry in read(location))]
    after = before[numbers[0] - 1 if numbers else 9]
    assert verify(export) == Verification(len(numbers), whole.head, after=after)
    again = exported(str(export), export.with_suffix(".again"), since_s)
    assert again.read_text() == export.read_text()


def test_records_of_an_export_are_chosen_like_those_of_a_journal(
    location: str, export: Path
) -> None:
    exported(filled(location), export)
    for chosen in ({"kinds": ["act"]}, {"since_s": 1003.0}, {"kinds": {"tick"}, "after": 5}):
        assert list(read(export, **chosen)) == list(read(location, **chosen))  # type: ignore[arg-type]
    with reading(export) as copy, reading(location) as original:
        assert copy.last("act") == original.last("act")
        assert copy.last("stop") is None


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sound")
    with Journal.open(filled(folder / "journal.db", 5)) as journal:
        journal.append("tick", {"small": 1.5e-7, "why": "\u00fc"}, 1e-7)
    return exported(str(folder / "journal.db"), folder / "journal.jsonl")


@settings(max_examples=400)
@given(share=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_any_flipped_bit_of_an_export_is_found(sound: Path, share: float, bit: int) -> None:
    raw = bytearray(sound.read_bytes())
    at = int(share * len(raw))
    raw[at] ^= 1 << bit
    broken = sound.with_name("broken.jsonl")
    broken.write_bytes(raw)
    line = sound.read_bytes()[:at].count(b"\n")
    try:
        found = verify(broken)
    except JournalError:
        assert line == 0
    else:
        assert not found.ok
        if line:
            assert found.bad_seq == line


@pytest.mark.parametrize(
    ("cut", "problem"),
    [
        (slice(0, -1), "the end was cut off: records 5 to 5 are missing"),
        (slice(0, 1), "the end was cut off: records 1 to 5 are missing"),
        ([0, 1, 3, 2, 4, 5], "record 2 is missing: the next is 3"),
    ],
)
def test_lines_that_are_gone_or_moved_are_missed(
    path: Path, export: Path, cut: slice | list[int], problem: str
) -> None:
    texts = exported(str(filled(path, 5)), export).read_text().splitlines(keepends=True)
    kept = texts[cut] if isinstance(cut, slice) else [texts[at] for at in cut]
    export.write_text("".join(kept))
    assert verify(export).problem == problem


@pytest.mark.parametrize("text", ["{}\n", "{", '{"after":[0],"head":3}\n', '{"trimtab_journal":2}'])
def test_other_json_is_refused(export: Path, text: str) -> None:
    export.write_text(text)
    with pytest.raises(JournalError, match=r"not that of an exported journal.*export the journal"):
        verify(export)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE entries SET body = '{\"n\":40}' WHERE seq = 5",
        "DELETE FROM entries WHERE seq = 5",
        "DELETE FROM entries WHERE seq >= 5",
    ],
)
@pytest.mark.parametrize("since_s", [None, 1002.0])
def test_a_broken_journal_is_not_exported(
    location: str, export: Path, statement: str, since_s: float | None
) -> None:
    with hands_on(filled(location)) as execute:
        execute(statement)
    with pytest.raises(JournalError, match="record 5 is not what was written"):
        exported(location, export, since_s)


# The commands.


def test_the_command_writes_to_a_file_or_to_standard_output(path: Path, export: Path) -> None:
    filled(path)
    assert cli("export", str(path), "--output", str(export)).exit_code == 0
    assert cli("export", str(path)).output == export.read_text()
    checked = cli("verify", str(export))
    assert checked.exit_code == 0
    assert f"9 records, the chain is whole, head {verify(path).head}" in checked.output
    assert list(export.parent.glob("*.jsonl*")) == [export]


def test_a_part_is_verified_as_one(path: Path, export: Path) -> None:
    filled(path)
    since = datetime.fromtimestamp(1005, UTC).isoformat()
    cli("export", str(path), "--since", since, "--output", str(export))
    assert "4 records after record 5, the chain is whole" in cli("verify", str(export)).output


def test_a_broken_journal_leaves_no_file_behind(path: Path, export: Path) -> None:
    with hands_on(filled(path)) as execute:
        execute("UPDATE entries SET kind = 'x' WHERE seq = 2")
    found = cli("export", str(path), "--output", str(export))
    assert found.exit_code == 1
    assert "record 2 is not what was written" in found.output
    assert list(path.parent.glob("*.jsonl*")) == []


def test_a_folder_that_is_not_there_is_named(path: Path) -> None:
    found = cli("export", str(filled(path)), "--output", str(path.parent / "no" / "x.jsonl"))
    assert found.exit_code == 1
    assert "no/x.jsonl: No such file or directory" in found.output


@pytest.mark.parametrize("text", ["yesterday", "5w", "-3h", "99999999999d", "2027-13-01", ""])
def test_a_time_that_is_none_is_explained(path: Path, text: str) -> None:
    found = cli("export", str(filled(path)), f"--since={text}")
    assert found.exit_code == 2
    assert "write 2027-01-15T08:00, 90m, 24h or 7d" in found.output


@pytest.mark.parametrize("text", ["90m", "24h", "7d"])
def test_a_time_ago_is_counted_from_now(path: Path, text: str) -> None:
    week_s, now_s = 604800, datetime.now(UTC).timestamp()
    with Journal.open(path) as journal:
        for age_s in (week_s + 60, 86400 + 60, 5400 + 60, 0):
            journal.append("tick", {}, now_s - age_s)
    header, *records = cli("export", str(path), "--since", text).output.splitlines()
    assert len(records) == ["90m", "24h", "7d"].index(text) + 1
    assert json.loads(header)["after"][0] == 4 - len(records)


def test_commands_take_a_server(postgres_url: str, export: Path) -> None:
    filled(postgres_url)
    assert cli("export", postgres_url, "--output", str(export)).exit_code == 0
    assert list(read(export)) == list(read(postgres_url))
    assert "9 records, the chain is whole" in cli("verify", postgres_url).output
    assert cli("replay", postgres_url).exit_code == 1  # its records are not those of a daemon
