"""What only a server can do to a journal: vanish, be lent to another writer, be set up badly."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from importlib.resources import files
from pathlib import Path

import psycopg
import pytest

from trimtab_controller.journal import Journal, JournalBusyError, JournalError, read, verify

from .conftest import filled

DEMO = str(files("trimtab_controller") / "demo.yaml")


def asked(url: str, statement: str) -> str:
    """What the server says to one statement that we wrote."""
    with psycopg.connect(url, autocommit=True) as connection:
        row = connection.execute(statement).fetchone()  # type: ignore[arg-type]  # not a literal
        return str(row[0]) if row else ""


SESSION = "FROM pg_stat_activity WHERE application_name LIKE 'trimtab on %'"


def cut(url: str) -> None:
    """End the writer's session, as a restart of the server would."""
    assert asked(url, f"SELECT pg_terminate_backend(pid, 5000) {SESSION}") == "True"


def test_a_lost_connection_costs_one_record_and_is_made_anew(postgres_url: str) -> None:
    with Journal.open(postgres_url) as journal:
        journal.append("tick", {"n": 1}, 1.0)
        cut(postgres_url)
        with pytest.raises(JournalError, match=r"terminating connection[^$]*what was acknowledged"):
            journal.append("tick", {"n": 2}, 2.0)
        assert journal.append("tick", {"n": 3}, 3.0) == 2
    assert [entry.body["n"] for entry in read(postgres_url)] == [1, 3]
    assert verify(postgres_url).ok


def test_a_record_that_was_written_without_an_answer_is_kept(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Journal.open(postgres_url) as journal:
        journal.append("tick", {"n": 1}, 1.0)
        execute = psycopg.Connection.execute

        def lose_the_answer(connection: psycopg.Connection, *statement: object) -> object:
            execute(connection, *statement)
            connection.close()
            raise psycopg.OperationalError("server closed the connection unexpectedly")

        with monkeypatch.context() as patched:
            patched.setattr(psycopg.Connection, "execute", lose_the_answer)
            with pytest.raises(JournalError, match="server closed the connection"):
                journal.append("tick", {"n": 2}, 2.0)
        assert journal.append("tick", {"n": 3}, 3.0) == 3
    assert [entry.body["n"] for entry in read(postgres_url)] == [1, 2, 3]
    assert verify(postgres_url).ok


def test_who_lost_the_lock_to_another_writes_nothing_any_more(postgres_url: str) -> None:
    with Journal.open(postgres_url) as old:
        old.append("tick", {"n": 1}, 1.0)
        cut(postgres_url)
        with Journal.open(postgres_url) as new:
            new.append("tick", {"n": 2}, 2.0)
            for message in ("terminating connection", "writes this journal"):
                with pytest.raises(JournalError, match=message):
                    old.append("tick", {"n": 3}, 3.0)
        with pytest.raises(JournalError, match="someone else wrote to it; restart the daemon"):
            old.append("tick", {"n": 4}, 4.0)
    assert [entry.body["n"] for entry in read(postgres_url)] == [1, 2]
    assert verify(postgres_url).ok


def test_who_has_won_an_election_does_not_wait_for_a_writer_that_hangs(postgres_url: str) -> None:
    with Journal.open(postgres_url) as old:
        old.append("tick", {"n": 1}, 1.0)
        with Journal.open(postgres_url, evict=True) as new:
            new.append("tick", {"n": 2}, 2.0)
            for message in ("terminating connection", "writes this journal"):
                with pytest.raises(JournalError, match=message):
                    old.append("tick", {"n": 3}, 3.0)
    assert [entry.body["n"] for entry in read(postgres_url)] == [1, 2]
    assert verify(postgres_url).ok


def test_a_file_is_not_taken_from_its_writer(path: Path) -> None:
    with Journal.open(path), pytest.raises(JournalBusyError):
        Journal.open(path, evict=True)


def test_even_with_its_session_a_writer_only_follows_its_own_record(postgres_url: str) -> None:
    with Journal.open(postgres_url) as journal:
        journal.append("tick", {"n": 1}, 1.0)
        asked(postgres_url, "UPDATE trimtab.head SET seq = 9 RETURNING seq")
        with pytest.raises(JournalError, match="someone else wrote to it"):
            journal.append("tick", {"n": 2}, 2.0)
    assert len(list(read(postgres_url))) == 1


def test_every_commit_waits_for_the_disk(postgres_url: str) -> None:
    lazy = f"{postgres_url}&options=-csynchronous_commit%3Doff"
    filled(lazy, 1)
    with Journal.open(lazy) as journal:
        journal.append("tick", {}, 1.0)
        sync = "SELECT current_setting('synchronous_commit')"
        assert asked(lazy, sync) == "off"
        assert journal._store._connection.execute(sync).fetchone() == ("on",)  # type: ignore[attr-defined]


def test_a_dead_writers_lock_ends_with_it(postgres_url: str) -> None:
    code = """
import os, signal, sys
from trimtab_controller.journal import Journal
Journal.open(sys.argv[1]).append("tick", {}, 1.0)
os.kill(os.getpid(), signal.SIGKILL)
"""
    died = subprocess.run([sys.executable, "-c", code, postgres_url], check=False)
    assert died.returncode < 0
    assert verify(filled(postgres_url, 1)).entries == 2


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("UPDATE trimtab.head SET version = 7", "its schema is 7, this trimtab knows 1"),
        ("DROP TABLE trimtab.head", "its schema trimtab is no journal; give another database"),
    ],
)
def test_other_schemas_are_refused(postgres_url: str, statement: str, message: str) -> None:
    filled(postgres_url)
    with psycopg.connect(postgres_url) as connection:
        connection.execute(statement)  # type: ignore[call-overload]  # not a literal
    for use in (Journal.open, verify):
        with pytest.raises(JournalError, match=message):
            use(postgres_url)


