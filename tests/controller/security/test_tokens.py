"""Tokens: made once, kept as hashes, taken back while the daemon runs, and nowhere to be read."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st

from trimtab_controller.cli import main
from trimtab_controller.security.roles import Role
from trimtab_controller.security.tokens import (
    Token,
    Tokens,
    UnknownTokenError,
    changing,
    issue,
    kept,
)
from trimtab_proto.v1 import controller_pb2 as pb
from trimtab_sim.schema import ConfigError

House = Any  # the class in conftest.py, which cannot be imported from here
Code = grpc.StatusCode
NOW_S = 1_800_000_000.0
PENDING = pb.ListPendingRequest()


def made(file: Path, name: str = "ann", expires_s: float = NOW_S + 60.0) -> tuple[str, Token]:
    text, token = issue(name, Role.VIEWER, ("web",), expires_s, NOW_S)
    with changing(file) as tokens:
        tokens.append(token)
    return text, token


def refusal(tokens: Tokens, text: str, now_s: float = NOW_S) -> str:
    with pytest.raises(UnknownTokenError) as refused:
        tokens.find(text, now_s)
    return str(refused.value)


def test_a_token_is_found_until_it_expires(tmp_path: Path) -> None:
    file = tmp_path / "tokens.yaml"
    text, token = made(file)
    tokens = Tokens(file)
    assert tokens.find(text, NOW_S + 59.9) == token
    assert refusal(tokens, text, NOW_S + 60.0) == (
        f"token {token.id} of ann has expired: make a new one"
    )


@settings(max_examples=30)
@given(at=st.integers(0, 81), by=st.characters(codec="ascii"))
def test_no_other_text_is_that_token(
    tmp_path_factory: pytest.TempPathFactory, at: int, by: str
) -> None:
    file = tmp_path_factory.mktemp("tokens") / "tokens.yaml"
    text, token = made(file)
    other = text[:at] + by + text[at + 1 :]
    if other != text:
        assert refusal(Tokens(file), other).startswith(
            ("this is not", f"token {other[8:16]} is not")
        )
    assert Tokens(file).find(text, NOW_S) == token


def test_only_its_hash_is_kept_and_only_for_its_owner(tmp_path: Path) -> None:
    file = tmp_path / "tokens.yaml"
    text, _ = made(file)
    assert text.rpartition("_")[2] not in file.read_text()
    assert file.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [file]


def test_a_file_that_is_there_keeps_owner_and_mode(tmp_path: Path) -> None:
    """The daemon may read it as its group, or be another user than who makes tokens."""
    file = tmp_path / "tokens.yaml"
    made(file)
    file.chmod(0o640)
    if os.geteuid() == 0:
        os.chown(file, 12345, 54321)
    before = file.stat()
    made(file, "bob")
    after = file.stat()
    assert len(kept(file)) == 2
    assert (after.st_mode & 0o777, after.st_uid, after.st_gid) == (
        0o640, before.st_uid, before.st_gid,
    )  # fmt: skip


def test_tokens_do_not_repeat(tmp_path: Path) -> None:
    assert len({issue("ann", Role.ADMIN, (), NOW_S, NOW_S)[0] for _ in range(1000)}) == 1000


def test_two_who_change_the_file_at_once_lose_nothing(tmp_path: Path) -> None:
    file = tmp_path / "tokens.yaml"
    program = (
        "import sys; from pathlib import Path\n"
        "from trimtab_controller.security.roles import Role\n"
        "from trimtab_controller.security.tokens import changing, issue\n"
        "for number in range(20):\n"
        "    with changing(Path(sys.argv[1])) as tokens:\n"
        "        tokens.append(issue('ann', Role.ADMIN, (), 1e10, 0.0)[1])\n"
    )
    both = [subprocess.Popen([sys.executable, "-c", program, str(file)]) for _ in range(2)]
    assert [each.wait(60.0) for each in both] == [0, 0]
    assert len(kept(file)) == 40


def gone(file: Path) -> None:
    file.unlink()


def torn(file: Path) -> None:
    file.write_text("tokens: [{id")


def open_to_all(file: Path) -> None:
    file.chmod(0o666)


@pytest.mark.parametrize("spoil", [gone, torn, open_to_all])
def test_a_file_that_cannot_be_trusted_grants_nothing(
    tmp_path: Path, spoil: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "tokens.yaml"
    text, _ = made(file)
    tokens = Tokens(file)
    tokens.find(text, NOW_S)
    spoil(file)
    for _ in range(2):
        refusal(tokens, text)
    told = [r for r in caplog.records if "no token is accepted until" in r.getMessage()]
    assert len(told) == 1
    assert str(file) in told[0].getMessage()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("tokens: []", "tokens.yaml:1: tokens: must be a list with at", id="empty"),
        pytest.param("tokens: [{id: a}]", "'name' is missing", id="incomplete"),
        pytest.param(
            "tokens: [{id: abcdef12, name: a, role: admin, sha256: ä, created_s: 0, expires_s: 9}]",
            "sha256 'ä': must be 64",
            id="hash",
        ),
        pytest.param("token: 1", "unknown key: did you mean 'tokens'", id="key"),
    ],
)
def test_what_is_wrong_in_the_file_is_named(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "tokens.yaml"
    file.write_text(text)
    file.chmod(0o600)
    with pytest.raises(ConfigError, match=message):
        kept(file)


def test_a_running_daemon_goes_by_the_file_at_once(house: House) -> None:
    house.serve()
    ann = house.stub(house.token("ann", Role.VIEWER))
    watch = ann.WatchDecisions(pb.WatchDecisionsRequest(), timeout=10.0)
    next(watch)
    ann.ListPending(PENDING, timeout=5.0)
    house.revoke("ann")
    with pytest.raises(grpc.RpcError) as refused:
        ann.ListPending(PENDING, timeout=5.0)
    assert refused.value.code() is Code.UNAUTHENTICATED
    # What was open is closed before the next message.
    house.world.tick()
    with pytest.raises(grpc.RpcError) as closed:
        next(watch)
    assert closed.value.code() is Code.UNAUTHENTICATED


def test_an_open_stream_ends_when_its_token_does(house: House) -> None:
    house.serve()
    token = house.token("ann", Role.VIEWER, days=1.0)
    watch = house.stub(token).WatchDecisions(pb.WatchDecisionsRequest(), timeout=10.0)
    next(watch)
    house.world.clock.now_s += 2 * 86_400.0
    house.world.tick()
    with pytest.raises(grpc.RpcError) as closed:
        next(watch)
    assert "has expired" in str(closed.value.details())


def test_no_secret_is_in_journal_log_or_answers(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    token = house.token("ann", Role.VIEWER)
    wrong = token[:-4] + "beef"
    house.serve()
    answers = []
    for shown in (token, wrong, f"Bearer {token}"):
        with pytest.raises(grpc.RpcError) as refused:
            house.stub(shown).Resume(pb.ResumeRequest(), timeout=5.0)
        answers.append(f"{refused.value.details()} {refused.value.trailing_metadata()}")
    journal = [str(entry.body) for entry in house.world.journal.entries()]
    told = "\n".join([*answers, *journal, *(record.getMessage() for record in caplog.records)])
    assert "ann is viewer" in told
    assert token.rpartition("_")[2][:32] not in told


@pytest.fixture
def folder(house: House, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a configuration that names a file of tokens."""
    house.tokens.unlink()
    file = house.folder / "trimtab.yaml"
    file.write_text(file.read_text() + "security: {tokens: tokens.yaml}\n")
    monkeypatch.chdir(house.folder)
    return Path(house.folder)


