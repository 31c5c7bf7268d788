"""Compiled loops are kept on disk, and never outlive the source of what they call."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from trimtab_sim import compiled

CALLEE = "from compiled import compiled\n@compiled\ndef part(x):\n    return x / {divisor}\n"
CALLER = (
    "from compiled import compiled\nfrom callee import part\n"
    "@compiled\ndef f(x):\n    return part(x)\n"
    "print(f(12.0), sum(f.stats.cache_hits.values()))\n"
)


def run(folder: Path) -> list[str]:
    """What the function gives, and whether it was taken from the disk."""
    command = [sys.executable, "caller.py"]
    done = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.split()


def test_kept_until_a_file_beside_it_changes(tmp_path: Path) -> None:
    shutil.copy(compiled.__file__, tmp_path / "compiled.py")
    (tmp_path / "caller.py").write_text(CALLER)
    (tmp_path / "callee.py").write_text(CALLEE.format(divisor=2))
    assert run(tmp_path) == ["6.0", "0"]
    assert run(tmp_path) == ["6.0", "1"]
    (tmp_path / "callee.py").write_text(CALLEE.format(divisor=3))
    assert run(tmp_path) == ["4.0", "0"]
