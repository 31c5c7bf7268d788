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
from trimtab_stage.config import DEMO

DEMO_CONFIG = Path(str(files("trimtab_controller") / "demo.yaml"))


@dataclass(frozen=True, slots=True)
class Options:
    """What to run; ``policy`` ``None`` is the shipped bundle, ``port`` 0 any free one.

    The rest is as in `StageConfig`.
    """

    trace: Path = DEMO.trace
    mode: str = "guarded"
    policy: Path | None = None
    speed: float = DEMO.speed
    port: int = DEMO.port
    start_s: float | None = DEMO.start_s
    peak_rps: float = DEMO.peak_rps
    hpa_target: float = DEMO.hpa_target
    seed: int = DEMO.seed


DEFAULTS = Options()


def stage(options: Options, folder: Folder) -> Child:
    """Return the stage, not yet started."""
    command = [sys.executable, "-m", "trimtab_stage"]
    command += ["--socket", str(folder.stage_socket), "--dir", str(folder.stage_dir)]
    command += ["--trace", str(options.trace), "--port", str(options.port)]
    command += ["--speed", str(options.speed), "--peak-rps", str(options.peak_rps)]
    command += ["--hpa-target", str(options.hpa_target), "--seed", str(options.seed)]
    if options.start_s is not None:
        command += ["--start-s", str(options.start_s)]
    return Child("stage", command, folder.log("stage"))


def daemon(options: Options, folder: Folder) -> Child:
    """Return the daemon, not yet started; it reads the folder's configuration."""
    command = [sys.executable, "-m", "trimtab_controller.daemon"]
    command += ["--config", str(folder.config)]
    command += ["--journal", str(folder.journal), "--listen", folder.address]
    command += ["--stage-socket", str(folder.stage_socket), "--mode", options.mode]
    if options.policy is not None:
        command += ["--policy", str(options.policy)]
    return Child("daemon", command, folder.log("daemon"))


def configure(options: Options, folder: Folder) -> Config:
    """Write the demonstration's configuration, with the guard's windows shrunk as the trace is.

    Raises `ConfigError` when that is out of the limits' ranges.
    """
    demo = yaml.safe_load(DEMO_CONFIG.read_text()) | {"speed": options.speed}
    folder.config.write_text(yaml.safe_dump(demo, sort_keys=False))
    return load(folder.config)
