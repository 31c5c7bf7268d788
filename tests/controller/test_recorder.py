"""What Envoy counted lands in the recording's buckets, bin by bin."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest

from trimtab_agents.fit.recording import read_recordings
from trimtab_controller.protocols import SensorError
from trimtab_controller.recorder import BOUNDS_MS, Look, Recorder, Totals
from trimtab_proto.v1 import stage_pb2

from .answers import envoy, http


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


def look(second: int, count: int) -> Look:
    web = stage_pb2.StageBackend(name="web", wanted=2, ready=1)
    status = stage_pb2.StageStatus(time_s=1000.0 + second, backends=[web])
    return Look(status, {"web": Totals(count, 2, {(50.0, 1.0): count})})


def test_a_new_envoy_leaves_one_row_out(tmp_path: Path) -> None:
    """Its counters begin again: the difference says nothing."""
    counts = [*range(100, 1300, 100), *range(50, 1300, 100)]
    first, *looks = (look(second, count) for second, count in enumerate(counts))
    out = io.StringIO()
    recorder = Recorder(out, first)
    for each in looks:
        recorder.see(each)
    (tmp_path / "web.csv").write_text(out.getvalue())
    (found,) = read_recordings(tmp_path / "web.csv")
    assert len(found.time_s) == len(counts) - 1
    assert sorted(set(found.answers.sum(1))) == [0.0, 100.0]
    assert set(found.rate_rps) == {100.0}


def test_a_backend_that_envoy_does_not_know_is_an_error(tmp_path: Path) -> None:
    """No requests would be a lie."""
    web = stage_pb2.StageBackend(name="web")
    with envoy(tmp_path / "admin.sock", http({"stats": []})) as admin:
        status = stage_pb2.StageStatus(envoy_admin_socket=admin, backends=[web])
        with pytest.raises(SensorError, match=r"does not count 'cluster\.web\.upstream_rq_total'"):
            Look.at(status)
