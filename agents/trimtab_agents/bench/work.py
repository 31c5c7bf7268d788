"""Runs the jobs of a benchmark: here, over processes or over a Ray cluster, and only once each.

A job's arrays are kept under its key, so a run that was interrupted goes on where it stopped.
The key names everything that decides the outcome, the code too: what is found can be trusted.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import cache
from importlib.resources import files
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Arrays = Mapping[str, NDArray[Any]]
Spread = Callable[[Sequence["Job"]], Iterator[tuple[int, Arrays]]]

PACKAGES = "trimtab_sim", "trimtab_envs", "trimtab_agents", "trimtab_guard"
# What trains a policy or shows its outcome does not change how it plays.
IDLE = {"training", "train_command.py", "bench_command.py", "plots.py", "report.py", "verdict.py"}


class Job(Protocol):
    """A part of the benchmark that can run anywhere; ``weight`` tells about how long it takes."""

    @property
    def identity(self) -> str:
        """All that decides the outcome, but for the code."""

    @property
    def weight(self) -> float:
        """Proportional to the time that it takes."""

    def run(self) -> Arrays:
        """Do the work."""


def here(jobs: Sequence[Job]) -> Iterator[tuple[int, Arrays]]:
    """One after the other, in this process."""
    for index, job in enumerate(jobs):
        yield index, job.run()


def over_processes(workers: int) -> Spread:
    """In so many processes at once, the longest jobs first."""

    def spread(jobs: Sequence[Job]) -> Iterator[tuple[int, Arrays]]:
        # A fresh interpreter each: forked ones would share ONNX's threads.
        with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
            order = sorted(range(len(jobs)), key=lambda index: -jobs[index].weight)
            indices = {pool.submit(_run, jobs[index]): index for index in order}
            for done in as_completed(indices):
                yield indices[done], done.result()

    return spread


def over_ray(address: str | None = None) -> Spread:
    """On a Ray cluster: the one at ``address`` or in ``RAY_ADDRESS``, else one on this machine."""
    try:
        import ray
    except ImportError as error:
        raise ValueError("--ray needs Ray; pip install 'trimtab[ray]'") from error

    def spread(jobs: Sequence[Job]) -> Iterator[tuple[int, Arrays]]:
        ray.init(address=address, ignore_reinit_error=True, log_to_driver=False)
        remote = ray.remote(_run)
        indices = {remote.remote(job): index for index, job in enumerate(jobs)}
        waiting = list(indices)
        while waiting:
            done, waiting = ray.wait(waiting)
            yield indices[done[0]], ray.get(done[0])

    return spread


def _run(job: Job) -> Arrays:
    return job.run()


def finished(
    jobs: Sequence[Job],
    spread: Spread = here,
    folder: Path | None = None,
    advance: Callable[[float], object] = lambda _: None,
) -> list[Arrays]:
    """The arrays of every job, in order; those that ``folder`` holds are not run again.

    ``advance`` is called with the weight of each job when it is done.
    """
    found: dict[int, Arrays] = {}
    for index, job in enumerate(jobs):
        path = _path(folder, job)
        if path and path.exists():
            found[index] = _read(path)
            advance(job.weight)
    missing = [index for index in range(len(jobs)) if index not in found]
    for position, arrays in spread([jobs[index] for index in missing]) if missing else ():
        index = missing[position]
        found[index] = arrays
        _write(_path(folder, jobs[index]), arrays)
        advance(jobs[index].weight)
    return [found[index] for index in range(len(jobs))]


def fingerprint(values: NDArray[Any]) -> str:
    """Stands for an array in an identity."""
    return hashlib.sha256(values.tobytes()).hexdigest()


def _path(folder: Path | None, job: Job) -> Path | None:
    if folder is None:
        return None
    return folder / f"{hashlib.sha256((job.identity + _code()).encode()).hexdigest()[:24]}.npz"


def _read(path: Path) -> Arrays:
    with np.load(path) as arrays:
        return dict(arrays)


def _write(path: Path | None, arrays: Arrays) -> None:
    if path is None:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    # A name that nobody reads until all of it is there: a run may be killed at any time.
    part = path.with_suffix(".part.npz")
    np.savez(part, **arrays)  # type: ignore[arg-type] # its only named argument is a flag
    part.rename(path)


@cache
def _code() -> str:
    """Digest of the source of everything that plays."""
    digest = hashlib.sha256()
    for package in PACKAGES:
        for path in sorted(Path(str(files(package))).rglob("*.py")):
            if not IDLE.intersection(path.parts):
                digest.update(path.read_bytes())
    return digest.hexdigest()
