"""Child processes that come back when they crash and never outlive the stage."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from asyncio.subprocess import DEVNULL, Process
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import IO, NoReturn

from trimtab_stage.config import StageError

log = logging.getLogger(__name__)

PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
PYTHON = (sys.executable, "-I", "-S")
# Ending this soon after its start, this often in a row, is not a crash but a fault to report.
EARLY_S = 2.0
EARLY_MAX = 5
FIRST_WAIT_S = 0.1


async def spawn(
    *command: str, stdin: int = DEVNULL, stdout: int = DEVNULL, stderr: int | IO[bytes] = DEVNULL
) -> Process:
    """Start a child in a session of its own, so that the terminal's Ctrl-C is only ours."""
    return await asyncio.create_subprocess_exec(
        *command, stdin=stdin, stdout=stdout, stderr=stderr, start_new_session=True
    )


def tethered(*command: str) -> tuple[str, ...]:
    """Return the command that dies with us; must be spawned from the main thread."""
    tether = str(Path(__file__).with_name("tether.py"))
    return (*PYTHON, tether, str(os.getpid()), *command)


async def end(process: Process, grace_s: float) -> None:
    """SIGTERM, and SIGKILL when it is still there after ``grace_s``."""
    if process.returncode is not None:
        return
    process.terminate()
    try:
        await asyncio.wait_for(process.wait(), grace_s)
    except TimeoutError:
        process.kill()
        await process.wait()


def resident_bytes(process: Process) -> int:
    """How much memory a child holds; 0 when it is gone."""
    try:
        pages = Path(f"/proc/{process.pid}/statm").read_text().split()[1]
    except OSError:
        return 0
    return int(pages) * PAGE_BYTES


async def keep_running(
    name: str, start: Callable[[], Awaitable[Process]], log_file: Path
) -> NoReturn:
    """Run a child for ever: restart it when it ends, give up when it cannot even start."""
    clock = asyncio.get_running_loop().time
    early = 0
    while True:
        started_s = clock()
        process = await start()
        try:
            code = await process.wait()
        finally:
            await end(process, grace_s=1.0)
        early = early + 1 if clock() - started_s < EARLY_S else 0
        log.warning("%s (pid %d) ended with %d, starting it again", name, process.pid, code)
        if early == EARLY_MAX:
            raise StageError(
                f"{name} ended {early} times right after its start, last with exit code {code}: "
                f"its output is in {log_file}"
            )
        await asyncio.sleep(FIRST_WAIT_S * 2**early)
