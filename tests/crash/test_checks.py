"""Every check finds what is planted in the evidence of a real life."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from . import evidence
from .checks import CHECKS
from .conftest import DEATHS
from .evidence import Row
from .human import Command
from .life import Life

pytestmark = [pytest.mark.stage, pytest.mark.timeout(120 + 30 * DEATHS)]


def without(life: Life, kind: str) -> Life:
    return replace(life, records=[row for row in life.records if row.kind != kind])


def with_record(life: Life, kind: str, **said: Any) -> Life:
    row = Row(len(life.records) + 1, 0.0, kind, json.dumps(said), "")
    return replace(life, records=[*life.records, row])


def with_writes(life: Life, *more: Any) -> Life:
    writes = [*life.proxy.writes, *more]
    return replace(life, proxy=SimpleNamespace(polls=life.proxy.polls, writes=writes))


def with_commands(life: Life, *commands: Command) -> Life:
    return replace(
        life,
        human=SimpleNamespace(seen=life.human.seen, commands=[*life.human.commands, *commands]),
    )


def applied(life: Life) -> Any:
    return next(write for write in life.proxy.writes if write.applied)


def changed(life: Life) -> Life:
    life = replace(life, faults=[])
    changed = life.records[0]._replace(body=f"{life.records[0].body} ")
    life.faults += evidence.breaks([changed, *life.records[1:]])
    return life


def answered_again(life: Life) -> Life:
    granted = [row for row in life.records if row.kind == "envelope" and '"GRANTED"' in row.body]
    return with_record(life, "envelope", **granted[0].said)


def refused_yet_done(life: Life) -> Life:
    took = next(command for command in life.human.commands if command.took)
    return with_commands(life, replace(took, took=False))


def disobeyed(life: Life) -> Life:
    stop = Command("stop", "nobody", "", 0.0, applied(life).sent_s - 1.0, took=True)
    return with_commands(replace(life, human=SimpleNamespace(seen=[], commands=[])), stop)


def aborted_before(life: Life) -> Life:
    abort = Row(0, 0.0, "abort", json.dumps({"who": "nobody", "why": ""}), "")
    return replace(life, records=[abort, *life.records])


def forgotten_stop(life: Life) -> Life:
    before, status = life.woken[0]
    return replace(life, woken=[(replace(before, stopped=not before.stopped), status)])


def with_limits(*changes: tuple[str, str]) -> Callable[[Life], Life]:
    """The same life, judged by other limits."""

    def judged(life: Life) -> Life:
        text = life.config.read_text()
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        config = life.config.with_name("other.yaml")
        config.write_text(text)
        return replace(life, config=config)

    return judged


PLANTED: list[tuple[str, str, Callable[[Life], Life]]] = [
    ("a changed record", "chain", changed),
    ("a lost outcome", "exactly_once", lambda life: without(life, "outcome")),
    ("a lost intent", "exactly_once", lambda life: without(life, "tick")),
    ("a write done twice", "exactly_once", lambda life: with_writes(life, applied(life))),
    ("a write under no known epoch", "fenced", lambda life: without(life, "epoch")),
    ("a lost command", "commands", lambda life: without(life, "mode")),
    ("a lost renewal", "commands", lambda life: without(life, "renew")),
    ("a lost approval", "commands", lambda life: without(life, "envelope")),
    ("a refused command", "commands", refused_yet_done),
    ("an approval used up and answered again", "envelopes", answered_again),
    ("a mode that nobody set", "permitted", lambda life: without(life, "mode")),
    ("a write while stopped", "obedient", disobeyed),
    ("a write during an abort", "permitted", aborted_before),
    ("a forgotten stop", "remembered", forgotten_stop),
    ("a forgotten tick", "remembered", lambda life: without(life, "tick")),
    (
        "its own write taken for another's",
        "unblamed",
        lambda life: with_record(life, "writer", service="web", writer="another trimtab"),
    ),
    (
        "a share that moves too far",
        "limits_kept",
        with_limits(("weight_interval_s: 600", "weight_interval_s: 3600\n      weight_step: 0")),
    ),
]


@pytest.mark.parametrize(
    ("name", "plant"), [planted[1:] for planted in PLANTED], ids=[planted[0] for planted in PLANTED]
)
def test_what_is_planted_is_found(
    lives: list[Life], name: str, plant: Callable[[Life], Life]
) -> None:
    check = next(check for check in CHECKS if check.__name__ == name)
    assert list(check(lives[0])) == []
    assert list(check(plant(lives[0])))
