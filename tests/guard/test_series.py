"""The three memories of a number, point by point."""

from __future__ import annotations

from typing import Any

import pytest

from trimtab_guard.series import Band, Peaks, Steps

PEAKS = Peaks(((1.0, 9.0), (2.0, 7.0), (4.0, 5.0)))
STEPS = Steps(((1.0, 9.0), (2.0, 7.0), (4.0, 5.0)))
BAND = Band(3.0).with_level(1.0, 9.0).with_level(2.0, 7.0).with_level(4.0, 5.0)


@pytest.mark.parametrize("series", [PEAKS, STEPS, BAND], ids=["peaks", "steps", "band"])
def test_the_last_time_is_that_of_the_last_point(series: Any) -> None:
    assert series.last_s == 4.0


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        pytest.param(4.0, (9.0, 7.0, 5.0, 4.0), id="lower than all"),
        pytest.param(5.0, (9.0, 7.0, 5.0), id="as high as the last"),
        pytest.param(8.0, (9.0, 8.0), id="between"),
        pytest.param(9.0, (9.0,), id="as high as the highest"),
    ],
)
def test_peaks_keep_what_no_later_value_has_reached(value: float, kept: tuple[float, ...]) -> None:
    grown = PEAKS.with_value(5.0, value)
    assert tuple(value for _, value in grown.points) == kept
    assert grown.points[-1] == (5.0, value)


@pytest.mark.parametrize(
    ("since_s", "highest"), [(0, 9.0), (1, 9.0), (1.5, 7.0), (2, 7.0), (4, 5.0), (4.1, 0.0)]
)
def test_the_highest_since(since_s: float, highest: float) -> None:
    assert PEAKS.highest(since_s) == highest
    assert PEAKS.highest(9.0, -3.0) == -3.0


@pytest.mark.parametrize(
    ("series", "kept"),
    [
        pytest.param(PEAKS, ((2.0, 7.0), (3.0, 5.0)), id="peaks: old ones are gone"),
        pytest.param(STEPS, ((1.0, 9.0), (2.0, 7.0), (3.0, 5.0)), id="steps: 9 was in force"),
    ],
)
def test_what_is_older_goes_and_what_is_later_happened_by_now(series: Any, kept: Any) -> None:
    assert series.between(2.0, 3.0).points == kept
    assert series.between(2.5, 3.0).points == kept[1:]


@pytest.mark.parametrize(
    ("oldest_s", "last_s"), [(3.9, 4.0), (4.0, 4.0), (4.1, 0.0)], ids=["later", "then", "before"]
)
def test_a_band_that_was_last_seen_too_long_ago_was_never_seen(
    oldest_s: float, last_s: float
) -> None:
    assert Band(5.0, 4.0).between(oldest_s, 10.0) == Band(5.0, last_s)


def test_a_band_is_cut_on_both_sides() -> None:
    cut = BAND.between(2.0, 3.0)
    assert (cut.level, cut.last_s) == (5.0, 3.0)
    assert (cut.lowest(0.0), cut.highest(0.0)) == (5.0, 9.0)
    assert BAND.lowest(0.0) == 3.0


@pytest.mark.parametrize("series", [STEPS, BAND], ids=["steps", "band"])
def test_a_level_of_an_earlier_clock_counts_from_the_last_time(series: Any) -> None:
    assert series.with_level(2.0, 6.0).last_s == 4.0
    assert series.with_level(6.0, 6.0).last_s == 6.0


def test_the_same_level_is_no_step() -> None:
    assert STEPS.with_level(6.0, 5.0) is STEPS
    assert Steps().with_level(6.0, 0.0).points == ((6.0, 0.0),)


@pytest.mark.parametrize(
    ("since_s", "levels", "churn"),
    [
        (0, (9.0, 7.0, 5.0), 4.0),
        (1, (9.0, 7.0, 5.0), 4.0),
        (2, (9.0, 7.0, 5.0), 4.0),
        (2.1, (7.0, 5.0), 2.0),
        (4, (7.0, 5.0), 2.0),
        (4.1, (5.0,), 0.0),
    ],
)
def test_the_level_before_a_window_was_in_force_in_it(
    since_s: float, levels: tuple[float, ...], churn: float
) -> None:
    assert STEPS.levels(since_s) == levels
    assert STEPS.churn(since_s) == churn
    assert Steps(((0.0, 1.0), *STEPS.points)).churn(0.5) == 12.0


@pytest.mark.parametrize(
    ("level", "span"),
    [
        pytest.param(1.0, (1.0, 7.0), id="below"),
        pytest.param(6.0, (5.0, 7.0), id="within"),
        pytest.param(8.0, (5.0, 8.0), id="above"),
    ],
)
def test_a_span_has_the_level_of_now(level: float, span: tuple[float, float]) -> None:
    assert BAND.span(3.0, level) == span
