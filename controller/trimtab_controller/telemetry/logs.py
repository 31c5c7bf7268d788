"""The daemon's log: one event a line, as JSON for machines or in columns for people."""

from __future__ import annotations

import logging
import sys
from enum import StrEnum

import structlog
from structlog.stdlib import ProcessorFormatter, add_log_level
from structlog.typing import Processor


class LogFormat(StrEnum):
    """How the log is written; ``AUTO`` is for people where a terminal shows it."""

    AUTO = "auto"
    JSON = "json"
    CONSOLE = "console"


def configure(format_: LogFormat) -> None:
    """Send the whole process's log to stderr; libraries' lines too, from warnings on."""
    shared: list[Processor] = [
        add_log_level,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper("iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    structlog.configure(
        processors=[*shared, ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler()
    handler.setFormatter(
        ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[ProcessorFormatter.remove_processors_meta, _renderer(format_)],
        )
    )
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)


def _renderer(format_: LogFormat) -> Processor:
    people = sys.stderr.isatty() if format_ is LogFormat.AUTO else format_ is LogFormat.CONSOLE
    if people:
        return structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    return structlog.processors.JSONRenderer()
