from dataclasses import replace
from math import inf

import numpy as np
import pytest

from trimtab_agents.canary import Histogram, Side

NARROW = Histogram((1.0, 1.1, 1.2, 1.3), (4, 6, 10))
WIDE = Histogram((1.0, 2.0, 4.0, inf), (4, 6, 10))


@pytest.mark.parametrize(
    ("histogram", "cut_s", "least", "most"),
    [
        pytest.param(NARROW, 0.5, 20, 20, id="below all"),
        pytest.param(NARROW, 1.1, 16, 16, id="on an edge"),
        pytest.param(NARROW, 1.15, 13, 13, id="a narrow bin is cut"),
        pytest.param(NARROW, 1.3, 0, 0, id="on the last edge"),
        pytest.param(NARROW, 9.0, 0, 0, id="above all"),
        pytest.param(WIDE, 2.0, 16, 16, id="on a wide bin's edge"),
        pytest.param(WIDE, 3.0, 10, 16, id="within a wide bin"),
        pytest.param(WIDE, 5.0, 0, 10, id="within the last, which has no end"),
        pytest.param(WIDE, inf, 0, 0, id="beyond everything"),
        pytest.param(Histogram((), ()), 1.0, 0, 0, id="no answers"),
    ],
)
def test_answers_beyond_a_cut(
    histogram: Histogram, cut_s: float, least: float, most: float
) -> None:
    found = histogram.beyond(np.array([cut_s]))
    assert [float(count[0]) for count in found] == pytest.approx([least, most])


def test_envoys_bins_may_have_holes_and_come_in_any_order() -> None:
    histogram = Histogram.of({(0.12, 0.01): 3, (0.10, 0.01): 2, (0.11, 0.01): 0, (0.3, 0.01): 1})
    assert histogram.total == 6
    least, _ = histogram.beyond(np.array([0.115, 0.2, 0.31]))
    assert least.tolist() == [4.0, 1.0, 0.0]


@pytest.mark.parametrize(
    ("edges_s", "counts", "fault"),
    [
        pytest.param((1.0, 2.0), (1, 2), "need 3 edges", id="edges lack"),
        pytest.param((2.0, 1.0), (1,), "must ascend", id="edges go back"),
        pytest.param((1.0, 2.0), (-1,), "negative count", id="a counter was reset"),
    ],
)
def test_no_histogram(edges_s: tuple[float, ...], counts: tuple[int, ...], fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        Histogram(edges_s, counts)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"errors": 30}, id="more errors than answers"),
        pytest.param({"in_flight": float("nan")}, id="not a number"),
        pytest.param({"ready": -1}, id="fewer than no replicas"),
    ],
)
def test_no_side(change: dict[str, float]) -> None:
    side = Side(NARROW, 20, 1, 3.0, 2, 0.0)
    with pytest.raises(ValueError, match=r"errors|finite"):
        replace(side, **change)
