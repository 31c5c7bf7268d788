"""What a demonstration is made of: the choices of its user as the commands of its children."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import yaml

from trimtab_controller.config import Config, load
from trimtab_controller.up.child import Child
from trimtab_controller.up.folder import Folder
from trimtab_stage.config import DEMO, StageConfig

DEMO_CONFIG = Path(str(files("trimtab_controller") / "demo.yaml"))


@dataclass(frozen=True, slots=True)
class Options:
    """The user's choices; ``policy`` ``None`` is the shipped bundle.

    ``stage`` is the demonstration's but for its load and the rule underneath; its folder and
    socket are the `Folder`'s.
    """

    stage: StageConfig = DEMO
    mode: str = "guarded"
    policy: Path | None = None
    console_port: int = 8088


DEFAULTS = Options()


def stage(options: Options, folder: Folder) -> Child:
    """Return the stage, not yet started."""
    chosen = options.stage
    command = [sys.executable, "-m", "trimtab_stage"]
    command += ["--socket", str(folder.stage_socket), "--dir", str(folder.stage_dir)]
    command += ["--trace", str(chosen.trace), "--port", str(chosen.port)]
    command += ["--speed", str(chosen.speed), "--peak-rps", str(chosen.peak_rps)]
    command += ["--hpa-target", str(chosen.hpa_target), "--seed", str(chosen.seed)]
    command += ["--initial-replicas", str(chosen.initial_replicas)]
    if chosen.start_s is not None:
        command += ["--start-s", str(chosen.start_s)]
    return Child("stage", command, folder.log("stage"))


def daemon(options: Options, folder: Folder) -> Child:
    """Return the daemon, not yet started; it reads the folder's configuration."""
    command = [sys.executable, "-m", "trimtab_controller.daemon"]
    command += ["--config", str(folder.config)]
    command += ["--journal", str(folder.journal), "--listen", folder.address]
    command += ["--stage-socket", str(folder.stage_socket), "--mode", options.mode]
    command += ["--log-format", "console"]
    if options.policy is not None:
        command += ["--policy", str(options.policy)]
    return Child("daemon", command, folder.log("daemon"))


def console(options: Options, folder: Folder, *, opened: bool) -> Child:
    """Return the console, not yet started; ``opened``: in a browser, where there is a display."""
    command = [sys.executable, "-m", "trimtab_controller.cli.console"]
    command += ["--address", folder.address, "--listen", f"127.0.0.1:{options.console_port}"]
    command += ["--open"] * opened
    return Child("console", command, folder.log("console"))


def configure(options: Options, folder: Folder) -> Config:
    """Write the demonstration's configuration, with the guard's windows shrunk as the trace is.

    Raises `ConfigError` when that is out of the limits' ranges.
    """
    demo = yaml.safe_load(DEMO_CONFIG.read_text()) | {"speed": options.stage.speed}
    folder.config.write_text(yaml.safe_dump(demo, sort_keys=False))
    return load(folder.config)