def test_messages_name_the_server_and_no_password(postgres_url: str) -> None:
    secret = postgres_url.replace("trimtab@", "trimtab:s3cr3t@")
    with Journal.open(secret) as journal:
        assert journal.name == re.sub(r"trimtab@(.*)\?host=(.*)", r"\2\1", postgres_url)
        with pytest.raises(JournalBusyError) as busy:
            Journal.open(secret)
    nowhere = f"postgresql://trimtab:s3cr3t@/postgres?host=/nowhere-{os.getpid()}"
    with pytest.raises(JournalError, match="Check that the server runs") as gone:
        Journal.open(nowhere)
    assert "s3cr3t" not in f"{busy.value} {gone.value}"


DAEMON = [sys.executable, "-m", "trimtab_controller.daemon", "--config", DEMO]


def start(folder: Path, url: str) -> subprocess.Popen[str]:
    """A daemon without a stage, which records that it sees none; returns when it listens."""
    arguments = ["--journal", url, "--listen", f"unix:{folder}/d.sock"]
    arguments += ["--stage-socket", f"{folder}/s.sock"]
    daemon = subprocess.Popen(
        [*DAEMON, *arguments], cwd=folder, stderr=subprocess.PIPE, text=True, bufsize=1
    )
    assert daemon.stderr is not None
    said = ""
    for line in daemon.stderr:
        said += line
        if "listening at" in line:
            break
    assert "; journal postgresql://" in said
    assert "s3cr3t" not in said
    return daemon


def wait_for(url: str, kind: str, after: int = 0) -> int:
    """The number of the next record of a kind."""
    deadline_s = time.monotonic() + 30.0
    while time.monotonic() < deadline_s:
        for entry in read(url, kinds=[kind], after=after):
            return entry.seq
        time.sleep(0.05)
    raise AssertionError(f"no {kind} was recorded")


def test_a_daemon_lives_on_a_server_alone_and_goes_on_after_a_kill(
    postgres_url: str, tmp_path: Path
) -> None:
    url = postgres_url.replace("trimtab@", "trimtab:s3cr3t@")
    daemon = start(tmp_path, url)
    try:
        seen = wait_for(postgres_url, "tick")
        second = subprocess.run(
            [*DAEMON, "--journal", url], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert second.returncode == 1
        assert f"process {daemon.pid} writes this journal; stop that daemon" in second.stderr
        daemon.kill()
        daemon.wait()
        daemon = start(tmp_path, url)
        seen = wait_for(postgres_url, "tick", after=wait_for(postgres_url, "limits", after=seen))
        (tmp_path / "trimtab.stop").touch()
        wait_for(postgres_url, "stop", after=seen)
    finally:
        daemon.kill()
        daemon.communicate()
    assert verify(postgres_url).ok
