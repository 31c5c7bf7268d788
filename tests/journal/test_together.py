"""Records that are written together: one sync, all or none, and the chain of single ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from trimtab_controller.journal import Journal, Location, read, verify


@pytest.fixture(params=["file", "postgres"])
def where(request: pytest.FixtureRequest, tmp_path: Path) -> Location:
    if request.param == "file":
        return tmp_path / "journal.db"
    url: str = request.getfixturevalue("postgres_url")
    return url


def test_records_written_together_follow_each_other(where: Location) -> None:
    with Journal.open(where) as journal:
        journal.append("act", {"n": 0}, 1.0)
        journal.append_all([], 1.5)
        journal.append_all([("tick", {"n": 1}), ("act", {"n": 2})], 2.0)
        assert journal.append("act", {"n": 3}, 3.0) == 4
    found = [(e.seq, e.kind, e.time_s, e.body["n"]) for e in read(where)]
    assert found == [
        (1, "act", 1.0, 0),
        (2, "tick", 2.0, 1),
        (3, "act", 2.0, 2),
        (4, "act", 3.0, 3),
    ]
    assert verify(where).ok


def test_one_that_is_no_record_keeps_the_others_out(where: Location) -> None:
    with Journal.open(where) as journal:
        with pytest.raises(ValueError, match="plain, finite JSON"):
            journal.append_all([("tick", {"n": 1}), ("act", {"n": float("nan")})], 2.0)
        assert journal.append("act", {"n": 2}, 3.0) == 1
    assert verify(where).entries == 1
