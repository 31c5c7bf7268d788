"""Where commands write what they found: what cannot be written is refused before the work."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, cast

import click


class OutputFile(click.Path):
    """A file that can be written."""

    def __init__(self) -> None:
        super().__init__(dir_okay=False, writable=True, path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        """The file; its folder is there and writable."""
        file = cast(Path, super().convert(value, param, ctx))
        if not os.access(file.parent, os.W_OK):
            self.fail(f"{file}: its folder does not exist or cannot be written", param, ctx)
        return file


class OutputFolder(click.Path):
    """A folder that is there, or is made."""

    def __init__(self) -> None:
        super().__init__(file_okay=False, writable=True, path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        """The folder, made with those above it."""
        folder = cast(Path, super().convert(value, param, ctx))
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            self.fail(f"{folder}: {error.strerror}", param, ctx)
        return folder
