"""One replica process, by itself."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path
from random import Random

import numpy as np
import pytest

from trimtab_stage import replica
from trimtab_stage.process import PYTHON

from .client import answer, ask, busy_s, eventually, health

pytestmark = pytest.mark.stage


@contextlib.contextmanager
def running(
    path: Path, slots: int = 1, service_s: float = 0.2, startup_s: float = 0.0, *settings: str
) -> Iterator[subprocess.Popen[bytes]]:
    """A replica with a constant service time."""
    values = [str(value) for value in (path, slots, service_s, 0.0, startup_s, 1)]
    command = [*PYTHON, replica.__file__, *values, *settings]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
        eventually(path.is_socket)
        try:
            yield process
        finally:
            process.kill()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "r.sock"


def test_it_is_healthy_only_after_its_startup_delay(path: Path) -> None:
    with running(path, startup_s=0.5):
        assert " 503 " in health(path)
        eventually(lambda: " 200 " in health(path))


def test_slots_are_bounded_and_the_line_is_first_come_first_served(path: Path) -> None:
    with running(path, slots=2, service_s=0.2):
        asked = [ask(path) for _ in range(6)]
        asked[3].setblocking(False)
        assert answer(asked[0]) == answer(asked[1]) == replica.DONE.decode()
        with pytest.raises(BlockingIOError):  # the fourth has been waiting for the first two
            asked[3].recv(1000)
        assert answer(asked[5]) == replica.DONE.decode()
        assert busy_s(path) == pytest.approx(6 * 0.2, abs=1e-4)


def test_a_client_that_gave_up_costs_no_service(path: Path) -> None:
    with running(path):
        first, gone, last = ask(path), ask(path), ask(path)
        gone.close()
        assert answer(first) == answer(last) == replica.DONE.decode()
        assert busy_s(path) == pytest.approx(2 * 0.2, abs=1e-4)


def test_what_is_slowed_takes_longer_and_says_so(path: Path) -> None:
    with running(path, service_s=0.05):
        assert answer(ask(path, b"PUT /slowness/4.0 HTTP/1.1\r\n\r\n")) == replica.DONE.decode()
        answer(ask(path))
        assert busy_s(path) == pytest.approx(4 * 0.05, abs=1e-4)


def test_sigterm_lets_it_finish_what_it_holds(path: Path) -> None:
    with running(path) as process:
        asked = [ask(path) for _ in range(3)]
        health(path)  # by now it has read them
        process.terminate()
        assert [answer(sock) for sock in asked] == [replica.DONE.decode()] * 3
        assert process.wait(timeout=10) == 0


def test_it_ends_when_its_lifeline_closes(path: Path) -> None:
    with running(path) as process:
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(timeout=10) == 0


DONE, FULL = replica.DONE.decode(), replica.FULL.decode()


@pytest.mark.parametrize(
    ("settings", "keys", "answers", "worked_s"),
    [
        pytest.param((), "aaaa", [DONE] * 4, 4 * 0.2, id="as profiled"),
        pytest.param(("threads=2",), "aaaa", [DONE] * 4, 4 * 0.2, id="as many as it keeps going"),
        pytest.param(("threads=4",), "aaaa", [DONE] * 4, (1 + 1 + 1.5 + 2) * 0.2, id="too many"),
        pytest.param(("queue=1",), "aaaa", [DONE, DONE, FULL, FULL], 2 * 0.2, id="a short queue"),
        pytest.param(("cache=1",), "aabb", [DONE] * 4, 2.2 * 0.2, id="a cache"),
        pytest.param(("cache=1",), "abab", [DONE] * 4, 4 * 0.2, id="a cache that is too small"),
        pytest.param(("batch=3",), "aaaa", [DONE] * 4, (1 + 1.5) * 0.2, id="a batch of three"),
        pytest.param(
            ("batch=4", "linger_ms=60000"), "aaaa", [DONE] * 4, 1.75 * 0.2, id="waits for all four"
        ),
        pytest.param(
            ("batch=8", "linger_ms=300"), "aaaa", [DONE] * 4, 1.75 * 0.2, id="waits no longer"
        ),
    ],
)
def test_what_is_tuned_changes_what_it_does(
    path: Path, settings: tuple[str, ...], keys: str, answers: list[str], worked_s: float
) -> None:
    with running(path, 1, 0.2, 0.0, *settings):
        asked = []
        for key in keys:
            asked.append(ask(path, f"GET /{key} HTTP/1.1\r\n\r\n".encode()))
            health(path)  # by now it has been read
        assert [answer(sock) for sock in asked] == answers
        assert busy_s(path) == pytest.approx(worked_s, abs=1e-4)


@pytest.mark.parametrize("scv", [0.0, 0.25, 1.0, 4.0])
def test_service_times_have_their_mean_and_variance(scv: float) -> None:
    draw_s = replica.service_times(0.05, scv, Random(1))
    times_s = np.array([draw_s() for _ in range(100_000)])
    assert times_s.mean() == pytest.approx(0.05, rel=0.03)
    assert times_s.var() / times_s.mean() ** 2 == pytest.approx(scv, rel=0.1)
