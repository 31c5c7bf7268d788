"""Takes the picture in README.md: a real run of the demonstration, as its terminal shows it.

python tools/picture.py docs/up.svg [SECONDS]
"""

from __future__ import annotations

import io
import re
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from trimtab_controller.up import commands
from trimtab_controller.up.folder import claim
from trimtab_controller.up.record import Record
from trimtab_controller.up.supervisor import Supervisor
from trimtab_controller.up.view import Place, draw
from trimtab_stage.config import DEMO

WIDTH, HEIGHT = 100, 32


class Camera:
    """A screen that keeps the last picture."""

    def __init__(self) -> None:
        self.console = Console(record=True, width=WIDTH, file=io.StringIO())

    def show(self, record: Record) -> None:
        """Draw, and forget what was drawn before."""
        self.console.export_text()
        place = Place("trimtab", "unix:.run/daemon.sock", ".run", "http://127.0.0.1:8088")
        self.console.print(draw(record, place, WIDTH, HEIGHT))


def main() -> None:
    """Run, and save what was on the screen at the end."""
    target, seconds = Path(sys.argv[1]), float((sys.argv[2:] or ["140"])[0])
    camera = Camera()
    with tempfile.TemporaryDirectory() as scratch, claim(Path(scratch)) as folder:
        options = commands.Options(replace(DEMO, port=0))
        config = commands.configure(options, folder)
        stage, daemon = commands.stage(options, folder), commands.daemon(options, folder)
        record = Record(config.services[0].spec.miss_price)
        Supervisor(stage, daemon, record, camera, time.time).run(folder, seconds)
    svg = camera.console.export_svg(title="trimtab up")
    # Rich links a web font; a picture must not phone anywhere, so it takes the reader's own.
    target.write_text(re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL))


if __name__ == "__main__":
    main()