def trimtab(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["token", *arguments])


def test_create_list_and_revoke(folder: Path) -> None:
    created = trimtab("create", "ann", "--role", "approver", "--service", "web", "--days", "2")
    token = created.stdout.strip()
    (known,) = kept(folder / "tokens.yaml")
    assert token.startswith(f"trimtab_{known.id}_")
    assert (known.name, known.role, known.services) == ("ann", Role.APPROVER, ("web",))
    assert known.expires_s - known.created_s == 2 * 86_400.0
    listed = trimtab("list").stdout
    assert f"{known.id}  ann" in listed
    assert token not in listed
    assert trimtab("revoke", known.id).exit_code == 0
    assert kept(folder / "tokens.yaml") == ()
    assert trimtab("list").stdout == ""


def test_output_is_a_new_file_for_its_owner_alone(folder: Path) -> None:
    arguments = ("create", "ann", "--role", "viewer", "--output", "ann.token")
    assert trimtab(*arguments).stdout == ""
    assert (folder / "ann.token").stat().st_mode & 0o777 == 0o600
    assert (folder / "ann.token").read_text().startswith("trimtab_")
    again = trimtab(*arguments)
    assert "ann.token: File exists" in again.output
    assert len(kept(folder / "tokens.yaml")) == 1


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("create", "ann"), "Missing option '--role'"),
        (("create", "ann", "--role", "boss"), "'boss' is not one of 'viewer', 'operator'"),
        (("create", "a b", "--role", "viewer"), "name 'a b': use up to 80 letters"),
        (("create", "ann", "--role", "viewer", "--service", "api"), "configuration has web"),
        (("create", "ann", "--role", "viewer", "--days", "0"), "0.0 is not in the range"),
        (("list",), "make its first token with `trimtab token create"),
        (("list", "--config", "none.yaml"), "none.yaml: No such file"),
        (("revoke", "12345678"), "no token 12345678: see `trimtab token list`"),
    ],
)
def test_mistakes(folder: Path, arguments: tuple[str, ...], says: str) -> None:
    result = trimtab(*arguments)
    assert result.exit_code != 0
    assert says in result.output


def test_a_configuration_without_a_file_for_tokens(folder: Path) -> None:
    file = folder / "trimtab.yaml"
    file.write_text(file.read_text().replace("security:", "#"))
    assert "add security: {tokens: tokens.yaml}" in trimtab("list").output
