"""Every mistake of a user is answered by one line that says what, where and what to do."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from trimtab_controller.cli import main
from trimtab_controller.up.attendant import Backoff
from trimtab_controller.up.folder import FolderError, claim, set_aside

HEADER = "seconds,requests_per_second\n"


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Run in an empty folder, where no demonstration is."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TRIMTAB_ADDRESS", raising=False)
    return tmp_path


def trimtab(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)


def refusal(*arguments: str) -> tuple[int, str]:
    """Exit code and the one line of the error."""
    result = trimtab(*arguments)
    assert isinstance(result.exception, SystemExit)
    errors = [line for line in result.output.splitlines() if line.startswith("Error: ")]
    assert len(errors) == 1
    assert result.output.splitlines()[-1] == errors[0]
    return result.exit_code, errors[0]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "trace.csv: cannot be read"),
        (b"\xff\xfe\x00", "trace.csv: cannot be read"),
        (b"", "trace.csv:1: is empty"),
        (b"time,rps\n0,1\n", "trace.csv:1: header"),
        (HEADER.encode(), "trace.csv:1: needs two rows"),
        (b"0,1\n60,2\n30,3\n", "trace.csv:4: time goes from 60 to 30"),
        (b"60,1\n0,2\n", "trace.csv:3: time does not increase"),
        (b"0,1\n60,-2\n", "trace.csv:3: the rate -2 is negative"),
        (b"0,1\n60,nan\n", "trace.csv:3: '60,nan' is not finite"),
        (b"0,1\n60,inf\n", "trace.csv:3: '60,inf' is not finite"),
        (b"0,1\n60,many\n", "trace.csv:3: expected two numbers"),
        (b"0,0\n60,0\n", "trace holds no request"),
    ],
    ids=[
        "missing", "binary", "empty", "header", "no-rows", "unsorted", "backwards", "negative",
        "nan", "infinite", "text", "all-zero",
    ],
)  # fmt: skip
def test_a_bad_trace_is_refused_with_its_line(content: bytes | None, says: str) -> None:
    if content is not None:
        rows = content[:1].isdigit()
        Path("trace.csv").write_bytes(HEADER.encode() + content if rows else content)
    code, error = refusal("up", "--trace", "trace.csv")
    assert code == 2
    assert says in error
    assert not Path(".run").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["up", "--mode", "yolo"], 2, "'yolo' is not one of 'shadow', 'approve'"),
        (["up", "--speed", "0"], 2, "--speed"),
        (["up", "--speed", "nan"], 2, "not a finite number"),
        (["up", "--seconds", "inf"], 2, "not a finite number"),
        (["up", "--port", "70000"], 2, "--port"),
        (["up", "--policy", "nowhere"], 2, "'nowhere' does not exist"),
        (["up", "--policy", "."], 2, "policy.onnx: cannot be read"),
        (["up", "--json", "no/such/out.json"], 2, "no/such/out.json: its folder"),
        (["up", "--speed", "1e9"], 2, "not in the range"),
        (["stop"], 1, "start it with `trimtab up`"),
        (
            ["pending", "--address", "unix:/nowhere.sock"],
            1,
            "nothing answers at unix:/nowhere.sock",
        ),
        (["mode", "web", "bold"], 2, "'bold' is not one of"),
        (["record", "web.csv", "--step", "nan"], 2, "not a finite number"),
        (["record", "web.csv", "--since", "3h"], 2, "--since goes only with --queries"),
        (["record", "web.csv", "--queries", "no.yaml"], 2, "'no.yaml' does not exist"),
        (
            ["record", "web.csv", "--queries", __file__, "--step", "2"],
            2,
            "--step goes only without",
        ),
        (["record", __file__, "--queries", __file__], 1, "test_cli.py: is there already"),
        (["journal", "verify"], 1, ".run/journal.db: there is no journal"),
        (["journal", "verify", __file__], 1, "test_cli.py"),
        (["fly"], 2, "No such command 'fly'"),
    ],
    ids=lambda value: " ".join(value[:4]) if isinstance(value, list) else "",
)
def test_mistakes(arguments: list[str], code: int, says: str) -> None:
    assert refusal(*arguments)[0] == code
    assert says in refusal(*arguments)[1]


def test_a_busy_port_is_named_before_anything_starts() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, error = refusal("up", "--port", str(port))
    assert code == 2
    assert f"port {port} on 127.0.0.1 cannot be used" in error
    assert "--port 0" in error
    assert not Path(".run").exists()


def test_one_demonstration_per_folder() -> None:
    with claim(Path(".run")):
        code, error = refusal("up", "--port", "0")
    assert code == 2
    assert "runs here already" in error


def test_a_missing_library_names_the_command_that_installs_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    for loaded in [name for name in sys.modules if name.startswith("trimtab_agents.training")]:
        monkeypatch.delitem(sys.modules, loaded)
    code, error = refusal("train", "--preset", "smoke", "--dir", "out")
    assert code == 1
    assert "needs torch" in error
    assert "pip install 'trimtab[train]'" in error


def test_help_lists_every_command_and_loads_no_training_library() -> None:
    program = (
        "import sys; from trimtab_controller.cli import main\n"
        "main(['--help'], standalone_mode=False)\n"
        "print(sorted({'torch', 'stable_baselines3', 'onnxruntime'} & set(sys.modules)))"
    )
    command = [sys.executable, "-c", program]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert out.endswith("[]\n")
    assert isinstance(main, click.Group)
    assert "..." not in out.partition("Commands:")[2]  # no summary is cut off
    for command in main.list_commands(click.Context(main)):
        assert f"\n  {command} " in out


def written(path: Path, text: str, time_s: float) -> None:
    path.write_text(text)
    os.utime(path, (time_s, time_s))


def test_an_earlier_journal_moves_aside_whole_and_is_never_lost(elsewhere: Path) -> None:
    journal = elsewhere / "journal.db"
    assert set_aside(journal) is None
    for text in ("one", "two", "three"):
        written(journal, text, 1_800_000_000.0)
        written(elsewhere / "journal.db-wal", f"{text}, not merged", 1_800_000_000.0)
        aside = set_aside(journal)
        assert aside is not None
        assert aside.read_text() == text
        assert aside.with_name(f"{aside.name}-wal").read_text() == f"{text}, not merged"
    assert len(list(elsewhere.glob("journal-2027-01-1*.db"))) == 3
    assert not journal.exists()


def test_a_deep_folder_gets_short_sockets(elsewhere: Path) -> None:
    deep = elsewhere / ("d" * 100)
    with claim(deep) as folder:
        assert len(str(folder.daemon_socket)) < 100
        assert folder.journal.parent == deep
        assert (deep / "address").read_text() == f"{folder.address}\n"
    assert not folder.sockets.exists()
    assert not (deep / "address").exists()


def test_a_folder_that_cannot_be_is_refused(elsewhere: Path) -> None:
    (elsewhere / "file").touch()
    with pytest.raises(FolderError, match="give another folder with --dir"), claim(Path("file/x")):
        pytest.fail("claimed")


def test_restarts_wait_longer_until_one_has_lived() -> None:
    backoff = Backoff()
    assert [backoff.wait_s(lived_s=0.1) for _ in range(7)] == [1, 2, 4, 8, 16, 30, 30]
    assert backoff.wait_s(lived_s=60.0) == 1
