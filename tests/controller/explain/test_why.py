"""`trimtab why`, over a real channel."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from trimtab_controller.cli import main
from trimtab_controller.cli.why import told
from trimtab_proto.v1 import controller_pb2 as pb

World = Any  # the class in conftest.py, which cannot be imported from here


@pytest.fixture
def address(world: World, tmp_path: Path) -> Iterator[str]:
    address = f"unix:{tmp_path}/api.sock"
    served = world.serve(address)
    yield address
    served.close()


def command(address: str, *arguments: str) -> Result:
    return CliRunner().invoke(main, ["why", *arguments, "--address", address])


def test_where_nothing_is_known_it_says_so(address: str) -> None:
    """The world's clock is far from the command's."""
    said = command(address, "web").output
    assert said.startswith("web: nothing is known since")


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        pytest.param(["api"], 1, "there is no service 'api'", id="service"),
        pytest.param(["web", "--minutes", "0"], 2, "'--minutes'", id="nothing"),
        pytest.param(["web", "--minutes", "nan"], 2, "not a finite number", id="nan"),
    ],
)
def test_a_mistake_is_told_in_one_line(
    address: str, arguments: list[str], code: int, says: str
) -> None:
    result = command(address, *arguments)
    assert result.exit_code == code
    assert says in result.output.splitlines()[-1]


def test_suspects_come_in_order_with_their_effect() -> None:
    suspects = [pb.Suspect(kind="load shift", words="12:00 the load rose", effect=0.6931)]
    reply = pb.WhatChangedReply(service="web", words="misses rose", suspects=suspects, also=["x"])
    assert list(told(reply)) == [
        "web: misses rose",
        "  1. load shift       12:00 the load rose; 2.0 times the work",
        "     also             x",
    ]
