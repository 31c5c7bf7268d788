"""One event a line, whoever logs it: ours, with fields, and any library's."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

LOGGING = """
import logging, structlog
from trimtab_controller.telemetry.logs import LogFormat, configure
configure(LogFormat({format!r}))
logging.getLogger("grpc").warning("%s is %d", "it", 7, extra={{"service": "web"}})
logging.getLogger("grpc").debug("hidden")
structlog.get_logger("ours").info("the webhook works again", host="there")
try:
    1 / 0
except ZeroDivisionError:
    logging.getLogger("ours").exception("it broke")
"""


def lines(format_: str) -> list[str]:
    code = LOGGING.format(format=format_)
    process = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert process.stdout == ""
    return process.stderr.splitlines()


@pytest.mark.parametrize("format_", ["json", "auto"])
def test_machines_get_one_object_a_line(format_: str) -> None:
    grpc, ours, broken = map(json.loads, lines(format_))
    assert (grpc["event"], grpc["level"], grpc["service"]) == ("it is 7", "warning", "web")
    assert (ours["event"], ours["host"], ours["level"]) == (
        "the webhook works again",
        "there",
        "info",
    )
    assert "ZeroDivisionError" in broken["exception"]
    assert all(line["timestamp"].endswith("Z") for line in (grpc, ours, broken))


def test_people_get_columns_without_colours_in_a_file() -> None:
    said = "\n".join(lines("console"))
    assert "[warning  ] it is 7" in said
    assert "the webhook works again" in said
    assert "host=there" in said
    assert "\x1b" not in said
