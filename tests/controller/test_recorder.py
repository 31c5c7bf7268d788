"""What Envoy counted lands in the recording's buckets, bin by bin."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest

from trimtab_agents.fit.recording import read_recordings
from trimtab_controller import recorder
from trimtab_controller.recorder import BOUNDS_MS, Recorder, Totals
from trimtab_proto.v1 import stage_pb2


@pytest.mark.parametrize("decade", [0.1, 1.0, 10.0, 100.0], ids="{:g} ms".format)
def test_no_bin_is_cut_in_two(decade: float) -> None:
    """Envoy's bins are two digits wide: each must lie between two bounds."""
    for digits in range(10, 100):
        # As Envoy prints them, with the error of its own floating point.
        lower, width = digits * decade, decade * (1 + 1e-9)
        found = Totals(0, 0, {(lower, width): 3}).answers(Totals(0, 0, {(lower, width): 1}))
        place = int(found.argmax())
        edges = np.concatenate([[0.0], BOUNDS_MS, [np.inf]])
        assert found.sum() == found[place] == 2
        assert edges[place] <= lower + 1e-6
        assert lower + width <= edges[place + 1] + 1e-6


def test_a_new_envoy_leaves_one_row_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Its counters begin again: the difference says nothing."""
    counts = [*range(100, 1300, 100), *range(50, 1300, 100)]
    answers = iter(counts)
    monkeypatch.setattr(
        recorder,
        "totals",
        lambda _socket, _names: {"web": Totals(count := next(answers), 2, {(50.0, 1.0): count})},
    )
    out = io.StringIO()
    recorder_of_web = Recorder(out)
    for second in range(len(counts)):
        web = stage_pb2.StageBackend(name="web", wanted=2, ready=1)
        recorder_of_web.see(stage_pb2.StageStatus(time_s=1000.0 + second, backends=[web]))
    (tmp_path / "web.csv").write_text(out.getvalue())
    (found,) = read_recordings(tmp_path / "web.csv")
    assert len(found.time_s) == len(counts) - 1
    assert sorted(set(found.answers.sum(1))) == [0.0, 100.0]
    assert set(found.rate_rps) == {100.0}
