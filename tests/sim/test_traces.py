"""Traces: what is read, what is refused and where, and resampling."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from trimtab_sim.traces import Trace, TraceError, read_trace, shipped_traces

HEADER = "seconds,requests_per_second\n"


@pytest.mark.parametrize(
    ("text", "line", "fault"),
    [
        pytest.param("", 1, "is empty", id="empty"),
        pytest.param("time,rps\n0,1\n1,1\n", 1, "header", id="wrong header"),
        pytest.param(HEADER, 1, "two rows", id="no rows"),
        pytest.param(HEADER + "0,1\n", 2, "two rows", id="one row"),
        pytest.param(HEADER + "0,1\n60,x\n", 3, "two numbers", id="not a number"),
        pytest.param(HEADER + "0,1\n60,1,2\n", 3, "two numbers", id="three columns"),
        pytest.param(HEADER + "0,1\n\n60,1\n", 3, "two numbers", id="blank line"),
        pytest.param(HEADER + "0,1\n60,1\n30,1\n", 4, "60 to 30", id="unsorted"),
        pytest.param(HEADER + "60,1\n0,1\n", 3, "does not increase", id="backwards"),
        pytest.param(HEADER + "0,1\n0,1\n", 3, "does not increase", id="repeated time"),
        pytest.param(HEADER + "0,1\n60,1\n180,1\n", 4, "step", id="gap"),
        pytest.param(HEADER + "0,1\n60,-1\n", 3, "negative", id="negative"),
        pytest.param(HEADER + "0,1\n60,nan\n", 3, "not finite", id="NaN rate"),
        pytest.param(HEADER + "0,1\nnan,1\n", 3, "not finite", id="NaN time"),
        pytest.param(HEADER + "0,inf\n60,1\n", 2, "not finite", id="infinite"),
    ],
)
def test_refused_with_file_line_and_fault(tmp_path: Path, text: str, line: int, fault: str) -> None:
    path = tmp_path / "load.csv"
    path.write_text(text)
    with pytest.raises(TraceError, match=fault) as refused:
        read_trace(path)
    assert str(refused.value).startswith(f"{path}:{line}: ")


@pytest.mark.parametrize("content", [None, b"\xff\xfe\x00"], ids=["missing", "not text"])
def test_unreadable_is_refused(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "load.csv"
    if content:
        path.write_bytes(content)
    with pytest.raises(TraceError, match=r"load\.csv: cannot be read"):
        read_trace(path)


def test_shipped_traces_are_those_of_the_sources_table() -> None:
    """Step, hours and mean of SOURCES.md, which was written from the sources, not from us."""
    traces = shipped_traces()
    table = (next(iter(traces.values())).parent / "SOURCES.md").read_text()
    rows = [line.split("|") for line in table.splitlines() if "| train |" in line]
    rows += [line.split("|") for line in table.splitlines() if "| validation |" in line]
    assert {row[1].strip(" `").removesuffix(".csv") for row in rows} == set(traces)
    for row in rows:
        trace = read_trace(traces[row[1].strip(" `").removesuffix(".csv")])
        assert trace.step_s == float(row[4])
        assert trace.duration_s / 3600 == pytest.approx(float(row[5]), rel=0.01)
        assert trace.rate_rps.mean() == pytest.approx(float(row[6]), rel=0.001)


RAMP = Trace("ramp", 60.0, np.arange(10.0))


@pytest.mark.parametrize(
    ("tick_s", "start_s", "ticks", "expected"),
    [
        pytest.param(60, 0, 3, [0, 1, 2], id="as recorded"),
        pytest.param(30, 60, 4, [1, 1, 2, 2], id="held between samples"),
        pytest.param(120, 0, 2, [0.5, 2.5], id="mean over longer ticks"),
        pytest.param(45, 30, 3, [1 / 3, 1, 2], id="ticks across samples"),
    ],
)
def test_resampling(tick_s: float, start_s: float, ticks: int, expected: list[float]) -> None:
    np.testing.assert_allclose(RAMP.rates(tick_s, start_s, ticks), expected)


@pytest.mark.parametrize("tick_s", [0.7, 5, 60, 100])
def test_resampling_to_the_end_keeps_the_requests(tick_s: float) -> None:
    rates = RAMP.rates(tick_s)
    assert len(rates) == int(600 / tick_s)
    covered = len(rates) * tick_s
    missing = RAMP.rates(600 - covered, covered, 1) if covered < 599 else np.zeros(1)
    total = (rates * tick_s).sum() + missing[0] * (600 - covered)
    assert total == pytest.approx(45 * 60, abs=9)


@pytest.mark.parametrize(("start_s", "ticks"), [(0, 11), (570, 1), (-60, 1)])
def test_what_a_trace_does_not_cover_is_refused(start_s: float, ticks: int) -> None:
    with pytest.raises(ValueError, match="ramp lasts 600 s"):
        RAMP.rates(60, start_s, ticks)


def test_a_scaled_trace_keeps_its_shape() -> None:
    trace = Trace("t", 60.0, np.array([1.0, 5.0, 2.0]))
    scaled = trace.scaled(load=3.0, time=0.5)
    assert scaled.duration_s == 90.0
    np.testing.assert_allclose(scaled.rates(10.0), 3.0 * trace.rates(20.0))


@pytest.mark.parametrize(("load", "time"), [(-1.0, 1.0), (1.0, 0.0), (1.0, -2.0), (np.nan, 1.0)])
def test_a_trace_cannot_be_scaled_to_nothing(load: float, time: float) -> None:
    with pytest.raises(ValueError, match="cannot scale t by"):
        Trace("t", 60.0, np.ones(2)).scaled(load, time)
