"""Generates the gRPC stubs beside their .proto files; ``--check`` only compares.

The stubs are committed so that installing needs no compiler.
"""

from __future__ import annotations

import filecmp
import shutil
import sys
import tempfile
from importlib.resources import files
from pathlib import Path

from grpc_tools import protoc

ROOT = Path(__file__).resolve().parent.parent / "proto"
PACKAGE = Path("trimtab_proto/v1")


def generate(into: Path) -> list[Path]:
    """Write the stubs of every .proto below ``into``; returns their paths relative to it."""
    protos = sorted(str(path.relative_to(ROOT)) for path in (ROOT / PACKAGE).glob("*.proto"))
    well_known = str(files("grpc_tools") / "_proto")
    code = protoc.main(
        [
            "protoc",
            f"-I{ROOT}",
            f"-I{well_known}",
            f"--python_out={into}",
            f"--pyi_out={into}",
            f"--grpc_python_out={into}",
            *protos,
        ]
    )
    if code:
        raise SystemExit(f"protoc failed with {code}")
    return sorted(path.relative_to(into) for path in (into / PACKAGE).glob("*_pb2*"))


def main() -> None:
    """Compare a fresh generation with the committed stubs, and copy it over unless --check."""
    with tempfile.TemporaryDirectory() as scratch:
        fresh = Path(scratch)
        (fresh / PACKAGE).mkdir(parents=True)
        stale = [
            path
            for path in generate(fresh)
            if not (ROOT / path).exists()
            or not filecmp.cmp(fresh / path, ROOT / path, shallow=False)
        ]
        if "--check" in sys.argv[1:]:
            if stale:
                names = ", ".join(map(str, stale))
                raise SystemExit(f"stale stubs: {names}. Run `make stubs` and commit the result.")
            return
        for path in stale:
            shutil.copyfile(fresh / path, ROOT / path)


if __name__ == "__main__":
    main()
