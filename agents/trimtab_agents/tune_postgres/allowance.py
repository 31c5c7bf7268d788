"""How much CPU and memory a server may use, held to it by the kernel: control groups, v1 or v2."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
PERIOD_US = 100_000
# Far more than any other group has: what else runs here must not be measured too. Most and v1's
# are the kernel's limits.
WEIGHT_V1, WEIGHT_V2 = 262_144, 10_000
MB = 1 << 20


class AllowanceError(Exception):
    """Control groups that cannot be made; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Allowance:
    """What a server may use: CPUs, and MB of memory with its page cache. ``None`` is no limit."""

    cpus: float | None = None
    memory_mb: int | None = None


@dataclass(frozen=True, slots=True)
class Cell:
    """A control group: who runs in it gets its allowance, together with all its children."""

    folders: Mapping[str, Path]

    @property
    def doors(self) -> list[Path]:
        """The files into which a process writes its number to enter."""
        return sorted({folder / "cgroup.procs" for folder in self.folders.values()})

    def allow(self, allowance: Allowance) -> None:
        """Let it use so much from now on."""
        cpu, memory = self.folders["cpu"], self.folders["memory"]
        quota_us = int(allowance.cpus * PERIOD_US) if allowance.cpus else 0
        limit = allowance.memory_mb * MB if allowance.memory_mb else 0
        if cpu == memory:
            (cpu / "cpu.max").write_text(f"{quota_us or 'max'} {PERIOD_US}")
            (memory / "memory.max").write_text(f"{limit or 'max'}")
        else:
            (cpu / "cpu.cfs_quota_us").write_text(f"{quota_us or -1}")
            (memory / "memory.limit_in_bytes").write_text(f"{limit or -1}")


@contextmanager
def cell(name: str) -> Iterator[Cell]:
    """A group that weighs more than others, without limits so far; its processes must end first.

    Raises `AllowanceError`.
    """
    made: list[Path] = []
    try:
        if (ROOT / "cgroup.controllers").exists():
            folders = dict.fromkeys(("cpu", "memory"), _made(ROOT / name, made))
            (ROOT / name / "cpu.weight").write_text(f"{WEIGHT_V2}")
        else:
            folders = {kind: _made(ROOT / kind / name, made) for kind in ("cpu", "memory")}
            (folders["cpu"] / "cpu.shares").write_text(f"{WEIGHT_V1}")
    except OSError as error:
        for folder in made:
            folder.rmdir()
        raise AllowanceError(
            f"{error.filename}: {error.strerror}: holding a server to an allowance needs writable "
            "control groups with `cpu` and `memory` (be root), or --no-allowance"
        ) from error
    try:
        yield Cell(folders)
    finally:
        for folder in made:
            folder.rmdir()


def _made(folder: Path, made: list[Path]) -> Path:
    folder.mkdir()
    made.append(folder)
    return folder


def forgotten(folder: Path) -> None:
    """Drop a folder's files from the page cache: who reads them next pays for them."""
    # Only what is on disk can be dropped; a thousand small syncs would take seconds.
    subprocess.run(["sync", "--file-system", str(folder)], check=True)  # noqa: S607  # any sync
    for file in folder.rglob("*"):
        if file.is_file():
            descriptor = os.open(file, os.O_RDONLY)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(descriptor)
