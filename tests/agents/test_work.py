"""Jobs run once, anywhere, and an interrupted run goes on where it stopped."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from trimtab_agents.bench.work import Arrays, Spread, finished, here, over_processes, over_ray


@dataclass(frozen=True, slots=True)
class Square:
    """Writes down that it ran, and fails on request."""

    number: int
    log: Path
    breaks: bool = False

    @property
    def identity(self) -> str:
        return f"square of {self.number}"

    @property
    def weight(self) -> float:
        return float(self.number)

    def run(self) -> Arrays:
        if self.breaks:
            raise KeyboardInterrupt
        with self.log.open("a") as log:
            log.write(f"{self.number}\n")
        return {"square": np.array([self.number**2])}


def ran(log: Path) -> list[int]:
    return sorted(map(int, log.read_text().split())) if log.exists() else []


@contextmanager
def local_ray() -> Iterator[Spread]:
    ray = pytest.importorskip("ray", reason="needs trimtab[ray]")
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    try:
        yield over_ray()
    finally:
        ray.shutdown()


@pytest.mark.parametrize(
    "place", [nullcontext(here), nullcontext(over_processes(2)), local_ray()],
    ids=["here", "processes", "ray"],
)  # fmt: skip
def test_every_job_runs_once_and_in_order(
    place: AbstractContextManager[Spread], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Else Ray leaves a token in the home directory, and its workers starve on a busy machine.
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    monkeypatch.setenv("RAY_worker_niceness", "0")
    jobs = [Square(number, tmp_path / "log") for number in range(5)]
    weights: list[float] = []
    with place as spread:
        found = finished(jobs, spread, tmp_path / "cells", weights.append)
    assert [int(arrays["square"][0]) for arrays in found] == [0, 1, 4, 9, 16]
    assert ran(tmp_path / "log") == [0, 1, 2, 3, 4]
    assert sorted(weights) == [0.0, 1.0, 2.0, 3.0, 4.0]

    again = finished(jobs, here, tmp_path / "cells", weights.append)
    assert [arrays["square"].tolist() for arrays in again] == [[0], [1], [4], [9], [16]]
    assert ran(tmp_path / "log") == [0, 1, 2, 3, 4], "nothing ran again"
    assert len(weights) == 10


def test_interrupted_run_goes_on_where_it_stopped(tmp_path: Path) -> None:
    log, cells = tmp_path / "log", tmp_path / "cells"
    jobs = [Square(0, log), Square(1, log, breaks=True), Square(2, log)]
    with pytest.raises(KeyboardInterrupt):
        finished(jobs, here, cells)
    assert ran(log) == [0]
    (cells / "half.part.npz").write_bytes(b"killed while writing")
    found = finished([Square(number, log) for number in range(3)], here, cells)
    assert [int(arrays["square"][0]) for arrays in found] == [0, 1, 4]
    assert ran(log) == [0, 1, 2]


def test_without_a_folder_nothing_is_kept(tmp_path: Path) -> None:
    for _ in range(2):
        finished([Square(3, tmp_path / "log")])
    assert ran(tmp_path / "log") == [3, 3]
