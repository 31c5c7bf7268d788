"""What writers may ask of the stage."""

from __future__ import annotations

from math import inf, nan

import pytest

from trimtab_guard.authority import NO_EPOCH, Epoch
from trimtab_stage.config import DEMO
from trimtab_stage.spec import Ask, InvalidAskError, Spec

READY = {"on-demand": 2, "spot": 1}
INITIAL = Spec.initial(DEMO.profile)


def test_a_write_changes_what_it_names_and_leaves_the_rest() -> None:
    written = INITIAL.written([Ask("spot", floor=3)], "me", DEMO.profile, READY)
    assert written.floors == {"on-demand": 1, "spot": 3}
    assert written.weights == INITIAL.weights
    assert (written.version, written.writer) == (INITIAL.version + 1, "me")


@pytest.mark.parametrize(
    ("epoch", "refusal"),
    [
        (Epoch(8, "a"), ""),
        (Epoch(7, "b"), ""),
        (Epoch(7, "a"), "epoch 7 of a is over: b leads under epoch 7"),
        (Epoch(6, "b"), "epoch 6 of b is over: b leads under epoch 7"),
        (NO_EPOCH, ""),
    ],
    ids=["newer", "its own", "the same of another", "older", "none"],
)
def test_nobody_writes_under_an_epoch_that_is_over(epoch: Epoch, refusal: str) -> None:
    ask = [Ask("spot", floor=3)]
    led = INITIAL.written(ask, "trimtab", DEMO.profile, READY, Epoch(7, "b"))
    assert led.refusal(epoch) == refusal
    assert INITIAL.refusal(epoch) == ""


def test_who_writes_without_an_epoch_does_not_end_one() -> None:
    ask = [Ask("spot", floor=3)]
    led = INITIAL.written(ask, "trimtab", DEMO.profile, READY, Epoch(7, "b"))
    assert led.written(ask, "kubectl", DEMO.profile, READY).epoch == Epoch(7, "b")


def test_shares_are_normalised_over_all_backends() -> None:
    written = INITIAL.written([Ask("spot", weight=1.5)], "me", DEMO.profile, READY)
    assert written.weights == {"on-demand": 0.25, "spot": 0.75}


def test_a_floor_may_be_written_while_a_weighted_backend_is_down() -> None:
    down = {"on-demand": 2, "spot": 0}
    assert INITIAL.written([Ask("spot", floor=2)], "me", DEMO.profile, down).floors["spot"] == 2


@pytest.mark.parametrize(
    ("asks", "ready", "message"),
    [
        ([Ask("sput")], READY, "unknown backend 'sput': the stage has on-demand, spot"),
        ([Ask("spot"), Ask("spot")], READY, "listed twice"),
        ([Ask("spot", floor=0)], READY, "floor 0 of 'spot' is out of bounds: ask for 1 to 12"),
        ([Ask("spot", floor=13)], READY, "floor 13 of 'spot' is out of bounds"),
        ([Ask("spot", weight=-0.1)], READY, "weight -0.1 of 'spot'"),
        ([Ask("spot", weight=nan)], READY, "weight nan of 'spot'"),
        ([Ask("spot", weight=inf)], READY, "weight inf of 'spot'"),
        ([Ask("spot", weight=1e308), Ask("on-demand", weight=1e308)], READY, "too large"),
        ([Ask("spot", weight=0), Ask("on-demand", weight=0)], READY, "no ready replica"),
        ([Ask("spot", weight=0.1)], {"on-demand": 2, "spot": 0}, "'spot': it has no ready replica"),
        ([Ask("on-demand", weight=0)], {"on-demand": 2, "spot": 0}, "no ready replica"),
    ],
    ids=[
        "unknown", "twice", "below", "above", "negative", "nan", "infinite", "overflow",
        "sum-zero", "not-ready", "leaves-only-unready",
    ],
)  # fmt: skip
def test_refused(asks: list[Ask], ready: dict[str, int], message: str) -> None:
    with pytest.raises(InvalidAskError, match=message):
        INITIAL.written(asks, "me", DEMO.profile, ready)
