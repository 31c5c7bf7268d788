"""What lowers a mode by itself: the end of a lease, the calendar; and nothing raises it again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from trimtab_controller.mandate import Refusal
from trimtab_controller.memory import Outcome
from trimtab_guard.modes import Mode

World = Any  # the class in conftest.py, which cannot be imported from here

LEASE_S = 8 * 3600.0
# The world's clock starts on a Friday at 08:00:00 UTC, 2027-01-15.
CLOSED = "schedule: {windows: [{start: '09:00', end: '12:00', days: [fri]}]}"
FROZEN = "schedule: {freezes: [{start: 2027-01-15T09:00, end: 2027-01-15T10:00, why: sale}]}"


def add(world: World, line: str) -> None:
    world.reload("ceiling: guarded", f"ceiling: guarded\n    {line}")


def test_when_the_lease_ends_the_service_falls_to_approve_for_good(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.clock.now_s += LEASE_S
    world.want(a=4)
    status = world.tick(9)
    assert (status.tick.mode, status.tick.outcome) == (Mode.APPROVE, Outcome.ASKED)
    assert "the lease on web has ended: in approve" in status.tick.error
    assert [r.getMessage() for r in caplog.records if "the lease on web" in r.getMessage()]
    assert world.journal.last("mode").body["who"] == "trimtab"
    with pytest.raises(Refusal, match="the lease has ended: `trimtab mode web MODE` first"):
        world.mandate.renew("web", "ann", world.clock())
    world.clock.now_s -= 3600.0  # a clock that goes back does not bring it back either
    world.restart()
    assert world.tick(9).tick.mode is Mode.APPROVE
    world.mandate.set_mode("web", Mode.GUARDED, "ann", world.clock())
    assert (world.tick().tick.mode, world.mandate.alarm("web")) == (Mode.GUARDED, "")


def test_a_lease_is_renewed_by_a_human_and_not_by_a_restart(world: World) -> None:
    world.clock.now_s += LEASE_S - 60.0
    world.restart()
    until_s = world.mandate.lease("web").until_s
    assert until_s < world.clock() + 60.0
    world.mandate.renew("web", "ann", world.clock())
    world.restart()
    assert world.mandate.lease("web").until_s == pytest.approx(until_s + LEASE_S, abs=60.0)
    world.clock.now_s += 3600.0
    assert world.tick().tick.mode is Mode.GUARDED


@pytest.mark.parametrize("mode", [Mode.SHADOW, Mode.APPROVE])
def test_where_nothing_is_done_alone_no_lease_ends(
    new_world: Callable[[Mode], World], mode: Mode
) -> None:
    world = new_world(mode)
    world.clock.now_s += 2 * LEASE_S
    status = world.tick()
    assert (status.tick.mode, status.tick.error) == (mode, "")


def test_the_length_of_a_lease_is_configured(world: World) -> None:
    add(world, "limits: {lease_s: 60}")
    world.mandate.set_mode("web", Mode.GUARDED, "ann", world.clock())
    modes = [world.tick().tick.mode for _ in range(61)]
    assert modes == [Mode.GUARDED] * 59 + [Mode.APPROVE] * 2


@pytest.mark.parametrize(
    ("line", "hour", "mode", "why"),
    [
        (CLOSED, 8, Mode.APPROVE, "outside the allowed windows (UTC)"),
        (CLOSED, 9, Mode.GUARDED, ""),
        (CLOSED, 12, Mode.APPROVE, "outside the allowed windows (UTC)"),
        (FROZEN, 8, Mode.GUARDED, ""),
        (FROZEN, 9, Mode.APPROVE, "frozen until 2027-01-15T10:00 UTC: sale"),
        (FROZEN, 10, Mode.GUARDED, ""),
        (CLOSED.replace("{w", "{zone: Asia/Tokyo, w"), 9, Mode.APPROVE, "(Asia/Tokyo)"),
    ],
)
def test_the_calendar_lowers_while_it_says_so(
    world: World, line: str, hour: int, mode: Mode, why: str
) -> None:
    add(world, line)
    world.clock.now_s += (hour - 8) * 3600.0
    world.want(a=4)
    status = world.tick(9)
    assert (status.tick.mode, status.tick.error) == (mode, "")
    assert why in "; ".join(ceiling.why for ceiling in status.standing.reasons)
    assert world.floors[0] == (4 if mode is Mode.GUARDED else 1)


def test_what_ends_between_decision_and_write_is_not_written(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def freeze(*record: Any) -> int:
        add(world, FROZEN.replace("09:00", "08:00"))
        return append(*record)

    append = world.journal.append_text
    monkeypatch.setattr(world.journal, "append_text", freeze)
    world.want(a=4)
    status = world.tick()
    assert status.tick.outcome is Outcome.FAILED
    assert status.tick.error == "frozen until 2027-01-15T10:00 UTC: sale"
    assert (world.stage.calls, world.memory.intent) == (0, None)
